//! A connection's bytes, with or without TLS. An enum and not a trait object: without TLS a read or
//! a write costs one well predicted branch more than the bare socket.
//!
//! rustls makes and takes the bytes of TLS and knows no sockets; the little that joins the two is
//! here, because RESP writes outside of any task, which the usual adapters have no way for.

use rustls::ServerConnection;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// See the module.
#[derive(Debug)]
pub(crate) enum Stream {
    /// Bytes go as they are.
    Plain(TcpStream),
    /// Boxed, so that a connection without TLS does not hold room for it.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Hands over bytes that the system takes at once.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] when it takes none now.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_write(bytes),
            Self::Tls(stream) => stream.try_write(bytes),
        }
    }

    /// Sends what was handed over and waits in here; without TLS there is never any.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] when the system does not take all of it now.
    pub(crate) fn try_flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.send(),
        }
    }

    /// How many bytes the system has taken of those that waited in here; it grows while the other
    /// end reads.
    pub(crate) fn sent_late(&self) -> u64 {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(stream) => stream.sent,
        }
    }

    /// Says that nothing more comes, if that can be said at once; without TLS the system does.
    pub(crate) fn say_end(&mut self) {
        if let Self::Tls(stream) = self {
            stream.say_end();
            // One that is gone needs not be told.
            drop(stream.send());
        }
    }

    /// Ready when the system takes bytes again.
    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_write_ready(context),
            Self::Tls(stream) => stream.tcp.poll_write_ready(context),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(stream) => stream.poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => stream.poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => {
                let first = slices.iter().find(|slice| !slice.is_empty());
                stream.poll_write(context, first.map_or(&[][..], |slice| slice))
            }
        }
    }

    /// TLS gathers bytes into records anyway, so whoever writes may as well do so before.
    fn is_write_vectored(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => stream.poll_send(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => stream.poll_shutdown(context),
        }
    }
}

/// A connection that speaks TLS, or is about to.
#[derive(Debug)]
pub(crate) struct TlsStream {
    tcp: TcpStream,
    tls: ServerConnection,
    /// Bytes of TLS that the system has taken.
    sent: u64,
    /// The end was said.
    closed: bool,
}

impl TlsStream {
    /// Nothing is said yet; see [`Self::poll_handshake`].
    pub(super) fn new(tcp: TcpStream, tls: ServerConnection) -> Self {
        Self {
            tcp,
            tls,
            sent: 0,
            closed: false,
        }
    }

    /// Comes to an understanding with the other end.
    pub(super) fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(context))?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(context))? == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Takes bytes of TLS from the system; 0 = there will be no more.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            match self.tls.read_tls(&mut Tcp(&self.tcp)) {
                Ok(count) => {
                    let understood = self.tls.process_new_packets();
                    // The other end may have to be told: an answer, or what is wrong.
                    self.send_if_possible()?;
                    return Poll::Ready(match understood {
                        Ok(_) => Ok(count),
                        Err(error) => Err(io::Error::new(ErrorKind::InvalidData, error)),
                    });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_read_ready(context))?;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.tls.reader().read(into.initialize_unfilled()) {
                Ok(count) => {
                    into.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Many hang up without saying so. What they sent says by itself whether it is whole,
                // in RESP as in HTTP.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(self.poll_receive(context))?;
        }
    }

    /// Hands bytes of TLS to the system until there are none, or it takes none.
    fn send(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Tcp(&self.tcp)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += u64::try_from(count).unwrap_or(u64::MAX),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send_if_possible(&mut self) -> io::Result<()> {
        match self.send() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.send() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_write_ready(context))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// As of a socket: what it says is written may still wait in here.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // How much rustls takes is bounded by its buffer, which has to be emptied first.
        self.send()?;
        let count = self.tls.writer().write(bytes)?;
        self.send_if_possible()?;
        Ok(count)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(context))?;
        Poll::Ready(self.try_write(bytes))
    }

    fn say_end(&mut self) {
        if !self.closed {
            self.closed = true;
            self.tls.send_close_notify();
        }
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.say_end();
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

/// The socket as rustls wants it: each call does what can be done at once.
struct Tcp<'a>(&'a TcpStream);

impl Read for Tcp<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for Tcp<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
