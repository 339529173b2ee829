//! Accepts connections on one core. Every core has a listener on the same port, and the kernel deals
//! connections out.

use super::RespServer;
use super::connection::Connection;
use super::io::Io;
use super::limits::without_key_max;
use super::session::Session;
use crate::engine::core::Core;
use crate::engine::shared::{Phase, Shared};
use crate::metrics::DropReason;
use crate::net::accept;
use crate::net::descriptors::is_one_too_many;
use crate::net::stream::Stream;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

/// How often deadlines are looked at.
const DEADLINE_INTERVAL: Duration = Duration::from_millis(500);

/// Serves one listener until the server drains.
///
/// # Errors
/// When the runtime can not use the listener.
pub(crate) async fn serve(
    listener: std::net::TcpListener,
    core: Rc<Core>,
    server: RespServer,
) -> io::Result<()> {
    let listener = accept::listener(listener)?;
    let io = Rc::new(Io::default());
    let deadlines = spawn_local(mind_deadlines(Rc::clone(&io)));
    let server = Rc::new(server);
    let mut phase = core.shared.phase.subscribe();
    let mut pace = accept::Pace::default();
    loop {
        tokio::select! {
            (stream, peer) = accept::accept(&listener) => {
                accept(&server, &core, &io, stream, peer);
                pace.keep().await;
            }
            _ = phase.wait_for(|phase| *phase != Phase::Running) => break,
        }
    }
    drop(listener);
    // Those that are still served may need to be cut off.
    drop(deadlines.await);
    Ok(())
}

async fn mind_deadlines(io: Rc<Io>) {
    let mut interval = tokio::time::interval(DEADLINE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        io.check_deadlines(Instant::now());
    }
}

/// Counts an open connection for as long as it lives.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.resp_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn accept(
    server: &Rc<RespServer>,
    core: &Rc<Core>,
    io: &Rc<Io>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let open = core.shared.resp_connections.fetch_add(1, Ordering::Relaxed);
    let counted = Counted(Arc::clone(&core.shared));
    let metrics = &core.shared.resp_metrics;
    let most = server.config.resp.connections_max;
    if open >= most {
        metrics.note_dropped(DropReason::Connections);
        let why = format!("{most} connections are open (resp.connections_max)");
        return refuse(server, &stream, &why);
    }
    if is_one_too_many(&stream) {
        metrics.note_dropped(DropReason::Connections);
        let why = "the process has no more open files for connections (ulimit -n)";
        return refuse(server, &stream, why);
    }
    let without_key = usize::try_from(metrics.without_key()).unwrap_or(usize::MAX);
    let most = without_key_max(most);
    if without_key >= most && server.keys.open().is_none() {
        metrics.note_dropped(DropReason::WithoutKey);
        let why = format!("{most} connections have given no key (connections_without_key_max)");
        return refuse(server, &stream, &why);
    }
    let (server, core, io) = (Rc::clone(server), Rc::clone(core), Rc::clone(io));
    drop(spawn_local(async move {
        if server.acceptor.is_tls() {
            // In a box, so that the connection's task does not hold the room that this takes.
            let mut phase = core.shared.phase.subscribe();
            // Until it is a connection of its own, it counts as one without a key here.
            core.shared.resp_metrics.enter_without_key();
            let accepted = tokio::select! {
                accepted = Box::pin(server.acceptor.accept(stream)) => Some(accepted),
                _ = phase.wait_for(|phase| *phase != Phase::Running) => None,
            };
            core.shared.resp_metrics.leave_without_key();
            let Some(accepted) = accepted else {
                return;
            };
            if let Ok(stream) = accepted {
                serve_one(server, core, io, stream, peer).await;
            }
        } else {
            serve_one(server, core, io, Stream::Plain(stream), peer).await;
        }
        drop(counted);
    }));
}

async fn serve_one(
    server: Rc<RespServer>,
    core: Rc<Core>,
    io: Rc<Io>,
    stream: Stream,
    peer: SocketAddr,
) {
    let total = &core.shared.resp_connections_total;
    let number = total.fetch_add(1, Ordering::Relaxed) + 1;
    let session = Session::new(&server, number, peer);
    let metrics = Arc::clone(&core.shared.resp_metrics);
    let connection = Connection::new(server, core, io, stream, session);
    if connection.enter() {
        connection.serve().await;
    } else {
        metrics.note_dropped(DropReason::Connections);
    }
}

/// Says why, if the socket takes it at once, and closes. With TLS it only closes: to say it would take
/// a handshake, which costs a hundred times the line, just when all who were cut off come again.
fn refuse(server: &RespServer, stream: &TcpStream, why: &str) {
    if !server.acceptor.is_tls() {
        let line = format!("-LIMIT {why}\r\n");
        // Nothing can be done for a client that does not even take one line.
        drop(stream.try_write(line.as_bytes()));
    }
}
