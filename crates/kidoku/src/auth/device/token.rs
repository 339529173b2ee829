//! One token: made, taken apart, believed or not.

use super::crypto;
use super::keys::{AppKeys, DeviceKeys};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, dangerous};
use kidoku_core::clock::Millis;
use kidoku_core::id::{App, UserKey};
use kidoku_core::limits::{DEVICE_TOKEN_BYTES_MAX, DEVICE_TOKEN_LIFETIME_MAX_S};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// How far the clocks of whoever makes tokens and of this server may be apart, in seconds.
const LEEWAY_S: u64 = 10;

/// Bytes of a key id. It is not used to look anything up, and must not be long either.
const KEY_ID_BYTES_MAX: usize = 64;

/// Headers that would have the token bring its own key, or mean something that is not understood
/// here.
const REFUSED_HEADERS: [&str; 8] = ["crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc"];

/// What a token's `typ` may be, in any case.
const TYPES: [&str; 2] = ["jwt", "at+jwt"];

/// Who a device is, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceGrant {
    /// The app.
    pub app: App,
    /// Its only user whom the device may speak for.
    pub user: UserKey,
    /// The end of the token.
    pub expires: Millis,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRefused {
    /// Over [`DEVICE_TOKEN_BYTES_MAX`].
    TooLong,
    /// Not three parts of base64 with JSON in the first two, or a claim of the wrong type.
    Malformed,
    /// It has a header that is not allowed here.
    Header,
    /// The `app` claim names no app with keys.
    NoSuchApp,
    /// Not signed with a key of the app by the key's algorithm.
    Signature,
    /// A claim that is needed is missing, `exp`, `sub` or what the configuration asks for.
    MissingClaim,
    /// `aud` does not name what the configuration says.
    Audience,
    /// `iss` is not what the configuration says.
    Issuer,
    /// `exp` is over.
    Expired,
    /// `nbf` or `iat` is yet to come.
    NotYet,
    /// It would be valid for more than [`DEVICE_TOKEN_LIFETIME_MAX_S`].
    LivesTooLong,
    /// `sub` is not a name that a user can have.
    User,
}

impl fmt::Display for TokenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the token has more than {DEVICE_TOKEN_BYTES_MAX} bytes"),
            Self::Malformed => f.write_str("it is not a token, or a claim has the wrong type"),
            Self::Header => f.write_str("the token has a header that is not allowed"),
            Self::NoSuchApp => f.write_str("the claim `app` names no app that has a key"),
            Self::Signature => f.write_str("the token is not signed with a key of the app"),
            Self::MissingClaim => f.write_str("the token lacks a claim that is needed"),
            Self::Audience => f.write_str("the claim `aud` is not the one that is configured"),
            Self::Issuer => f.write_str("the claim `iss` is not the one that is configured"),
            Self::Expired => f.write_str("the token has expired"),
            Self::NotYet => f.write_str("the token is not valid yet"),
            Self::LivesTooLong => {
                let hours = DEVICE_TOKEN_LIFETIME_MAX_S / 3_600;
                write!(f, "the token is valid for more than {hours} hours")
            }
            Self::User => f.write_str("the claim `sub` is not the name of a user"),
        }
    }
}

impl std::error::Error for TokenRefused {}

impl From<&ErrorKind> for TokenRefused {
    fn from(kind: &ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::MissingRequiredClaim(_) => Self::MissingClaim,
            ErrorKind::InvalidSignature
            | ErrorKind::InvalidAlgorithm
            | ErrorKind::InvalidKeyFormat => Self::Signature,
            _ => Self::Malformed,
        }
    }
}

/// What is read of a token. Times are whole seconds; a fraction or a text is refused.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(default)]
    iat: Option<u64>,
    #[serde(default)]
    nbf: Option<u64>,
}

#[derive(Deserialize)]
struct AppClaim {
    app: String,
}

#[derive(Serialize)]
struct NewClaims<'a> {
    sub: &'a str,
    app: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
}

/// A key with the one algorithm it is for.
#[derive(Debug)]
pub(super) struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    /// For HS256.
    pub(super) fn of_secret(secret: &[u8], app: &AppKeys) -> Self {
        Self::new(Algorithm::HS256, DecodingKey::from_secret(secret), app)
    }

    pub(super) fn new(algorithm: Algorithm, key: DecodingKey, app: &AppKeys) -> Self {
        crypto::install();
        let mut validation = Validation::new(algorithm);
        // Both are checked here, against the time the caller gives and as whole numbers only.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let mut required = vec!["exp", "sub"];
        if let Some(audience) = &app.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &app.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Self { key, validation }
    }

    fn check(&self, token: &str) -> Result<Claims, TokenRefused> {
        let checked = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation);
        checked
            .map(|token| token.claims)
            .map_err(|error| error.kind().into())
    }
}

impl AppKeys {
    /// What a token says, if one of the keys has signed it.
    fn check(&self, token: &str) -> Result<Claims, TokenRefused> {
        let mut checked = Err(TokenRefused::Signature);
        for verifier in &self.verifiers {
            checked = verifier.check(token);
            if !matches!(checked, Err(TokenRefused::Signature)) {
                break;
            }
        }
        checked
    }
}

impl DeviceKeys {
    /// Whom a token speaks for.
    ///
    /// # Errors
    /// See [`TokenRefused`]. Beyond [`TokenRefused::Signature`] the token is at least signed, so
    /// nothing is told to strangers.
    pub fn check(&self, token: &str, now: Millis) -> Result<DeviceGrant, TokenRefused> {
        if token.len() > DEVICE_TOKEN_BYTES_MAX {
            return Err(TokenRefused::TooLong);
        }
        check_header(token)?;
        // Not believed yet: it only says whose keys are tried, and is signed along with the rest.
        let claimed = dangerous::insecure_decode_claims::<AppClaim>(token)
            .map_err(|_| TokenRefused::Malformed)?;
        let app = App::new(&claimed.app).map_err(|_| TokenRefused::NoSuchApp)?;
        let Some(keys) = self.apps.get(&app) else {
            // Takes as long as with an app that there is, so that time does not tell which there are.
            let another = self.apps.values().next();
            drop(another.map(|keys| keys.check(token)));
            return Err(TokenRefused::NoSuchApp);
        };
        let claims = keys.check(token)?;
        check_times(&claims, now)?;
        let user = UserKey::new(&app, &claims.sub).map_err(|_| TokenRefused::User)?;
        Ok(DeviceGrant {
            app,
            user,
            expires: Millis(claims.exp.saturating_mul(1_000)),
        })
    }

    /// Makes a token for a user, signed with the secret of the user's app. `None` = the app has no
    /// secret.
    ///
    /// # Errors
    /// [`TokenRefused::LivesTooLong`] for more than [`DEVICE_TOKEN_LIFETIME_MAX_S`] seconds.
    pub fn issue(
        &self,
        user: &UserKey,
        lifetime_s: u64,
        now: Millis,
    ) -> Result<Option<String>, TokenRefused> {
        if lifetime_s > DEVICE_TOKEN_LIFETIME_MAX_S {
            return Err(TokenRefused::LivesTooLong);
        }
        let keys = self.apps.get(&user.app());
        let Some((keys, secret)) = keys.and_then(|keys| Some((keys, keys.secret.as_ref()?))) else {
            return Ok(None);
        };
        let iat = now.0 / 1_000;
        let claims = NewClaims {
            sub: user.name(),
            app: user.app_str(),
            iat,
            exp: iat.saturating_add(lifetime_s),
            aud: keys.audience.as_deref(),
            iss: keys.issuer.as_deref(),
        };
        crypto::install();
        let key = EncodingKey::from_secret(&secret.0);
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
        token.map(Some).map_err(|error| error.kind().into())
    }
}

/// Header and claims of a token as they stand in it, believed or not; for people who look for a
/// mistake. `None` = it is not a token at all.
pub fn unverified(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.').map(|part| {
        let json = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice(&json).ok()
    });
    Some((parts.next()??, parts.next()??))
}

/// Refuses every header by which a token could say how it wants to be believed.
fn check_header(token: &str) -> Result<(), TokenRefused> {
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD
        .decode(header)
        .map_err(|_| TokenRefused::Malformed)?;
    let header: Map<String, Value> =
        serde_json::from_slice(&header).map_err(|_| TokenRefused::Malformed)?;
    if REFUSED_HEADERS
        .iter()
        .any(|name| header.contains_key(*name))
    {
        return Err(TokenRefused::Header);
    }
    let key_id_fits = match header.get("kid") {
        Some(Value::String(id)) => id.len() <= KEY_ID_BYTES_MAX,
        Some(_) => false,
        None => true,
    };
    let type_fits = match header.get("typ") {
        Some(Value::String(kind)) => TYPES.iter().any(|known| known.eq_ignore_ascii_case(kind)),
        Some(_) => false,
        None => true,
    };
    if key_id_fits && type_fits {
        Ok(())
    } else {
        Err(TokenRefused::Header)
    }
}

fn check_times(claims: &Claims, now: Millis) -> Result<(), TokenRefused> {
    let now_s = now.0 / 1_000;
    if claims.exp.saturating_add(LEEWAY_S) <= now_s {
        return Err(TokenRefused::Expired);
    }
    let made = claims.iat.unwrap_or(now_s);
    let begins = claims.nbf.map_or(made, |nbf| nbf.max(made));
    if begins > now_s.saturating_add(LEEWAY_S) {
        return Err(TokenRefused::NotYet);
    }
    // A stolen token must not be of use for ever, whoever made it.
    if claims.exp > made.saturating_add(DEVICE_TOKEN_LIFETIME_MAX_S) {
        return Err(TokenRefused::LivesTooLong);
    }
    Ok(())
}
