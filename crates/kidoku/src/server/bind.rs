//! The listening sockets: one for each core and protocol, all cores on one port.
//!
//! They listen before the log is replayed, so that a start that can not succeed fails at once, and
//! whoever comes is told how far it is, see [`super::waiting`].

use super::{Addresses, StartError, TlsPorts};
use crate::config::Config;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// Connections that may wait to be accepted, on each core. The kernel has a lower bound of its own.
const BACKLOG: i32 = 4_096;

/// Bytes that the kernel keeps for a connection in each direction (it doubles them for its own
/// bookkeeping). Left alone it lets both grow to tens of megabytes: that much work would wait before
/// the server sees any of it, seconds under overload, in memory that no limit here counts.
const SOCKET_BYTES: usize = 256 << 10;

/// After how long a silent connection is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(120);

/// Sockets of one protocol that have their port.
struct Group {
    setting: &'static str,
    address: SocketAddr,
    sockets: Vec<Socket>,
}

/// All ports, taken and not yet listening.
pub(super) struct Bound {
    resp: Group,
    http: Group,
    admin: Group,
}

/// All ports, listening.
pub(super) struct Listeners {
    /// One for each core.
    pub(super) resp: Vec<TcpListener>,
    /// One for each core.
    pub(super) http: Vec<TcpListener>,
    /// One.
    pub(super) admin: TcpListener,
}

impl Listeners {
    /// The same ones a second time.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let all = |listeners: &[TcpListener]| {
            let copies = listeners.iter().map(TcpListener::try_clone);
            copies.collect::<io::Result<Vec<_>>>()
        };
        Ok(Self {
            resp: all(&self.resp)?,
            http: all(&self.http)?,
            admin: self.admin.try_clone()?,
        })
    }
}

impl Bound {
    /// Takes the ports that the configuration names.
    pub(super) fn new(config: &Config) -> Result<Self, StartError> {
        let cores = usize::from(config.cores.max(1));
        Ok(Self {
            resp: Group::new("resp.listen", config.resp.listen, cores)?,
            http: Group::new("http.listen", config.http.listen, cores)?,
            admin: Group::new("admin.listen", config.admin.listen, 1)?,
        })
    }

    /// The ports taken.
    pub(super) fn addresses(&self, config: &Config) -> Addresses {
        let has = config.tls.cert.is_some();
        Addresses {
            resp: self.resp.address,
            http: self.http.address,
            admin: self.admin.address,
            cluster: None,
            tls: TlsPorts {
                resp: has && config.resp.tls,
                http: has && config.http.tls,
                admin: has && config.admin.tls,
            },
        }
    }

    /// Begins to listen.
    pub(super) fn listen(self) -> Result<Listeners, StartError> {
        let admin_failed = self.admin.failed(io::Error::other("no socket"));
        let admin = self.admin.listen()?.pop().ok_or(admin_failed)?;
        Ok(Listeners {
            resp: self.resp.listen()?,
            http: self.http.listen()?,
            admin,
        })
    }
}

impl Group {
    fn new(setting: &'static str, address: SocketAddr, count: usize) -> Result<Self, StartError> {
        let mut group = Self {
            setting,
            address,
            sockets: Vec::new(),
        };
        group.bind(count).map_err(|error| group.failed(error))?;
        Ok(group)
    }

    fn bind(&mut self, count: usize) -> io::Result<()> {
        if self.address.port() != 0 {
            // Another server of the same user may share a port that is open to sharing. One that
            // asks for it alone finds out whether somebody is there.
            let probe = socket(self.address)?;
            probe.bind(&self.address.into())?;
        }
        for _ in 0..count {
            let socket = socket(self.address)?;
            socket.set_reuse_port(true)?;
            socket.bind(&self.address.into())?;
            if let Some(bound) = socket.local_addr()?.as_socket() {
                self.address = bound;
            }
            self.sockets.push(socket);
        }
        Ok(())
    }

    fn listen(self) -> Result<Vec<TcpListener>, StartError> {
        for socket in &self.sockets {
            socket.listen(BACKLOG).map_err(|error| self.failed(error))?;
        }
        Ok(self.sockets.into_iter().map(TcpListener::from).collect())
    }

    fn failed(&self, error: io::Error) -> StartError {
        StartError::Bind {
            setting: self.setting,
            address: self.address,
            error,
        }
    }
}

/// A socket whose options the accepted connections take over.
fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // After a restart, connections of the former server may still hold the port for a minute.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Answers are written whole, so there is nothing to be gained by waiting for more.
    socket.set_tcp_nodelay(true)?;
    // Connections inherit them from their listener.
    socket.set_recv_buffer_size(SOCKET_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BYTES)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn all_cores_get_the_one_port_that_the_first_was_given() {
        let group = Group::new("resp.listen", loopback(0), 3).unwrap();
        let port = group.address.port();
        assert_ne!(port, 0);
        for listener in group.listen().unwrap() {
            assert_eq!(listener.local_addr().unwrap().port(), port);
        }
    }

    #[test]
    fn a_port_that_another_server_shares_is_still_taken() {
        let group = Group::new("resp.listen", loopback(0), 1).unwrap();
        let address = group.address;
        let listeners = group.listen().unwrap();
        let error = Group::new("resp.listen", address, 1).err().unwrap();
        assert!(
            error
                .to_string()
                .starts_with("resp.listen: cannot listen on"),
            "{error}"
        );
        drop(listeners);
        assert!(Group::new("resp.listen", address, 1).is_ok());
    }
}
