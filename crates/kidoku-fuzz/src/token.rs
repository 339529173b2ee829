//! Tokens of devices: whatever a stranger sends is refused, and what is signed is believed by the
//! rules alone.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kidoku::auth::{DeviceGrant, DeviceKeys, TokenRefused, unverified};
use kidoku::config::Config;
use kidoku_core::clock::Millis;
use kidoku_core::id::App;
use kidoku_core::limits::DEVICE_TOKEN_LIFETIME_MAX_S;
use ring::hmac;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const NOW_S: u64 = 1_700_000_100;
/// How far clocks may be apart.
const LEEWAY_S: u64 = 10;

fn key_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("keys")
        .join(name)
}

/// App `default` has a secret and a public key, app `strict` asks for audience and issuer.
static KEYS: LazyLock<DeviceKeys> = LazyLock::new(|| {
    let mut config = Config::with_data_dir(Path::new("nowhere"));
    let own = config.devices.entry(App::default_app()).or_default();
    own.hs256_secret_file = Some(key_file("hs256.txt"));
    own.public_key_file = Some(key_file("es256.pem"));
    let strict = App::new("strict").unwrap();
    let strict = config.devices.entry(strict).or_default();
    strict.hs256_secret_file = Some(key_file("hs256.txt"));
    strict.audience = Some("kidoku".to_owned());
    strict.issuer = Some("https://id.example".to_owned());
    DeviceKeys::load(&config).unwrap()
});

/// The secret as it stands in the file, without its line end.
static SECRET: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut secret = std::fs::read(key_file("hs256.txt")).unwrap();
    secret.pop();
    secret
});

fn check(token: &str) -> Result<DeviceGrant, TokenRefused> {
    KEYS.check(token, Millis(NOW_S * 1_000))
}

/// Takes the input for a token, and then for a header and, after a line end, claims to sign.
pub fn run(data: &[u8]) {
    if let Ok(token) = std::str::from_utf8(data) {
        // What is shown to people who look for a mistake is for any text.
        drop(unverified(token));
        let stranger = check(token);
        assert!(stranger.is_err(), "{token:?} gives {stranger:?}");
    }
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let header = parts.next().unwrap_or_default();
    let claims = parts.next().unwrap_or_default();
    signed(header, claims);
}

fn signed(header: &[u8], claims: &[u8]) {
    let message = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    let message = message.join(".");
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, &SECRET),
        message.as_bytes(),
    );
    let tag = URL_SAFE_NO_PAD.encode(tag.as_ref());
    let Ok(grant) = check(&format!("{message}.{tag}")) else {
        return;
    };
    check_rules(header, claims, &grant);
    // The same words with another signature, and with none.
    let mut other = tag.into_bytes();
    other[0] = if other[0] == b'A' { b'B' } else { b'A' };
    let other = String::from_utf8(other).unwrap();
    assert_eq!(
        check(&format!("{message}.{other}")),
        Err(TokenRefused::Signature)
    );
    assert!(check(&format!("{message}.")).is_err());
    assert!(check(&message).is_err());
}

/// The claims that count. What nobody reads may be anything, a number that fits no type included.
#[derive(Deserialize)]
struct Claims {
    app: Value,
    sub: Value,
    exp: Value,
    #[serde(default)]
    iat: Value,
    #[serde(default)]
    nbf: Value,
}

#[derive(Deserialize)]
struct Audience {
    aud: Value,
}

#[derive(Deserialize)]
struct Algorithm {
    alg: String,
}

/// What must hold of a token that was believed, read without the code that believed it.
fn check_rules(header: &[u8], claims: &[u8], grant: &DeviceGrant) {
    let Algorithm { alg } = serde_json::from_slice(header).expect("a header is JSON");
    let header: BTreeMap<String, IgnoredAny> = serde_json::from_slice(header).unwrap();
    let said: Claims = serde_json::from_slice(claims).expect("claims are JSON");
    assert_eq!(alg, "HS256");
    for refused in ["crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc"] {
        assert!(!header.contains_key(refused), "{refused}");
    }
    assert_eq!(said.app, grant.app.as_str());
    assert_eq!(said.sub, grant.user.name());
    assert_eq!(grant.user.app(), grant.app);
    let exp = said.exp.as_u64().expect("exp is a whole number");
    assert!(exp + LEEWAY_S > NOW_S);
    let made = said.iat.as_u64().unwrap_or(NOW_S);
    assert!(made <= NOW_S + LEEWAY_S);
    assert!(said.nbf.as_u64().unwrap_or_default() <= NOW_S + LEEWAY_S);
    assert!(exp <= made + DEVICE_TOKEN_LIFETIME_MAX_S);
    assert_eq!(grant.expires, Millis(exp * 1_000));
    if grant.app.as_str() == "strict" {
        let names = |value: &Value| match value {
            Value::Array(all) => all.iter().any(|one| one == "kidoku"),
            one => one == "kidoku",
        };
        let Audience { aud } = serde_json::from_slice(claims).expect("claims name an audience");
        assert!(names(&aud), "{aud}");
    }
}
