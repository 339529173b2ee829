//! Arguments that several subcommands share.

use super::client::{Client, Target, Trust};
use super::error::{CmdError, UNAVAILABLE, USAGE};
use crate::auth;
use crate::config::build::{data_dir_flag, load};
use crate::config::parse::{Layer, flags};
use crate::config::table::{FIELDS, Kind};
use crate::config::{Config, env};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use kidoku_core::id::App;
use serde::Deserialize;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, parse_pem};

/// One flag for each setting, made from the table of settings.
#[derive(Clone, Debug, Default)]
pub(super) struct SettingFlags {
    given: Vec<(&'static str, String)>,
}

impl SettingFlags {
    pub(super) fn layer(&self) -> Layer {
        flags(self.given.iter().cloned())
    }
}

fn value_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Path { .. } => "DIR",
        Kind::PathOrNone { .. } => "FILE",
        Kind::Integer { .. } => "N",
        Kind::Bytes { .. } => "BYTES",
        Kind::Choice { .. } => "WORD",
        Kind::Switch { .. } => "BOOL",
        Kind::Address { .. } => "ADDR:PORT",
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        FIELDS.iter().fold(command, |command, field| {
            let help = format!(
                "{} [{}] [default: {}]",
                field.doc,
                field.kind.range(),
                field.default_shown()
            );
            let name = value_name(&field.kind);
            let argument = Arg::new(field.key)
                .long(field.flag())
                .value_name(name)
                .help(help);
            command.arg(match field.kind {
                Kind::Switch { .. } => argument
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
                _ => argument,
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let text = |key| {
            matches
                .get_one::<String>(key)
                .cloned()
                .map(|text| (key, text))
        };
        self.given = FIELDS.iter().filter_map(|field| text(field.key)).collect();
        Ok(())
    }
}

/// Which data directory a command works on.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct DataDir {
    /// The data directory [default: as configured, ./kidoku-data]
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// The configuration file that names it
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl DataDir {
    pub(super) fn resolve(&self) -> Result<Config, CmdError> {
        Ok(load(
            self.config.as_deref(),
            data_dir_flag(self.data_dir.as_deref()),
        )?)
    }
}

/// Which server a command talks to, and as whom.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Server {
    #[command(flatten)]
    dir: DataDir,
    /// The server [default: KIDOKU_URL, or the one running on the data directory]
    #[arg(long, value_name = "http[s]://HOST:PORT")]
    url: Option<String>,
    /// A PEM file with the authority of an https server's certificate [default: those of the system; a
    /// server found by its data directory needs none]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A PEM file with a certificate, for a server that asks for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// A PEM file with the key of that certificate
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// The key; others on this machine can see it, so better use --key-file or KIDOKU_KEY
    #[arg(long, conflicts_with = "key_file")]
    key: Option<String>,
    /// A file that holds the key [default: root.key of the data directory]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The app; only the root key may choose [default: the key's]
    #[arg(long, value_parser = parse_app)]
    app: Option<App>,
}

fn parse_app(text: &str) -> Result<App, String> {
    App::new(text).map_err(|error| error.to_string())
}

impl Server {
    /// The data directory of the command, where resumption of imports is kept.
    pub(super) fn data_dir(&self) -> Result<PathBuf, CmdError> {
        Ok(self.dir.resolve()?.data_dir)
    }

    /// A client for the server that the arguments, the environment or the data directory name.
    /// The settings of the data directory.
    pub(super) fn settings(&self) -> Result<Config, CmdError> {
        self.dir.resolve()
    }

    pub(super) fn client(&self) -> Result<Client, CmdError> {
        let app = self.app.clone();
        let named_key = self.named_key()?;
        if let Some(url) = self.url.clone().or_else(env::url) {
            let url = checked_url(&url)?;
            let trust = self.trust(url.starts_with("https://"))?;
            return Client::new(Target {
                url,
                trust,
                key: named_key,
                app,
                by_dir: false,
            });
        }
        let dir = self.data_dir()?;
        let url = url_of_running(&dir)?;
        let key = match named_key {
            Some(key) => Some(key),
            None => auth::read_root_key(&dir)?,
        };
        Client::new(Target {
            url,
            trust: self.trust(false)?,
            key,
            app,
            by_dir: true,
        })
    }

    /// `is_far` = the server has to prove that it is the one that was meant.
    fn trust(&self, is_far: bool) -> Result<Trust, CmdError> {
        let system = Path::new(SYSTEM_AUTHORITIES);
        let ca = self.ca.as_deref().or_else(|| is_far.then_some(system));
        let own = match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => Some(own_certificate(cert, key)?),
            (Some(_) | None, Some(_) | None) => None,
        };
        Ok(Trust {
            authorities: ca.map(certificates).transpose()?,
            own,
        })
    }

    fn named_key(&self) -> Result<Option<String>, CmdError> {
        if let Some(path) = &self.key_file {
            let text = fs::read_to_string(path).map_err(|error| CmdError::file(path, &error))?;
            return Ok(Some(text.trim().to_owned()));
        }
        Ok(self.key.clone().or_else(env::key))
    }
}

/// Where Debian, and what is made from it, keeps the authorities that browsers trust.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, CmdError> {
    let pem = fs::read(path).map_err(|error| CmdError::file(path, &error))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(not_pem(path, &error.to_string())),
        }
    }
    if found.is_empty() {
        return Err(not_pem(path, "there is no certificate in it"));
    }
    Ok(found)
}

fn own_certificate(cert: &Path, key: &Path) -> Result<ClientCert, CmdError> {
    let chain = certificates(cert)?;
    let pem = fs::read(key).map_err(|error| CmdError::file(key, &error))?;
    let key = PrivateKey::from_pem(&pem).map_err(|error| not_pem(key, &error.to_string()))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

fn not_pem(path: &Path, why: &str) -> CmdError {
    CmdError::new(USAGE, format!("{}: {why}", path.display()))
}

fn checked_url(url: &str) -> Result<String, CmdError> {
    let url = url.trim_end_matches('/');
    if !url.starts_with("http://") && !url.starts_with("https://") {
        let text = format!(
            "'{url}' is not a server: it begins with http:// or https://, like http://127.0.0.1:7401"
        );
        return Err(CmdError::new(USAGE, text));
    }
    Ok(url.to_owned())
}

#[derive(Deserialize)]
struct Addresses {
    http: SocketAddr,
    tls: TlsPorts,
}

#[derive(Deserialize)]
struct TlsPorts {
    http: bool,
}

/// Where the server of a data directory listens, by the file it writes when it is ready.
fn url_of_running(dir: &Path) -> Result<String, CmdError> {
    let path = dir.join("addresses.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let text = format!(
                "no server runs on {}: start one with `kidoku serve`, or name one with --url or \
                 --data-dir",
                dir.display()
            );
            return Err(CmdError::new(UNAVAILABLE, text));
        }
        Err(error) => return Err(CmdError::file(&path, &error)),
    };
    let addresses: Addresses = serde_json::from_slice(&text)
        .map_err(|error| CmdError::new(UNAVAILABLE, format!("{}: {error}", path.display())))?;
    let scheme = web_scheme(addresses.tls.http);
    Ok(format!("{scheme}://{}", reachable(addresses.http)))
}

/// What a URL of a port begins with.
pub(super) fn web_scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}

/// Where to connect to reach a listener of this machine.
pub(super) fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}
