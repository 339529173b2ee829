//! `kidoku serve`: starts the server and runs until it is told to stop.

use super::args::{SettingFlags, reachable, web_scheme};
use super::error::{CmdError, INTERNAL, IO, UNAVAILABLE, USAGE};
use super::out;
use crate::auth::{self, AuthMode, DeviceKeys, Keys, Table};
use crate::config::Config;
use crate::config::build::{load, show_bytes};
use crate::engine::stall::StallLog;
use crate::net::tls::{CHECK_INTERVAL, Checked, Tls};
use crate::server::{self, Addresses, Recovered, StartError, StopError, TlsPorts};
use kidoku_core::id::App;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

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
        for warning in running.warnings() {
            out::complain(&format!("ROT: {warning}"));
        }
        let tls = running.tls();
        for warning in tls.map_or_else(Vec::new, |tls| tls.warnings(auth::now_s())) {
            out::complain(&format!("WARNING: {warning}"));
        }
        let authority = config.tls.cert.as_deref();
        let authority = authority.filter(|_| tls.is_some_and(|tls| tls.holds_authority()));
        out::print(&banner(&config, running.addresses(), authority))?;
        let mut stalls = StallLog::default();
        signals.wait(|hung_up| {
            look_after(tls.map(AsRef::as_ref), hung_up);
            for stall in stalls.look(running.engine().stalls()) {
                out::complain(&format!("STALL: {stall}"));
            }
        });
        out::complain("stopping");
        running.wait().map_err(|error| stop_error(&error))
    }
}

/// Says what a crash or a bad disk has left behind; nothing after a clean stop.
fn tell_recovery(recovered: Recovered) {
    if recovered.torn {
        out::complain(
            "the end of the log is not whole and was cut off; after a kill or a power cut that is what \
             was being written, and was never acknowledged",
        );
    }
    if recovered.facts_lost > 0 {
        let lost = out::grouped(recovered.facts_lost);
        out::complain(&format!(
            "DAMAGED LOG: {lost} facts could not be read and are lost"
        ));
    }
}

/// Looks whether the files of TLS are new, and says what came of it.
fn look_after(tls: Option<&Tls>, hung_up: bool) {
    let Some(tls) = tls else {
        return;
    };
    match if hung_up { tls.reload() } else { tls.check() } {
        Checked::Same => {}
        Checked::Reloaded => {
            out::complain("TLS: new connections use the files as they are now");
            for warning in tls.warnings(auth::now_s()) {
                out::complain(&format!("WARNING: {warning}"));
            }
        }
        Checked::Refused(why) => out::complain(&format!(
            "TLS: the changed files are NOT used, the ones before stay: {why}"
        )),
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

/// What tells the server to stop: Ctrl-C, or the TERM of a supervisor. A HUP only tells it to read
/// the files of TLS again.
struct Signals {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
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
        let hang_up = signal(SignalKind::hangup())?;
        drop(entered);
        Ok(Self {
            runtime,
            interrupt,
            terminate,
            hang_up,
        })
    }

    /// Until one has come that tells to stop. Meanwhile `look` is called now and then, and with true
    /// when a HUP has come. It may block: this is the main thread, which does nothing else.
    fn wait(mut self, mut look: impl FnMut(bool)) {
        self.runtime.block_on(async {
            let mut now_and_then = tokio::time::interval(CHECK_INTERVAL);
            now_and_then.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = self.interrupt.recv() => return,
                    _ = self.terminate.recv() => return,
                    _ = self.hang_up.recv() => look(true),
                    _ = now_and_then.tick() => look(false),
                }
            }
        });
    }
}

/// What is shown when the server is ready; its last lines may be pasted into a shell as they are.
/// `authority` is a file that clients may trust, if the server has one.
pub(super) fn banner(config: &Config, addresses: &Addresses, authority: Option<&Path>) -> String {
    let dir = fs::canonicalize(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let key = key_line(config, &dir);
    let (resp, http) = (reachable(addresses.resp), reachable(addresses.http));
    let tls = addresses.tls;
    let resp_scheme = if tls.resp { "rediss://" } else { "" };
    format!(
        "Kidoku {} is ready\n  RESP     {resp_scheme}{}\n  HTTP     {}://{}/docs\n  admin    \
         {}://{}/readyz\n  data     {} (durability {}, {} cores, {} of memory)\n  key      {key}\n\n\
         Try:\n{}",
        env!("CARGO_PKG_VERSION"),
        addresses.resp,
        web_scheme(tls.http),
        http,
        web_scheme(tls.admin),
        reachable(addresses.admin),
        dir.display(),
        config.durability.as_str(),
        config.cores,
        show_size(config.memory_bytes),
        example(
            &Access::of(config, &dir),
            &Trust::of(config, authority),
            tls,
            (resp, http)
        ),
    )
}

/// How the examples get through TLS, in the words of redis-cli and of curl, which are the same.
struct Trust(String);

impl Trust {
    fn of(config: &Config, authority: Option<&Path>) -> Self {
        let authority = authority.map_or_else(
            || "CA.pem".to_owned(),
            |path| {
                let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
                out::shell_quoted(&path.to_string_lossy())
            },
        );
        let mut words = format!("--cacert {authority} ");
        if config.tls.client_ca.is_some() {
            words.push_str("--cert CLIENT.pem --key CLIENT.key ");
        }
        Self(words)
    }

    /// The words for a port; none where it needs none.
    fn words(&self, is_tls: bool) -> &str {
        if is_tls { &self.0 } else { "" }
    }
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

fn example(
    access: &Access,
    trust: &Trust,
    tls: TlsPorts,
    (resp, http): (SocketAddr, SocketAddr),
) -> String {
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
    let secure = if tls.resp { "--tls " } else { "" };
    let redis = format!(
        "  redis-cli {secure}{}{host}-p {}",
        trust.words(tls.resp),
        resp.port()
    );
    text.push_str(&format!("{redis} KD.JOIN room alice bob\n"));
    text.push_str(&format!("{redis} KD.POST room 1 BY bob MENTIONS 1 alice\n"));
    text.push_str(&format!("{redis} -3 KD.COUNT alice room\n"));
    text.push_str(&format!(
        "  curl -s {}{authorization}{}://{http}/v1/users/alice/badge\n",
        trust.words(tls.http),
        web_scheme(tls.http),
    ));
    text
}

pub(super) fn start_error(error: &StartError) -> CmdError {
    let exit_code = match error {
        StartError::Bind { .. } => UNAVAILABLE,
        StartError::Tls(fault) if fault.is_io() => IO,
        StartError::Tls(_) => USAGE,
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
