//! From files to what rustls serves with; every way in which they can be wrong is told with the
//! setting, the path and the reason.

use super::Inside;
use super::certificate::{self, Validity};
use crate::config::TlsConfig;
use crate::config::hidden::FileName;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of one file; a chain has a few thousand, all authorities of a system a few hundred
/// thousand.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Which file can not be used, and why.
#[derive(Debug)]
pub(crate) enum TlsError {
    /// It can not be read.
    Io {
        /// The setting that names it.
        setting: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// What is in it is not what it should be.
    Bad {
        /// The setting that names it.
        setting: &'static str,
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io {
                setting,
                path,
                error,
            } => write!(f, "{setting} = {}: {error}", FileName(path)),
            Self::Bad {
                setting,
                path,
                reason,
            } => write!(f, "{setting} = '{}': {reason}", path.display()),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { error, .. } => Some(error),
            Self::Bad { .. } => None,
        }
    }
}

/// A file that was read.
struct Part {
    setting: &'static str,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Part {
    fn read(setting: &'static str, path: &Path) -> Result<Self, TlsError> {
        let io = |error| TlsError::Io {
            setting,
            path: path.to_path_buf(),
            error,
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(io)?;
        file.take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        let part = Self {
            setting,
            path: path.to_path_buf(),
            bytes,
        };
        if u64::try_from(part.bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
            return Err(part.bad(format!("it is longer than {FILE_BYTES_MAX} bytes")));
        }
        Ok(part)
    }

    fn bad(&self, reason: impl Into<String>) -> TlsError {
        TlsError::Bad {
            setting: self.setting,
            path: self.path.clone(),
            reason: reason.into(),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match read {
            Ok(found) if found.is_empty() => {
                Err(self.bad("there is no `-----BEGIN CERTIFICATE-----` in it"))
            }
            Ok(found) => Ok(found),
            Err(error) => Err(self.bad(format!("it is not valid PEM: {error}"))),
        }
    }

    fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| {
            self.bad(format!(
                "there is no private key in PEM in it, or it is encrypted: {error}"
            ))
        })
    }
}

/// All files, as they were read.
pub(super) struct Content {
    cert: Part,
    key: Part,
    client_ca: Option<Part>,
}

impl Content {
    pub(super) fn read(settings: &TlsConfig) -> Result<Self, TlsError> {
        let none = PathBuf::new();
        let client_ca = settings.client_ca.as_deref();
        Ok(Self {
            cert: Part::read("tls.cert", settings.cert.as_ref().unwrap_or(&none))?,
            key: Part::read("tls.key", settings.key.as_ref().unwrap_or(&none))?,
            client_ca: client_ca
                .map(|path| Part::read("tls.client_ca", path))
                .transpose()?,
        })
    }
}

/// Tells whether the files are others than before, without keeping them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(content: &Result<Content, TlsError>) -> Self {
        let mut hash = Sha256::new();
        match content {
            Ok(content) => {
                let parts = [&content.cert, &content.key].into_iter();
                for part in parts.chain(&content.client_ca) {
                    hash.update(part.bytes.len().to_le_bytes());
                    hash.update(&part.bytes);
                }
            }
            Err(error) => hash.update(error.to_string()),
        }
        Self(hash.finalize().into())
    }
}

/// What connections are made with.
#[derive(Debug)]
pub(super) struct Loaded {
    resp: Arc<ServerConfig>,
    web: Arc<ServerConfig>,
    /// Of the server's own certificate.
    pub(super) validity: Validity,
    /// One of the certificates is its own authority.
    pub(super) holds_authority: bool,
}

impl Loaded {
    pub(super) fn new(content: &Content) -> Result<Self, TlsError> {
        let chain = content.cert.certificates()?;
        let facts: Option<Vec<_>> = chain.iter().map(|der| certificate::read(der)).collect();
        let facts = facts.ok_or_else(|| content.cert.bad("a certificate in it is damaged"))?;
        let [own, ..] = facts.as_slice() else {
            return Err(content.cert.bad("there is no certificate in it"));
        };
        let config = config(content, chain)?;
        let mut web = config.clone();
        web.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            resp: Arc::new(config),
            web: Arc::new(web),
            validity: own.validity,
            holds_authority: facts.iter().any(|facts| facts.is_self_signed),
        })
    }

    pub(super) fn config(&self, inside: Inside) -> Arc<ServerConfig> {
        Arc::clone(match inside {
            Inside::Resp => &self.resp,
            Inside::Web => &self.web,
        })
    }
}

fn config(
    content: &Content,
    chain: Vec<CertificateDer<'static>>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let bad_pair = |error: rustls::Error| match error {
        rustls::Error::InconsistentKeys(_) => content.key.bad(format!(
            "it is not the key of the certificate in {}",
            content.cert.path.display()
        )),
        error => content.key.bad(error.to_string()),
    };
    // TLS 1.2 and 1.3; there is nothing older in rustls.
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(bad_pair)?;
    let builder = match &content.client_ca {
        None => builder.with_no_client_auth(),
        Some(part) => {
            let mut authorities = RootCertStore::empty();
            for authority in part.certificates()? {
                authorities
                    .add(authority)
                    .map_err(|error| part.bad(error.to_string()))?;
            }
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
                    .build()
                    .map_err(|error| part.bad(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder
        .with_single_cert(chain, content.key.private_key()?)
        .map_err(bad_pair)
}
