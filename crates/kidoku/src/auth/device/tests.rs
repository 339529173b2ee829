use super::keys::{AppKeys, Secret};
use super::token::Verifier;
use super::*;
use crate::cmd::scratch::Scratch;
use crate::config::{Config, DeviceConfig};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kidoku_core::clock::Millis;
use kidoku_core::id::{App, UserKey};
use kidoku_core::limits::{DEVICE_TOKEN_BYTES_MAX, DEVICE_TOKEN_LIFETIME_MAX_S};
use ring::hmac;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW_S: u64 = 1_700_000_100;
const NOW: Millis = Millis(NOW_S * 1_000);

fn app(name: &str) -> App {
    App::new(name).unwrap()
}

fn user(app_name: &str, name: &str) -> UserKey {
    UserKey::new(&app(app_name), name).unwrap()
}

fn of_secret(secret: &[u8], audience: Option<&str>, issuer: Option<&str>) -> AppKeys {
    let mut keys = AppKeys {
        verifiers: Vec::new(),
        secret: Some(Secret(secret.to_vec())),
        audience: audience.map(str::to_owned),
        issuer: issuer.map(str::to_owned),
    };
    keys.verifiers.push(Verifier::of_secret(secret, &keys));
    keys
}

/// App `chat` asks for nothing special, `strict` for audience and issuer, `mail` has another key.
fn keys() -> DeviceKeys {
    let apps = [
        (app("chat"), of_secret(SECRET, None, None)),
        (
            app("strict"),
            of_secret(SECRET, Some("kidoku"), Some("https://id.example")),
        ),
        (
            app("mail"),
            of_secret(b"another secret of thirty-two byte", None, None),
        ),
    ];
    DeviceKeys {
        apps: apps.into_iter().collect(),
    }
}

/// Signs with HS256 whatever the header says.
fn token(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, SECRET),
        message.as_bytes(),
    );
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn plain_claims() -> Value {
    json!({"sub": "ada", "app": "chat", "iat": NOW_S, "exp": NOW_S + 60})
}

fn check(token: &str) -> Result<DeviceGrant, TokenRefused> {
    keys().check(token, NOW)
}

fn hs256() -> Value {
    json!({"alg": "HS256", "typ": "JWT"})
}

fn with(mut object: Value, field: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(object.as_object_mut().unwrap().remove(field)),
        value => object[field] = value,
    }
    object
}

#[test]
fn a_token_names_one_user_of_one_app_until_its_end() {
    let expected = DeviceGrant {
        app: app("chat"),
        user: user("chat", "ada"),
        expires: Millis((NOW_S + 60) * 1_000),
    };
    assert_eq!(
        check(&token(&hs256(), &plain_claims())),
        Ok(expected.clone())
    );
    let made = keys()
        .issue(&user("chat", "ada"), 60, NOW)
        .unwrap()
        .unwrap();
    assert_eq!(check(&made), Ok(expected));
    let strict = keys()
        .issue(&user("strict", "ada"), 60, NOW)
        .unwrap()
        .unwrap();
    assert_eq!(check(&strict).unwrap().app, app("strict"));
    assert_eq!(keys().issue(&user("none", "ada"), 60, NOW), Ok(None));
}

#[test]
fn headers_that_say_how_to_be_believed_are_refused() {
    use TokenRefused::{Header, Malformed, Signature};
    let refused = |field: &str, value: Value, why: TokenRefused| {
        let token = token(&with(hs256(), field, value.clone()), &plain_claims());
        assert_eq!(check(&token), Err(why), "{field} {value}");
    };
    for algorithm in ["HS384", "HS512", "RS256", "ES256", "EdDSA", "PS256"] {
        refused("alg", json!(algorithm), Signature);
    }
    for algorithm in [
        json!("none"),
        json!("None"),
        json!("hs256"),
        json!(""),
        json!(1),
        Value::Null,
    ] {
        refused("alg", algorithm, Malformed);
    }
    for field in ["crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc"] {
        refused(field, json!(["exp"]), Header);
        refused(field, json!(false), Header);
    }
    refused("typ", json!("JWE"), Header);
    refused("kid", json!("k".repeat(65)), Header);
    refused("kid", json!(1), Header);
    let fits = with(
        with(hs256(), "kid", json!("k".repeat(64))),
        "typ",
        json!("at+jwt"),
    );
    assert!(check(&token(&fits, &plain_claims())).is_ok());
}

#[test]
fn a_signature_counts_only_with_the_apps_key_over_the_very_bytes() {
    let good = token(&hs256(), &plain_claims());
    let (message, tag) = good.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let other_claims = token(&hs256(), &with(plain_claims(), "sub", json!("eve")));
    let other_claims = other_claims.split('.').nth(1).unwrap();
    let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none"}).to_string());
    let claims = good.split('.').nth(1).unwrap();
    for (bad, why) in [
        (
            format!("{header}.{other_claims}.{tag}"),
            TokenRefused::Signature,
        ),
        (format!("{message}."), TokenRefused::Signature),
        (format!("{message}.AAAA"), TokenRefused::Signature),
        (format!("{none}.{claims}."), TokenRefused::Malformed),
        (message.to_owned(), TokenRefused::Malformed),
        (format!("{good}.{tag}"), TokenRefused::Malformed),
        (String::new(), TokenRefused::Malformed),
        ("kd_12345678_secret".to_owned(), TokenRefused::Malformed),
        ("..".to_owned(), TokenRefused::Malformed),
    ] {
        assert_eq!(check(&bad), Err(why), "{bad}");
    }
    // Signed with the key of `chat`.
    for (name, why) in [
        ("mail", TokenRefused::Signature),
        ("none", TokenRefused::NoSuchApp),
        ("Not An App", TokenRefused::NoSuchApp),
    ] {
        let token = token(&hs256(), &with(plain_claims(), "app", json!(name)));
        assert_eq!(check(&token), Err(why), "{name}");
    }
}

#[test]
fn each_claim_is_there_whole_and_in_its_range() {
    use TokenRefused::{Expired, LivesTooLong, Malformed, NotYet, User};
    let life = DEVICE_TOKEN_LIFETIME_MAX_S;
    let refusals = [
        ("exp", Value::Null, Malformed),
        ("exp", json!((NOW_S + 60).to_string()), Malformed),
        ("exp", json!(NOW_S as f64 + 60.5), Malformed),
        ("exp", json!(-1), Malformed),
        ("exp", json!(NOW_S - 10), Expired),
        ("exp", json!(0), Expired),
        ("exp", json!(NOW_S + life + 1), LivesTooLong),
        ("exp", json!(u64::MAX), LivesTooLong),
        ("nbf", json!(NOW_S + 11), NotYet),
        ("nbf", json!("1"), Malformed),
        ("nbf", json!(0.5), Malformed),
        ("iat", json!(NOW_S + 11), NotYet),
        ("iat", json!(NOW_S + 60 - life - 1), LivesTooLong),
        ("iat", json!("1"), Malformed),
        ("sub", Value::Null, Malformed),
        ("sub", json!(""), User),
        ("sub", json!("a\nb"), User),
        ("sub", json!("x".repeat(129)), User),
        ("sub", json!(["ada"]), Malformed),
        ("app", Value::Null, Malformed),
        ("app", json!(["chat"]), Malformed),
        ("aud", json!("kidoku"), TokenRefused::Audience),
        ("aud", json!(["kidoku"]), TokenRefused::Audience),
    ];
    for (field, value, why) in refusals {
        let token = token(&hs256(), &with(plain_claims(), field, value.clone()));
        assert_eq!(check(&token), Err(why), "{field} {value}");
    }
    let accepted = [
        ("exp", json!(NOW_S - 9)),
        ("exp", json!(NOW_S + life)),
        ("nbf", json!(NOW_S + 10)),
        ("iat", json!(NOW_S + 10)),
        ("iat", json!(NOW_S + 60 - life)),
        ("iat", Value::Null),
        ("sub", json!("x".repeat(128))),
        ("iss", json!("anybody")),
        ("role", json!({"of": "another program"})),
    ];
    for (field, value) in accepted {
        let token = token(&hs256(), &with(plain_claims(), field, value.clone()));
        assert!(
            check(&token).is_ok(),
            "{field} {value}: {:?}",
            check(&token)
        );
    }
}

#[test]
fn audience_and_issuer_are_needed_where_they_are_configured() {
    use TokenRefused::MissingClaim;
    let strict = json!({"sub": "ada", "app": "strict", "exp": NOW_S + 60, "aud": ["x", "kidoku"],
        "iss": "https://id.example"});
    assert!(check(&token(&hs256(), &strict)).is_ok());
    for (field, value, why) in [
        ("aud", json!("other"), TokenRefused::Audience),
        ("aud", json!(1), MissingClaim),
        ("aud", Value::Null, MissingClaim),
        (
            "iss",
            json!("https://id.example.evil"),
            TokenRefused::Issuer,
        ),
        ("iss", Value::Null, MissingClaim),
    ] {
        let token = token(&hs256(), &with(strict.clone(), field, value.clone()));
        assert_eq!(check(&token), Err(why), "{field} {value}");
    }
}

#[test]
fn a_claim_that_stands_twice_is_refused() {
    let twice = r#"{"sub":"ada","app":"chat","exp":1,"exp":9999999999}"#;
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(hs256().to_string()),
        URL_SAFE_NO_PAD.encode(twice)
    );
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, SECRET),
        message.as_bytes(),
    );
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
    assert_eq!(check(&token), Err(TokenRefused::Malformed));
}

#[test]
fn a_token_has_at_most_4_kib() {
    let padded = |length: usize| {
        let claims = with(plain_claims(), "pad", json!("x".repeat(length)));
        token(&hs256(), &claims)
    };
    let bytes = padded(2_900).len();
    // Three bytes become four characters.
    let fits = (0..4)
        .map(|more| padded(2_900 + (DEVICE_TOKEN_BYTES_MAX - bytes) / 4 * 3 + more))
        .find(|token| token.len() == DEVICE_TOKEN_BYTES_MAX)
        .unwrap();
    assert!(check(&fits).is_ok());
    assert_eq!(check(&format!("{fits}x")), Err(TokenRefused::TooLong));
}

#[test]
fn no_token_is_made_for_more_than_24_hours() {
    let user = user("chat", "ada");
    let longest = keys()
        .issue(&user, DEVICE_TOKEN_LIFETIME_MAX_S, NOW)
        .unwrap()
        .unwrap();
    assert!(check(&longest).is_ok());
    let longer = keys().issue(&user, DEVICE_TOKEN_LIFETIME_MAX_S + 1, NOW);
    assert_eq!(longer, Err(TokenRefused::LivesTooLong));
}

/// Public keys and tokens, made with another program.
const SIGNED: [(&str, &str); 3] = [
    (
        include_str!("testdata/es256.pem"),
        include_str!("testdata/es256.jwt"),
    ),
    (
        include_str!("testdata/eddsa.pem"),
        include_str!("testdata/eddsa.jwt"),
    ),
    (
        include_str!("testdata/rs256.pem"),
        include_str!("testdata/rs256.jwt"),
    ),
];

/// The keys of app `chat` when its public key, and perhaps its secret, is in a file.
fn of_files(pem: &str, secret: Option<&[u8]>) -> Result<DeviceKeys, DeviceKeysError> {
    let scratch = Scratch::new();
    let mut config = Config::with_data_dir(scratch.path());
    let device = DeviceConfig {
        public_key_file: Some(scratch.write("key.pem", pem.as_bytes())),
        hs256_secret_file: secret.map(|secret| scratch.write("secret", secret)),
        ..DeviceConfig::default()
    };
    config.devices.insert(app("chat"), device);
    DeviceKeys::load(&config)
}

#[test]
fn a_public_key_checks_tokens_of_its_own_algorithm_only() {
    for (pem, _) in SIGNED {
        let keys = of_files(pem, None).unwrap();
        for (other, token) in SIGNED {
            let checked = keys.check(token.trim(), NOW);
            if other == pem {
                assert_eq!(checked.unwrap().user, user("chat", "ada"));
                let late = keys.check(token.trim(), Millis((NOW_S + 3_600) * 1_000));
                assert_eq!(late, Err(TokenRefused::Expired));
            } else {
                assert_eq!(checked, Err(TokenRefused::Signature));
            }
        }
        // The classic: the public key's text used as a secret.
        let message = token(&hs256(), &plain_claims());
        let (message, _) = message.rsplit_once('.').unwrap();
        for secret in [pem, pem.trim()] {
            let tag = hmac::sign(
                &hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
                message.as_bytes(),
            );
            let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag));
            assert_eq!(keys.check(&forged, NOW), Err(TokenRefused::Signature));
        }
        assert_eq!(keys.issue(&user("chat", "ada"), 60, NOW), Ok(None));
    }
}

#[test]
fn an_app_may_have_a_secret_and_a_public_key() {
    let (pem, signed) = SIGNED[0];
    let keys = of_files(pem, Some(SECRET)).unwrap();
    assert!(keys.check(signed.trim(), NOW).is_ok());
    assert!(keys.check(&token(&hs256(), &plain_claims()), NOW).is_ok());
    let expired = token(&hs256(), &with(plain_claims(), "exp", json!(1)));
    assert_eq!(keys.check(&expired, NOW), Err(TokenRefused::Expired));
}

#[test]
fn files_without_a_usable_key_are_refused_at_start_with_the_reason() {
    let (es256, _) = SIGNED[0];
    let damaged = es256.replace("MFkw", "MFkx");
    let twice = format!("{es256}{es256}");
    let cut = es256.replace("-----END PUBLIC KEY-----", "");
    let private = es256.replace("PUBLIC", "PRIVATE");
    for (pem, reason) in [
        ("", "there is no `-----BEGIN PUBLIC KEY-----`"),
        (private.as_str(), "there is no `-----BEGIN PUBLIC KEY-----`"),
        (cut.as_str(), "there is no `-----END PUBLIC KEY-----`"),
        (twice.as_str(), "more than one key"),
        (damaged.as_str(), "damaged"),
        (
            "-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----",
            "base64",
        ),
        (
            "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----",
            "damaged",
        ),
        (include_str!("testdata/rsa1024.pem"), "1024 bits"),
        (include_str!("testdata/p384.pem"), "not P-256"),
    ] {
        let error = of_files(pem, None).unwrap_err().to_string();
        assert!(
            error.contains(reason) && error.contains("key.pem"),
            "{error}"
        );
    }
    let error = of_files(es256, Some(&SECRET[1..])).unwrap_err().to_string();
    assert!(error.contains("31 bytes, at least 32"), "{error}");
    let error = of_files(es256, Some(b"0123456789abcdef0123456789abcde\n\n")).unwrap_err();
    assert!(error.to_string().contains("31 bytes"), "{error}");
}

#[test]
fn a_public_key_cut_anywhere_is_refused() {
    use base64::engine::general_purpose::STANDARD;
    for (pem, _) in SIGNED {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(body).unwrap();
        for end in 0..der.len() {
            let body = STANDARD.encode(&der[..end]);
            let cut = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
            assert!(of_files(&cut, None).is_err(), "{end}");
        }
    }
}

#[test]
fn the_default_app_has_the_key_of_the_data_directory_unless_another_is_configured() {
    let scratch = Scratch::new();
    let dir = scratch.path();
    let mut config = Config::with_data_dir(dir);
    assert!(DeviceKeys::load(&config).unwrap().is_empty());
    assert!(create_device_key_if_missing(dir).unwrap());
    let path = device_key_path(dir);
    let made = std::fs::read(&path).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!create_device_key_if_missing(dir).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), made);
    let keys = DeviceKeys::load(&config).unwrap();
    let token = keys
        .issue(&user("default", "ada"), 60, NOW)
        .unwrap()
        .unwrap();
    assert!(keys.check(&token, NOW).is_ok());
    assert_eq!(keys.issue(&user("chat", "ada"), 60, NOW), Ok(None));
    let secret = scratch.write("secret", SECRET);
    let device = DeviceConfig {
        hs256_secret_file: Some(secret),
        ..DeviceConfig::default()
    };
    config.devices.insert(App::default_app(), device);
    let keys = DeviceKeys::load(&config).unwrap();
    assert_eq!(keys.check(&token, NOW), Err(TokenRefused::Signature));
    let device = DeviceConfig {
        audience: Some("x".to_owned()),
        ..DeviceConfig::default()
    };
    config.devices.insert(App::default_app(), device.clone());
    assert_eq!(
        DeviceKeys::load(&config).unwrap().check(&token, NOW),
        Err(TokenRefused::MissingClaim)
    );
    config.devices.insert(app("chat"), device);
    assert!(matches!(
        DeviceKeys::load(&config),
        Err(DeviceKeysError::NoKey { .. })
    ));
}

#[test]
fn keys_do_not_show_in_debug_output() {
    let shown = format!("{:?}", keys());
    let secret: Vec<String> = SECRET.iter().map(u8::to_string).collect();
    assert!(
        !shown.contains("0123456789abcdef") && !shown.contains(&secret.join(", ")),
        "{shown}"
    );
}
