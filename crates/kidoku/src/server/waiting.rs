//! The waiting room: answers on all ports while the log is read.
//!
//! A number made before all of the log is in would be too low, so nobody gets one: RESP and HTTP
//! answer `TRYAGAIN`, with how far the reading is, and the admin port says the same in `/readyz`. Who
//! asks again finds the server itself behind the same port.

use super::StartError;
use super::bind::Listeners;
use crate::admin;
use crate::net::accept;
use crate::net::limits::Times;
use crate::net::tls::Acceptor;
use crate::net::web::{self, Port};
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use kidoku_core::error::Code;
use kidoku_proto::json::problem::Problem;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_local;

/// Connections of each protocol that are answered at a time; more wait, or are closed.
const CONNECTIONS_MAX: usize = 256;

/// Bytes that are read at a time.
const REQUEST_BYTES: usize = 4 * 1024;

/// How long a client may take to say something, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far the reading is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    facts: AtomicU64,
    bytes: AtomicU64,
    bytes_max: AtomicU64,
}

impl Progress {
    /// The log has so many bytes.
    pub(crate) fn begin(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    /// So much of it is read.
    pub(crate) fn set(&self, facts: u64, bytes: u64) {
        self.facts.store(facts, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    fn text(&self) -> String {
        format!(
            "reading the log: {} of {} bytes, {} facts",
            self.bytes.load(Ordering::Relaxed),
            self.bytes_max.load(Ordering::Relaxed),
            self.facts.load(Ordering::Relaxed)
        )
    }
}

/// How each port is spoken to.
pub(super) struct Acceptors {
    /// The Redis protocol.
    pub(super) resp: Acceptor,
    /// HTTP for backends.
    pub(super) http: Acceptor,
    /// Health and metrics.
    pub(super) admin: Acceptor,
}

/// An open room; closes when dropped.
pub(super) struct WaitingRoom {
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WaitingRoom {
    /// Opens it on copies of the listeners.
    pub(super) fn open(
        listeners: &Listeners,
        acceptors: Acceptors,
        progress: Arc<Progress>,
    ) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError::Internal(format!("the waiting room: {error}"));
        let copies = listeners.try_clone().map_err(failed)?;
        let (close, closed) = oneshot::channel::<()>();
        let run = move || {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default());
            // Without a runtime clients just wait.
            if let Ok(runtime) = runtime {
                runtime.block_on(async move {
                    serve(copies, acceptors, &progress);
                    // It ends when the sender is gone.
                    drop(closed.await);
                });
            }
        };
        let builder = std::thread::Builder::new().name("waiting-room".to_owned());
        let thread = builder.spawn(run).map_err(failed)?;
        Ok(Self {
            close: Some(close),
            thread: Some(thread),
        })
    }
}

impl Drop for WaitingRoom {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so by itself.
            drop(thread.join());
        }
    }
}

fn serve(listeners: Listeners, acceptors: Acceptors, progress: &Arc<Progress>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for listener in listeners.resp {
        let acceptor = acceptors.resp.clone();
        let resp = serve_resp(listener, acceptor, Arc::clone(progress), Arc::clone(&seats));
        drop(spawn_local(async move { drop(resp.await) }));
    }
    for listener in listeners.http {
        let router = Router::new().fallback(refuse(progress));
        serve_http(listener, router, acceptors.http.clone());
    }
    let asked = Arc::clone(progress);
    let ready = move || std::future::ready(admin::readiness(vec![asked.text()], Vec::new()));
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .fallback(refuse(progress));
    serve_http(listeners.admin, router, acceptors.admin);
}

/// Answers everything with how far the reading is.
fn refuse(
    progress: &Arc<Progress>,
) -> impl FnOnce() -> std::future::Ready<Response> + Clone + Send + Sync + 'static {
    let progress = Arc::clone(progress);
    move || {
        let problem = Problem::new(Code::TryAgain, progress.text());
        std::future::ready(crate::http::refusal(problem))
    }
}

/// A listener that can not be served answers nobody before the server is ready.
fn serve_http(listener: TcpListener, router: Router, acceptor: Acceptor) {
    let port = Port {
        router,
        connections: Arc::default(),
        connections_max: CONNECTIONS_MAX,
        times: Times::SERVING,
        acceptor,
        // No key is looked at yet.
        strangers: true,
        line: None,
        phase: None,
    };
    drop(spawn_local(async move {
        drop(web::serve(listener, port).await)
    }));
}

async fn serve_resp(
    listener: TcpListener,
    acceptor: Acceptor,
    progress: Arc<Progress>,
    seats: Arc<Semaphore>,
) -> io::Result<()> {
    let listener = accept::listener(listener)?;
    loop {
        // The semaphore is never closed.
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return Ok(());
        };
        let (stream, _) = accept::accept(&listener).await;
        let (acceptor, progress) = (acceptor.clone(), Arc::clone(&progress));
        drop(spawn_local(async move {
            let answered = answer(stream, acceptor, &progress);
            // Too slow, or gone: there is nobody to tell.
            drop(tokio::time::timeout(PATIENCE, answered).await);
            drop(seat);
        }));
    }
}

/// Answers the first request, whatever it is, and hangs up: the next connection may be the server's.
async fn answer(stream: TcpStream, acceptor: Acceptor, progress: &Progress) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut request = vec![0; REQUEST_BYTES];
    if stream.read(&mut request).await? == 0 {
        return Ok(());
    }
    let word = Code::TryAgain.as_str();
    let text = format!("-{word} {}\r\n", progress.text());
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await?;
    // A reset would take the answer away from a client that is still sending.
    while stream.read(&mut request).await? > 0 {}
    Ok(())
}
