//! TLS of all ports: certificate, key and authorities out of files, and their renewal while the
//! server runs.
//!
//! Connections take whatever is current when they come; those that are open keep what they have. New
//! files that can not be used change nothing but what is told: a log line, a metric, `/readyz`. The
//! key is nowhere but in rustls and, while files are read, in a buffer of [`files`].

mod certificate;
mod files;
#[cfg(test)]
mod tests;

pub(crate) use files::TlsError;

use super::stream::{Stream, TlsStream};
use crate::config::TlsConfig;
use files::{Content, Fingerprint, Loaded};
use rustls::{ServerConfig, ServerConnection};
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How often the files are looked at. New ones are used when they are the same at two looks, so that
/// a certificate is not taken while its key is still being written.
pub(crate) const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How long before the end of a certificate that is told.
const EXPIRY_WARNING_S: i64 = 7 * 24 * 3_600;

/// Which protocols TLS may agree on for what is inside of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// There is no choice.
    Resp,
    /// HTTP/2 or HTTP/1.1.
    Web,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Tls {
    settings: TlsConfig,
    current: RwLock<Arc<Loaded>>,
    seen: Mutex<Seen>,
    reloads: AtomicU64,
    reloads_failed: AtomicU64,
    handshakes_failed: AtomicU64,
}

/// What was found in the files.
#[derive(Debug)]
struct Seen {
    /// At the last look.
    last: Fingerprint,
    /// What is used, or was tried.
    tried: Fingerprint,
    /// Why what was tried is not used.
    trouble: Option<String>,
}

/// What came of a look at the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// There is nothing new.
    Same,
    /// New connections use what is new.
    Reloaded,
    /// What is new can not be used, and why.
    Refused(String),
}

impl Tls {
    /// Reads the files; `None` = none are named, there is no TLS.
    ///
    /// # Errors
    /// Which file can not be used, and why.
    pub(crate) fn load(settings: &TlsConfig) -> Result<Option<Self>, TlsError> {
        if settings.cert.is_none() {
            return Ok(None);
        }
        let content = Content::read(settings);
        let fingerprint = Fingerprint::of(&content);
        let loaded = Loaded::new(&content?)?;
        Ok(Some(Self {
            settings: settings.clone(),
            current: RwLock::new(Arc::new(loaded)),
            seen: Mutex::new(Seen {
                last: fingerprint,
                tried: fingerprint,
                trouble: None,
            }),
            reloads: AtomicU64::new(0),
            reloads_failed: AtomicU64::new(0),
            handshakes_failed: AtomicU64::new(0),
        }))
    }

    fn current(&self) -> Arc<Loaded> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the files have changed, and uses them once they have settled.
    pub(crate) fn check(&self) -> Checked {
        let content = Content::read(&self.settings);
        let fingerprint = Fingerprint::of(&content);
        let mut seen = self.seen();
        let settled = std::mem::replace(&mut seen.last, fingerprint) == fingerprint;
        if !settled || fingerprint == seen.tried {
            return Checked::Same;
        }
        self.take(&mut seen, content)
    }

    /// Reads the files and uses them at once.
    pub(crate) fn reload(&self) -> Checked {
        let content = Content::read(&self.settings);
        let mut seen = self.seen();
        seen.last = Fingerprint::of(&content);
        self.take(&mut seen, content)
    }

    fn take(&self, seen: &mut Seen, content: Result<Content, TlsError>) -> Checked {
        seen.tried = seen.last;
        match content.and_then(|content| Loaded::new(&content)) {
            Ok(loaded) => {
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(loaded);
                seen.trouble = None;
                self.reloads.fetch_add(1, Ordering::Relaxed);
                Checked::Reloaded
            }
            Err(error) => {
                self.reloads_failed.fetch_add(1, Ordering::Relaxed);
                seen.trouble = Some(error.to_string());
                Checked::Refused(error.to_string())
            }
        }
    }

    /// What somebody should look after, at this time in seconds.
    pub(crate) fn warnings(&self, now_s: i64) -> Vec<String> {
        let trouble = self.seen().trouble.clone();
        let trouble =
            trouble.map(|why| format!("the files of TLS have changed and are not used: {why}"));
        let validity = self.current().validity;
        let time = if now_s < validity.not_before_s {
            Some("the certificate of TLS is not valid yet".to_owned())
        } else if now_s > validity.not_after_s {
            Some("the certificate of TLS has expired".to_owned())
        } else if validity.not_after_s - now_s < EXPIRY_WARNING_S {
            let hours = (validity.not_after_s - now_s) / 3_600;
            Some(format!("the certificate of TLS expires in {hours} hours"))
        } else {
            None
        };
        trouble.into_iter().chain(time).collect()
    }

    /// When the certificate in use ends, in seconds since 1970.
    pub(crate) fn expires_s(&self) -> i64 {
        self.current().validity.not_after_s
    }

    /// True when the file of the certificate holds the authority that signed it, so that clients may
    /// be given that file.
    pub(crate) fn holds_authority(&self) -> bool {
        self.current().holds_authority
    }

    /// How often new files were used, and how often refused.
    pub(crate) fn reloads(&self) -> (u64, u64) {
        (
            self.reloads.load(Ordering::Relaxed),
            self.reloads_failed.load(Ordering::Relaxed),
        )
    }

    /// Connections that ended before they were one.
    pub(crate) fn handshakes_failed(&self) -> u64 {
        self.handshakes_failed.load(Ordering::Relaxed)
    }
}

/// Makes a port's connections into ones of TLS.
#[derive(Clone, Debug)]
pub(crate) struct Acceptor {
    tls: Option<Arc<Tls>>,
    inside: Inside,
    /// How long it may take.
    limit: Duration,
}

impl Acceptor {
    /// Leaves connections as they are.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self {
            tls: None,
            inside: Inside::Resp,
            limit: Duration::ZERO,
        }
    }

    /// Of a port that speaks TLS when `tls` is there.
    pub(crate) fn new(tls: Option<Arc<Tls>>, inside: Inside, limit: Duration) -> Self {
        Self { tls, inside, limit }
    }

    /// True when the port speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// A connection that is ready for what goes inside.
    ///
    /// # Errors
    /// When the other end does not come to an understanding with us, or not in time.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> io::Result<Stream> {
        let Some(tls) = &self.tls else {
            return Ok(Stream::Plain(tcp));
        };
        let config = tls.current().config(self.inside);
        let done = match timeout(self.limit, Box::pin(handshake(tcp, config))).await {
            Ok(done) => done,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        if done.is_err() {
            tls.handshakes_failed.fetch_add(1, Ordering::Relaxed);
        }
        done
    }
}

async fn handshake(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<Stream> {
    let tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = Box::new(TlsStream::new(tcp, tls));
    poll_fn(|context| stream.poll_handshake(context)).await?;
    Ok(Stream::Tls(stream))
}
