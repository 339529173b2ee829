//! A client that asks and waits: for filling a server before it is measured, and for questions about it.

use super::{Framing, RESP, Scan};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes read at a time.
const READ_BYTES: usize = 1 << 16;
/// Bytes of requests that are sent before replies are read: less than what the buffers of a connection
/// hold on both sides, so that neither waits for the other.
const BATCH_BYTES: usize = 1 << 15;

/// A connection that waits for its answers.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    scan: Scan,
}

impl Client {
    /// Connects to a server that speaks RESP.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::framed(address, RESP)
    }

    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) fn framed(address: SocketAddr, framing: Framing) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            input: Vec::new(),
            scan: Scan::new(framing),
        })
    }

    /// Sends a request and waits for its reply.
    ///
    /// # Errors
    /// The connection breaks, or what comes is no reply.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.write_all(request)?;
        self.reply()
    }

    /// Sends many requests and hands each reply to `check`, in order.
    ///
    /// # Errors
    /// The connection breaks, or `check` does not accept a reply.
    pub(crate) fn ask_all(
        &mut self,
        requests: impl Iterator<Item = Vec<u8>>,
        mut check: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> io::Result<()> {
        let mut requests = requests.peekable();
        let mut batch = Vec::new();
        while requests.peek().is_some() {
            batch.clear();
            let mut sent = 0;
            while batch.len() < BATCH_BYTES
                && let Some(request) = requests.next()
            {
                batch.extend_from_slice(&request);
                sent += 1;
            }
            self.stream.write_all(&batch)?;
            for _ in 0..sent {
                let reply = self.reply()?;
                check(&reply).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    fn reply(&mut self) -> io::Result<Vec<u8>> {
        let mut piece = [0; READ_BYTES];
        loop {
            if let Some(end) = self.scan.end(&self.input).map_err(io::Error::other)? {
                return Ok(self.input.drain(..end).collect());
            }
            let read = match self.stream.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.input
                .extend_from_slice(piece.get(..read).unwrap_or_default());
        }
    }

    /// The connection itself, ready for a loop that does not wait.
    ///
    /// # Errors
    /// The system refuses it, or a reply was left unread.
    pub(crate) fn into_stream(self) -> io::Result<TcpStream> {
        if !self.input.is_empty() {
            return Err(io::Error::other("the server says more than it was asked"));
        }
        self.stream.set_nonblocking(true)?;
        Ok(self.stream)
    }
}
