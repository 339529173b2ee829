//! The waiting room: answers on all ports while the log is replayed.
//!
//! A number made before all of the log is in would be too low, so nobody gets one: RESP and HTTP
//! answer `TRYAGAIN`, with how far the replay is, and the admin port says the same in `/readyz`. Who
//! asks again finds the server itself behind the same port.

use super::StartError;
use super::bind::Listeners;
use crate::admin;
use axum::Router;
use axum::response::{IntoResponse, Response};
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
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_local;

/// RESP connections that are answered at a time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 256;

/// Bytes that are read before the answer.
const REQUEST_BYTES_MAX: usize = 4 * 1024;

/// How long a client may take to say something, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause after an accept failed, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How far the replay is.
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
            "replaying the log: {} of {} bytes, {} facts",
            self.bytes.load(Ordering::Relaxed),
            self.bytes_max.load(Ordering::Relaxed),
            self.facts.load(Ordering::Relaxed)
        )
    }
}

/// An open room; closes when dropped.
pub(super) struct WaitingRoom {
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WaitingRoom {
    /// Opens it on copies of the listeners.
    pub(super) fn open(listeners: &Listeners, progress: Arc<Progress>) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError::Internal(format!("the waiting room: {error}"));
        let copies = listeners.try_clone().map_err(failed)?;
        let (close, closed) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let run = move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                serve(copies, &progress);
                // Either way it is to end.
                drop(closed.await);
            });
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

fn serve(listeners: Listeners, progress: &Arc<Progress>) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for listener in listeners.resp {
        let resp = serve_resp(listener, Arc::clone(progress), Arc::clone(&seats));
        drop(spawn_local(async move { drop(resp.await) }));
    }
    for listener in listeners.http {
        let asked = Arc::clone(progress);
        let refuse = move || std::future::ready(refusal(&asked));
        serve_http(listener, Router::new().fallback(refuse));
    }
    let asked = Arc::clone(progress);
    let ready = move || std::future::ready(admin::readiness(vec![asked.text()], Vec::new()));
    let asked = Arc::clone(progress);
    let refuse = move || std::future::ready(refusal(&asked));
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .fallback(refuse);
    serve_http(listeners.admin, router);
}

fn refusal(progress: &Progress) -> Response {
    crate::http::refuse(Problem::new(Code::TryAgain, progress.text())).into_response()
}

/// A listener that can not be served answers nobody before the server is ready.
fn serve_http(listener: TcpListener, router: Router) {
    drop(spawn_local(async move {
        if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
            drop(axum::serve(listener, router).await);
        }
    }));
}

async fn serve_resp(
    listener: TcpListener,
    progress: Arc<Progress>,
    seats: Arc<Semaphore>,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        // The semaphore is never closed.
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
            return Ok(());
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let progress = Arc::clone(&progress);
        drop(spawn_local(async move {
            // Too slow, or gone: there is nobody to tell.
            drop(tokio::time::timeout(PATIENCE, answer(stream, &progress)).await);
            drop(seat);
        }));
    }
}

/// Answers the first request, whatever it is, and hangs up: the next connection may be the server's.
async fn answer(mut stream: TcpStream, progress: &Progress) -> io::Result<()> {
    let mut request = vec![0; REQUEST_BYTES_MAX];
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
