//! `kidoku serve`: starts the server and runs until it is told to stop.

use super::args::{SettingFlags, reachable};
use super::error::{CmdError, INTERNAL, IO, UNAVAILABLE, USAGE};
use super::out;
use crate::auth::{self, AuthMode, DeviceKeys, Keys, Table};
use crate::config::Config;
use crate::config::build::{load, show_bytes};
use crate::server::{self, Addresses, Recovered, StartError, StopError};
use kidoku_core::id::App;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Run the server
#[derive(Debug, clap::Args)]
pub(super) struct Serve {
    /// A TOML file of settings [default: KIDOKU_CONFIG, or none]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingFlags,
}

impl Serve {
    pub(super) fn run(&self) -> Result<(), CmdError> {
        let config = load(self.config.as_deref(), self.settings.layer())?;
        let keys = Arc::new(keys(&config)?);
        // From here on a TERM is a clean stop, also one that comes while the log is replayed.
        let signals = Signals::new().map_err(|error| signals_error(&error))?;
        let running = server::start_with(config.clone(), keys, &mut |facts| {
            if facts > 0 {
                out::complain(&format!("replaying the log: {} facts", out::grouped(facts)));
            }
        })
        .map_err(|error| start_error(&error))?;
        tell_recovery(running.recovered());
        out::print(&banner(&config, running.addresses()))?;
        signals.wait();
        out::complain("stopping");
        running.wait().map_err(|error| stop_error(&error))
    }
}

/// Says what a crash or a bad disk has left behind; nothing after a clean stop.
fn tell_recovery(recovered: Recovered) {
    if recovered.torn {
        out::complain("the last write before the stop was not finished; it was never acknowledged");
    }
    if recovered.facts_lost > 0 {
        let lost = out::grouped(recovered.facts_lost);
        out::complain(&format!(
            "DAMAGED LOG: {lost} facts could not be read and are lost"
        ));
    }
}

/// All keys, those of devices too; makes the ones of the data directory at the first start.
fn keys(config: &Config) -> Result<Keys, CmdError> {
    let keys = backend_keys(config)?;
    if !config.device(&App::default_app()).has_key() {
        auth::create_device_key_if_missing(&config.data_dir)?;
    }
    Ok(keys.with_device_keys(DeviceKeys::load(config)?))
}

/// The keys of the data directory; makes the root key at the first start.
fn backend_keys(config: &Config) -> Result<Keys, CmdError> {
    let dir = &config.data_dir;
    if config.dev {
        auth::make_private_dir(dir).map_err(|error| CmdError::file(dir, &error))?;
        return Ok(Keys::open_dir(dir, AuthMode::Dev)?);
    }
    auth::create_root_if_missing(dir)?;
    refuse_open_door(config, &Table::read(dir)?)?;
    Ok(Keys::open_dir(dir, AuthMode::Keyed)?)
}

/// A public address with no valid key would be a server that nobody may use and everybody may try.
pub(super) fn refuse_open_door(config: &Config, keys: &Table) -> Result<(), CmdError> {
    let now = auth::now();
    if keys.records().iter().any(|key| key.is_valid_at(now)) {
        return Ok(());
    }
    let all = [
        ("resp.listen", config.resp.listen),
        ("http.listen", config.http.listen),
    ];
    match all
        .into_iter()
        .find(|(_, address)| !address.ip().is_loopback())
    {
        Some((key, address)) => {
            let text = format!(
                "{key} = '{address}' is public, but every key is revoked or expired: make one with \
                 `kidoku key create`, or listen on 127.0.0.1"
            );
            Err(CmdError::new(USAGE, text))
        }
        None => Ok(()),
    }
}

/// What tells the server to stop: Ctrl-C, or the TERM of a supervisor.
struct Signals {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen; signals that come before [`Self::wait`] are kept.
    fn new() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let entered = runtime.enter();
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        drop(entered);
        Ok(Self {
            runtime,
            interrupt,
            terminate,
        })
    }

    /// Until one of them has come.
    fn wait(mut self) {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
        });
    }
}

/// What is shown when the server is ready; its last lines may be pasted into a shell as they are.
pub(super) fn banner(config: &Config, addresses: &Addresses) -> String {
    let dir = fs::canonicalize(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let key = key_line(config, &dir);
    let (resp, http) = (reachable(addresses.resp), reachable(addresses.http));
    format!(
        "Kidoku {} is ready\n  RESP     {}\n  HTTP     http://{}/docs\n  admin    http://{}/readyz\n  \
         data     {} (durability {}, {} cores, {} of memory)\n  key      {key}\n\nTry:\n{}",
        env!("CARGO_PKG_VERSION"),
        addresses.resp,
        http,
        reachable(addresses.admin),
        dir.display(),
        config.durability.as_str(),
        config.cores,
        show_size(config.memory_bytes),
        example(&Access::of(config, &dir), resp, http),
    )
}

fn show_size(bytes: usize) -> String {
    let mib = u64::try_from(bytes).unwrap_or(u64::MAX) >> 20;
    show_bytes(mib << 20)
}

fn key_line(config: &Config, dir: &Path) -> String {
    match Access::of(config, dir) {
        Access::Open => "none needed: app 'default', this machine only (--dev)".to_owned(),
        Access::RootKey(path) => format!("in {}", path.display()),
        Access::OwnKey => "yours: root.key is not in the data directory".to_owned(),
    }
}

/// How the examples show a key.
enum Access {
    Open,
    RootKey(PathBuf),
    OwnKey,
}

impl Access {
    fn of(config: &Config, dir: &Path) -> Self {
        let path = auth::root_key_path(dir);
        if config.dev {
            Self::Open
        } else if path.exists() {
            Self::RootKey(path)
        } else {
            Self::OwnKey
        }
    }

    /// What a shell makes the key of, inside double quotes.
    fn shell(&self) -> Option<String> {
        match self {
            Self::Open => None,
            Self::RootKey(path) => Some(format!(
                "$(cat {})",
                out::shell_quoted(&path.to_string_lossy())
            )),
            Self::OwnKey => Some("YOUR_KEY".to_owned()),
        }
    }
}

fn example(access: &Access, resp: SocketAddr, http: SocketAddr) -> String {
    let mut text = String::new();
    let mut authorization = String::new();
    if let Some(key) = access.shell() {
        text.push_str(&format!("  export REDISCLI_AUTH=\"{key}\"\n"));
        authorization = "-H \"Authorization: Bearer $REDISCLI_AUTH\" ".to_owned();
    }
    let host = match resp.ip() {
        ip if ip.is_loopback() && ip.is_ipv4() => String::new(),
        ip => format!("-h {ip} "),
    };
    let redis = format!("  redis-cli {host}-p {}", resp.port());
    text.push_str(&format!("{redis} KD.JOIN room alice bob\n"));
    text.push_str(&format!("{redis} KD.POST room 1 BY bob MENTIONS 1 alice\n"));
    text.push_str(&format!("{redis} -3 KD.COUNT alice room\n"));
    text.push_str(&format!(
        "  curl -s {authorization}http://{http}/v1/users/alice/badge\n"
    ));
    text
}

fn start_error(error: &StartError) -> CmdError {
    let exit_code = match error {
        StartError::Bind { .. } => UNAVAILABLE,
        StartError::Storage(_) => IO,
        StartError::Internal(_) => INTERNAL,
    };
    CmdError::new(exit_code, error.to_string())
}

fn stop_error(error: &StopError) -> CmdError {
    let exit_code = match error {
        StopError::Storage(_) => IO,
        StopError::CorePanicked => INTERNAL,
    };
    CmdError::new(exit_code, error.to_string())
}

fn signals_error(error: &io::Error) -> CmdError {
    CmdError::new(INTERNAL, format!("signals: {error}"))
}
