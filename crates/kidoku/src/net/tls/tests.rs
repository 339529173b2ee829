//! Files as they may be, and what becomes of them while a server runs.

use super::{Checked, Tls};
use crate::cmd::scratch::Scratch;
use crate::config::TlsConfig;
use kidoku_torture::certificates::{Authority, Pair};
use std::fs;

fn settings(pair: &Pair) -> TlsConfig {
    TlsConfig {
        cert: Some(pair.cert.clone()),
        key: Some(pair.key.clone()),
        client_ca: None,
    }
}

fn load(settings: &TlsConfig) -> Tls {
    Tls::load(settings).unwrap().unwrap()
}

/// The text of the error, which names the setting and the file.
fn refused(settings: &TlsConfig) -> String {
    Tls::load(settings).unwrap_err().to_string()
}

#[test]
fn without_a_certificate_there_is_no_tls() {
    assert!(Tls::load(&TlsConfig::default()).unwrap().is_none());
}

#[test]
fn files_that_can_not_be_used_are_named_with_the_reason() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "ca");
    let (own, other) = (authority.issue("own"), authority.issue("other"));
    load(&settings(&own));
    let missing = scratch.path().join("missing");
    let empty = scratch.write("empty.pem", b"");
    let noise = scratch.write(
        "noise.pem",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let large = scratch.write("large.pem", &vec![b' '; (1 << 20) + 1]);
    let full = scratch.write("full.pem", &{
        let mut text = fs::read(&own.cert).unwrap();
        text.resize(1 << 20, b'\n');
        text
    });
    let with = |cert: &std::path::Path, key: &std::path::Path| TlsConfig {
        cert: Some(cert.to_path_buf()),
        key: Some(key.to_path_buf()),
        client_ca: None,
    };
    load(&with(&full, &own.key));
    for (settings, setting, reason) in [
        (with(&missing, &own.key), "tls.cert", "No such file"),
        (with(&own.cert, &missing), "tls.key", "No such file"),
        (
            with(&empty, &own.key),
            "tls.cert",
            "no `-----BEGIN CERTIFICATE-----`",
        ),
        (with(&noise, &own.key), "tls.cert", "damaged"),
        (
            with(&large, &own.key),
            "tls.cert",
            "longer than 1048576 bytes",
        ),
        (with(&own.cert, &own.cert), "tls.key", "no private key"),
        (
            with(&own.cert, &other.key),
            "tls.key",
            "not the key of the certificate",
        ),
    ] {
        let text = refused(&settings);
        assert!(text.starts_with(setting) && text.contains(reason), "{text}");
    }
    let mut clients = settings(&own);
    clients.client_ca = Some(empty);
    let text = refused(&clients);
    assert!(text.starts_with("tls.client_ca"), "{text}");
    // No error shows what is in a key.
    let key = fs::read_to_string(&own.key).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let swapped = refused(&with(&own.key, &own.cert));
    assert!(!swapped.contains(secret), "{swapped}");
}

#[test]
fn a_certificate_is_warned_of_before_it_is_valid_near_its_end_and_after() {
    let scratch = Scratch::new();
    let tls = load(&settings(
        &Authority::new(scratch.path(), "ca").issue("own"),
    ));
    let end = tls.expires_s();
    let day = 24 * 3_600;
    let warned = |now_s: i64| tls.warnings(now_s).join("; ");
    assert!(warned(end - 31 * day).contains("not valid yet"));
    assert_eq!(warned(end - 8 * day), "");
    assert_eq!(warned(end - 7 * day), "");
    assert!(warned(end - 7 * day + 1).contains("expires in 167 hours"));
    assert!(warned(end).contains("expires in 0 hours"));
    assert!(warned(end + 1).contains("has expired"));
}

#[test]
fn the_file_of_a_certificate_holds_its_authority_or_not() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "ca");
    let own = authority.issue("own");
    assert!(!load(&settings(&own)).holds_authority());
    let mut chain = fs::read(&own.cert).unwrap();
    chain.extend(fs::read(authority.cert()).unwrap());
    fs::write(&own.cert, chain).unwrap();
    assert!(load(&settings(&own)).holds_authority());
}

#[test]
fn new_files_are_used_once_they_have_settled() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "ca");
    let (own, new) = (authority.issue("own"), authority.issue("new"));
    let tls = load(&settings(&own));
    assert_eq!((tls.check(), tls.check()), (Checked::Same, Checked::Same));
    // The certificate first: at the next look the key may not be there yet.
    fs::copy(&new.cert, &own.cert).unwrap();
    assert_eq!(tls.check(), Checked::Same);
    fs::copy(&new.key, &own.key).unwrap();
    assert_eq!(tls.check(), Checked::Same);
    assert_eq!(tls.check(), Checked::Reloaded);
    assert_eq!(tls.check(), Checked::Same);
    assert_eq!(tls.reloads(), (1, 0));
    // Who asks for it does not wait.
    own.replace(&authority.issue("third"));
    assert_eq!(tls.reload(), Checked::Reloaded);
    assert_eq!(tls.check(), Checked::Same);
    assert_eq!(tls.reloads(), (2, 0));
}

#[test]
fn files_that_can_not_be_used_leave_those_before_and_are_told_once() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path(), "ca");
    let own = authority.issue("own");
    let tls = load(&settings(&own));
    let (end, now) = (tls.expires_s(), tls.expires_s() - 10 * 24 * 3_600);
    fs::write(&own.key, "nonsense").unwrap();
    assert_eq!(tls.check(), Checked::Same);
    assert!(matches!(tls.check(), Checked::Refused(why) if why.contains("tls.key")));
    assert_eq!(tls.check(), Checked::Same);
    assert!(tls.warnings(now).join(" ").contains("not used: tls.key"));
    assert_eq!((tls.expires_s(), tls.reloads()), (end, (0, 1)));
    fs::remove_file(&own.cert).unwrap();
    assert!(matches!(tls.reload(), Checked::Refused(_)));
    assert_eq!(tls.reloads(), (0, 2));
    own.replace(&authority.issue("new"));
    assert_eq!(tls.check(), Checked::Same);
    assert_eq!(tls.check(), Checked::Reloaded);
    assert!(tls.warnings(now).is_empty());
}
