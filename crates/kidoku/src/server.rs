//! Puts the parts together: takes the data directory, binds ports, opens log and store, starts the
//! cores, and takes it all down again in order.

mod bind;
mod data_dir;
pub mod repair;
mod stop;
#[cfg(test)]
mod tests;
pub(crate) mod waiting;

use crate::admin::{self, AdminState};
use crate::auth::{self, Keys};
use crate::config::{Config, Durability};
use crate::engine::Engine;
use crate::engine::core::Core;
use crate::engine::runtime::{self, Services};
use crate::engine::shared::Shared;
use crate::engine::space::SpaceWatch;
use crate::engine::storage::{Storage, StorageError};
use crate::http::{self, HttpState};
use crate::net::limits::Times;
use crate::net::tls::{Acceptor, Inside, Tls, TlsError};
use crate::resp::{self, RespServer};
use bind::{Bound, Listeners};
use data_dir::DataDir;
use kidoku_core::clock::Clock;
use kidoku_core::shard::ShardConfig;
use serde::Serialize;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Instant;
pub use stop::StopError;
use tokio::task::spawn_local;
use waiting::{Acceptors, Progress, WaitingRoom};

/// Where a running server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// The Redis protocol.
    pub resp: SocketAddr,
    /// HTTP for backends.
    pub http: SocketAddr,
    /// Health and metrics.
    pub admin: SocketAddr,
    /// Other nodes; `None` = this server is alone.
    pub cluster: Option<SocketAddr>,
    /// Which of them speak TLS.
    pub tls: TlsPorts,
}

/// Which ports speak TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TlsPorts {
    /// The Redis protocol.
    pub resp: bool,
    /// HTTP.
    pub http: bool,
    /// Health and metrics.
    pub admin: bool,
}

/// What recovery found in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Facts replayed.
    pub facts: u64,
    /// Facts lost to damage of the disk; 0 on a sound one, also after a crash.
    pub facts_lost: u64,
    /// The end of the log was not written to the end, as after a crash, and was cut off.
    pub torn: bool,
}

/// Why a server does not start.
#[derive(Debug)]
pub enum StartError {
    /// An address can not be listened on. Exit code 69.
    Bind {
        /// The setting that names it.
        setting: &'static str,
        /// Which one.
        address: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// The files of TLS. Exit code 64 or 74.
    Tls(TlsFault),
    /// Data directory, log or store. Exit code 74.
    Storage(StorageFault),
    /// The system gives no thread, no random bytes, or the like. Exit code 70.
    Internal(String),
}

/// What is wrong with the files of TLS.
#[derive(Debug)]
pub struct TlsFault(TlsError);

impl TlsFault {
    /// True when a file can not be read, false when what is in it is wrong.
    pub fn is_io(&self) -> bool {
        matches!(self.0, TlsError::Io { .. })
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for TlsFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Reads the files of TLS as a start would, and says what somebody should look after.
///
/// # Errors
/// Which file can not be used, and why.
pub fn check_tls(config: &Config) -> Result<Vec<String>, TlsFault> {
    let tls = Tls::load(&config.tls).map_err(TlsFault)?;
    Ok(tls.map_or_else(Vec::new, |tls| tls.warnings(auth::now_s())))
}

/// What is wrong with the data directory or what is in it.
#[derive(Debug)]
pub enum StorageFault {
    /// The directory can not be made or used.
    Directory {
        /// Which path.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another server runs on the directory.
    InUse {
        /// Which one.
        path: PathBuf,
    },
    /// Log or store.
    Engine(StorageError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind {
                setting,
                address,
                error,
            } => {
                write!(f, "{setting}: cannot listen on {address}: {error}")
            }
            Self::Tls(fault) => fault.fmt(f),
            Self::Storage(StorageFault::Directory { path, error }) => {
                write!(f, "{}: {error}", path.display())
            }
            Self::Storage(StorageFault::InUse { path }) => {
                write!(
                    f,
                    "{}: another Kidoku server runs on this data directory",
                    path.display()
                )
            }
            Self::Storage(StorageFault::Engine(error)) => error.fmt(f),
            Self::Internal(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { error, .. } | Self::Storage(StorageFault::Directory { error, .. }) => {
                Some(error)
            }
            Self::Tls(fault) => Some(fault),
            Self::Storage(StorageFault::Engine(error)) => Some(error),
            Self::Storage(StorageFault::InUse { .. }) | Self::Internal(_) => None,
        }
    }
}

/// A server that serves. Dropping it without [`Self::wait`] stops it without draining, as a crash
/// would: nothing acknowledged is lost.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    recovered: Recovered,
    engine: Engine,
    tls: Option<Arc<Tls>>,
    shared: Arc<Shared>,
    cores: Vec<JoinHandle<()>>,
    storage: Option<Storage>,
    data_dir: DataDir,
    _space: SpaceWatch,
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What recovery found in the log.
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// What was found rotten at the start, in words; later finds are in `/readyz`.
    pub fn warnings(&self) -> Vec<String> {
        let storage = self.storage.as_ref();
        storage.map_or_else(Vec::new, |storage| storage.rot.found().notes)
    }

    /// The engine, for use inside the process.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// TLS, to look after its files; `None` = no port speaks it.
    pub(crate) fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Begins to stop: nothing new is taken. Returns at once.
    pub fn shutdown(&self) {
        stop::drain(&self.shared);
    }
}

/// Starts a server.
///
/// # Errors
/// See [`StartError`].
pub fn start(config: Config, keys: Arc<Keys>) -> Result<Running, StartError> {
    start_with(config, keys, &mut |_| {})
}

/// Starts a server, and tells `progress` now and then how many facts of the log are replayed.
///
/// # Errors
/// See [`StartError`].
pub fn start_with(
    config: Config,
    keys: Arc<Keys>,
    progress: &mut dyn FnMut(u64),
) -> Result<Running, StartError> {
    let data_dir = DataDir::take(&config.data_dir).map_err(StartError::Storage)?;
    let tls = Tls::load(&config.tls).map_err(|error| StartError::Tls(TlsFault(error)))?;
    let tls = tls.map(Arc::new);
    let bound = Bound::new(&config)?;
    let addresses = bound.addresses(&config);
    let listeners = bound.listen()?;
    let replayed = Arc::new(Progress::default());
    let acceptors = Acceptors {
        resp: acceptor(&tls, config.resp.tls, Inside::Resp),
        http: acceptor(&tls, config.http.tls, Inside::Web),
        admin: acceptor(&tls, config.admin.tls, Inside::Web),
    };
    let room = WaitingRoom::open(&listeners, acceptors, Arc::clone(&replayed))?;
    let storage = Storage::open(&config, &replayed, progress)
        .map_err(|error| StartError::Storage(StorageFault::Engine(error)))?;
    let recovered = Recovered {
        facts: storage.recovery.records,
        facts_lost: storage.recovery.records_lost,
        torn: storage.recovery.torn.is_some(),
    };
    let holds = config.durability == Durability::Sync;
    let shared = Arc::new(Shared::new(
        config.cores,
        Arc::clone(&storage.journal),
        Arc::clone(&storage.clock),
        storage.recovered_lsn(),
        holds,
    ));
    storage.connect(&shared);
    let space = SpaceWatch::start(
        config.data_dir.clone(),
        config.disk_free_bytes_min,
        Arc::downgrade(&shared),
    )
    .map_err(|error| StartError::Storage(StorageFault::Engine(error.into())))?;
    let engine = Engine::new(Arc::clone(&shared));
    let mut running = Running {
        addresses,
        recovered,
        engine,
        tls,
        shared,
        cores: Vec::new(),
        storage: Some(storage),
        data_dir,
        _space: space,
    };
    // From here on a new connection waits for a core.
    drop(room);
    running.start_cores(config, keys, listeners)?;
    let written = running.data_dir.write_addresses(&addresses);
    written.map_err(StartError::Storage)?;
    Ok(running)
}

/// How a port is spoken to that speaks TLS or does not.
fn acceptor(tls: &Option<Arc<Tls>>, speaks: bool, inside: Inside) -> Acceptor {
    let tls = tls.clone().filter(|_| speaks);
    Acceptor::new(tls, inside, Times::SERVING.handshake)
}

/// What the services of every core are made of.
#[derive(Clone)]
struct Parts {
    resp: RespServer,
    http: HttpState,
    admin: AdminState,
    http_acceptor: Acceptor,
    admin_acceptor: Acceptor,
}

impl Running {
    fn parts(&self, config: &Arc<Config>, keys: Arc<Keys>) -> Parts {
        let resp = RespServer {
            engine: self.engine.clone(),
            keys: Arc::clone(&keys),
            config: Arc::clone(config),
            acceptor: acceptor(&self.tls, config.resp.tls, Inside::Resp),
            address: self.addresses.resp,
            started: Instant::now(),
        };
        let http = HttpState::new(self.engine.clone(), keys, Arc::clone(config));
        let admin = AdminState {
            engine: self.engine.clone(),
            http: Arc::clone(&http.metrics),
            connections_max: config.admin.connections_max,
            tls: self.tls.clone(),
        };
        Parts {
            resp,
            http,
            admin,
            http_acceptor: acceptor(&self.tls, config.http.tls, Inside::Web),
            admin_acceptor: acceptor(&self.tls, config.admin.tls, Inside::Web),
        }
    }

    fn start_cores(
        &mut self,
        config: Config,
        keys: Arc<Keys>,
        listeners: Listeners,
    ) -> Result<(), StartError> {
        let hash_seed = getrandom::u64()
            .map_err(|error| StartError::Internal(format!("no random bytes: {error}")))?;
        let config = Arc::new(config);
        let parts = self.parts(&config, keys);
        let mut admin = Some(listeners.admin);
        let fresh = self
            .storage
            .as_ref()
            .is_some_and(|storage| storage.is_fresh);
        let clock = self
            .storage
            .as_ref()
            .map_or(0, |storage| storage.clock.load(Ordering::Acquire));
        let pairs = listeners.resp.into_iter().zip(listeners.http);
        for (id, (resp, http)) in self.shared.placement.all().zip(pairs) {
            let shard = ShardConfig {
                id,
                placement: self.shared.placement,
                hash_seed: hash_seed.wrapping_add(u64::from(id.0)),
                memory_bytes_max: config.memory_bytes / usize::from(config.cores.max(1)),
                fresh,
                clock_seen: Clock(clock),
                clock_owner: id,
            };
            let services = services(parts.clone(), resp, http, admin.take());
            let core = runtime::start(Arc::clone(&self.shared), shard, services)
                .map_err(|error| StartError::Internal(format!("core {}: {error}", id.0)))?;
            self.cores.push(core);
        }
        Ok(())
    }
}

/// Runs the listeners of a core. A listener that fails takes the core's share of new connections
/// with it, which health checks see; the others go on.
fn services(
    parts: Parts,
    resp: TcpListener,
    http: TcpListener,
    admin: Option<TcpListener>,
) -> Services {
    Box::new(move |core: &Rc<Core>| {
        let line = Rc::clone(&core.line);
        drop(spawn_local(async move {
            drop(http::serve(http, parts.http, parts.http_acceptor, line).await)
        }));
        if let Some(listener) = admin {
            drop(spawn_local(async move {
                drop(admin::serve(listener, parts.admin, parts.admin_acceptor).await)
            }));
        }
        let serving = resp::serve(resp, Rc::clone(core), parts.resp);
        drop(spawn_local(async move { drop(serving.await) }));
    })
}
