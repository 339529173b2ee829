//! Certificates for tests of TLS, made by the `openssl` program: what others make, and not what the
//! server's own library would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority with a directory for what it signs.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
    name: String,
}

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate, in PEM.
    pub cert: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

impl Authority {
    /// A new one, whose files are `NAME.pem` and `NAME.key`.
    pub fn new(dir: &Path, name: &str) -> Self {
        let authority = Self {
            dir: dir.to_path_buf(),
            name: name.to_owned(),
        };
        let pair = authority.pair(name);
        make(&pair, name, &[]);
        authority
    }

    /// The file that whoever trusts it needs.
    pub fn cert(&self) -> PathBuf {
        self.pair(&self.name).cert
    }

    fn pair(&self, name: &str) -> Pair {
        Pair {
            cert: self.dir.join(format!("{name}.pem")),
            key: self.dir.join(format!("{name}.key")),
        }
    }

    /// Signs a new certificate, for `localhost` and 127.0.0.1 and for clients alike.
    pub fn issue(&self, name: &str) -> Pair {
        let (own, pair) = (self.pair(&self.name), self.pair(name));
        make(
            &pair,
            name,
            &[
                "-CA",
                text(&own.cert),
                "-CAkey",
                text(&own.key),
                "-addext",
                "subjectAltName=DNS:localhost,IP:127.0.0.1",
                "-addext",
                "basicConstraints=critical,CA:FALSE",
            ],
        );
        pair
    }
}

impl Pair {
    /// Puts other files in the place of these, each at once.
    pub fn replace(&self, with: &Self) {
        for (old, new) in [(&self.cert, &with.cert), (&self.key, &with.key)] {
            let part = old.with_extension("part");
            fs::copy(new, &part).unwrap();
            fs::rename(&part, old).unwrap();
        }
    }
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn make(pair: &Pair, name: &str, more: &[&str]) {
    let subject = format!("/CN={name}");
    let output = Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-days", "30", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", &subject, "-keyout", text(&pair.key)])
        .args(["-out", text(&pair.cert)])
        .args(more)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("openssl, from `cargo xtask setup`: {error}"));
    assert!(
        output.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
