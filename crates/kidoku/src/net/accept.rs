//! Taking connections from a listener, whatever the system says meanwhile.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Pause after an accept failed, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections accepted before other tasks of the core get their turn.
const ACCEPTS_PER_TURN: u32 = 4;

/// Those who are connected do not wait for those who keep connecting.
#[derive(Debug, Default)]
pub(crate) struct Pace(u32);

impl Pace {
    /// One was accepted; gives way to others after a few.
    pub(crate) async fn keep(&mut self) {
        self.0 += 1;
        if self.0 >= ACCEPTS_PER_TURN {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}

/// The listener as the current runtime's.
///
/// # Errors
/// When the runtime can not use it.
pub(crate) fn listener(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// The next connection. Waits out what keeps the system from giving one.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_about_one_connection(&error) => {}
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// True when the failure is that of the connection that was to be accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
