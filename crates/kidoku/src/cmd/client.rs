//! The HTTP client of the subcommands.

use super::error::{CmdError, DATA, INTERNAL, IO, NOT_ALLOWED, UNAVAILABLE};
use crate::auth::APP_HEADER;
use kidoku_core::id::App;
use serde::Deserialize;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use ureq::http::Response;
use ureq::tls::{Certificate, ClientCert, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// The largest answer read into memory: a page of 10,000 names of 128 bytes and then some.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server, and who asks.
#[derive(Clone)]
pub(super) struct Target {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub(super) url: String,
    /// How it is made sure of, when it speaks TLS.
    pub(super) trust: Trust,
    /// `None` = a server that needs none.
    pub(super) key: Option<String>,
    /// `None` = the key's.
    pub(super) app: Option<App>,
    /// Found by its data directory, not by its address.
    pub(super) by_dir: bool,
}

/// How a server that speaks TLS is made sure of, and how it is shown who asks.
#[derive(Clone, Default)]
pub(super) struct Trust {
    /// Certificates that the server's must be signed with one of. `None` = the server runs on this
    /// machine, and where it listens stands in a file that only its owner can write, so that the
    /// connection is to no other program than it would be without TLS.
    pub(super) authorities: Option<Vec<Certificate<'static>>>,
    /// Certificate and key for a server that asks for one.
    pub(super) own: Option<ClientCert>,
}

impl Trust {
    fn config(&self) -> TlsConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(provider)
            .client_cert(self.own.clone());
        match &self.authorities {
            Some(authorities) => builder.root_certs(RootCerts::new_with_certs(authorities)),
            None => builder.disable_verification(true),
        }
        .build()
    }
}

/// Keeps its connection between requests.
pub(super) struct Client {
    agent: Agent,
    target: Target,
}

/// What the server says when it refuses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    /// The error word.
    pub(super) code: String,
    /// What, which, and the limit.
    pub(super) detail: String,
    /// What was applied of a stream of events before it broke off.
    pub(super) report: Option<Report>,
}

/// What became of a stream of events.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Report {
    /// Lines read.
    pub(super) lines: u64,
    /// Lines that were accepted.
    pub(super) applied: u64,
    /// Lines that changed something.
    pub(super) changed: u64,
    /// Lines that were refused.
    pub(super) failed: u64,
    /// The first of them.
    pub(super) errors: Vec<FailedLine>,
}

/// A line that was refused.
#[derive(Debug, Deserialize)]
pub(super) struct FailedLine {
    /// Which line of the request, from 1.
    pub(super) line: u64,
    /// The error word.
    pub(super) code: String,
    /// What, which field, and the limit.
    pub(super) detail: String,
}

/// An answer that is not a success.
#[derive(Debug)]
pub(super) struct Refused {
    /// The HTTP status.
    pub(super) status: u16,
    /// What the server says.
    pub(super) refusal: Refusal,
}

impl From<Refused> for CmdError {
    fn from(refused: Refused) -> Self {
        let exit_code = match refused.status {
            401 | 403 => NOT_ALLOWED,
            429 | 503 => UNAVAILABLE,
            507 => IO,
            400..=499 => DATA,
            _ => INTERNAL,
        };
        let Refusal { code, detail, .. } = refused.refusal;
        Self::new(
            exit_code,
            format!("the server answers {} {code}: {detail}", refused.status),
        )
    }
}

/// A request that came to nothing.
pub(super) enum Failure {
    /// The server answered and refused.
    Refused(Box<Refused>),
    /// There was no answer.
    Lost(CmdError),
}

impl From<Failure> for CmdError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refused) => (*refused).into(),
            Failure::Lost(error) => error,
        }
    }
}

impl Client {
    pub(super) fn new(target: Target) -> Result<Self, CmdError> {
        let header = |text: &str| ureq::http::HeaderValue::from_str(text).is_ok();
        if !target.key.as_deref().is_none_or(header) {
            return Err(CmdError::new(
                NOT_ALLOWED,
                "the key has characters that no key has",
            ));
        }
        // No proxy: one named in the environment is for the web, not for a server of one's own.
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("kidoku/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .tls_config(target.trust.config())
            .build();
        Ok(Self {
            agent: config.new_agent(),
            target,
        })
    }

    /// The server and the app, to tell one import from another.
    pub(super) fn target_name(&self) -> String {
        let app = self.target.app.as_ref().map_or("", App::as_str);
        // The port of a server found by its directory may change from start to start.
        let url = if self.target.by_dir {
            "data-dir"
        } else {
            &self.target.url
        };
        format!("{url} {app}")
    }

    /// Another client for the same server, with a connection of its own.
    pub(super) fn twin(&self) -> Result<Self, CmdError> {
        Self::new(self.target.clone())
    }

    /// `GET path`, its answer as a stream.
    pub(super) fn get(&self, path: &str) -> Result<impl Read + use<>, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.target.url));
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        Ok(self.accepted(request.call())?.into_body().into_reader())
    }

    /// `GET path`, its answer as JSON.
    pub(super) fn get_json<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, Failure> {
        let mut bytes = Vec::new();
        let mut reader = self.get(path)?.take(ANSWER_BYTES_MAX);
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| self.lost(&error.to_string()))?;
        self.json(&bytes)
    }

    /// `POST path`, its answer as JSON.
    pub(super) fn post_json<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<T, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.target.url));
        request = request.header("Content-Type", content_type);
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        let mut answer = self.accepted(request.send(body))?;
        let bytes = self.bytes(answer.body_mut())?;
        self.json(&bytes)
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        let key = self
            .target
            .key
            .iter()
            .map(|key| ("Authorization", format!("Bearer {key}")));
        let app = self
            .target
            .app
            .iter()
            .map(|app| (APP_HEADER, app.as_str().to_owned()));
        key.chain(app).collect()
    }

    fn accepted(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Failure> {
        let mut answer = answer.map_err(|error| self.lost(&error.to_string()))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status().as_u16();
        let bytes = self.bytes(answer.body_mut())?;
        let refusal = serde_json::from_slice(&bytes).unwrap_or_default();
        Err(Failure::Refused(Box::new(Refused { status, refusal })))
    }

    fn bytes(&self, body: &mut Body) -> Result<Vec<u8>, Failure> {
        let limited = body.with_config().limit(ANSWER_BYTES_MAX);
        limited
            .read_to_vec()
            .map_err(|error| self.lost(&error.to_string()))
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, bytes: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(bytes).map_err(|error| {
            let text = format!(
                "{} gives an answer that can not be read: {error}",
                self.target.url
            );
            Failure::Lost(CmdError::new(INTERNAL, text))
        })
    }

    fn lost(&self, reason: &str) -> Failure {
        Failure::Lost(CmdError::new(
            UNAVAILABLE,
            format!("{}: {reason}", self.target.url),
        ))
    }
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // A dot too: `.` and `..` as they stand mean something else in a path.
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
