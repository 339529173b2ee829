//! What a connection may take and how long, before anything is known about who is at its other end.
//!
//! Together they keep a connection whose other end has not given a key below 32 KiB: its buffers
//! grow only with what has come, and what may come is a head. HTTP/2 is the exception, with 33 KiB for
//! a silent connection and at most 48: h2 sets up buffers of 16 KiB for frames to be sent, of 8 KiB for
//! frames that come and of 4 KiB to unpack headers in, whatever is configured, and hyper and what is
//! here take 4 KiB. To that come twice [`STRANGER_HEAD_BYTES_MAX`] for half a head, of which a frame and
//! what was gathered of those before it are kept, or up to 3 KiB for each of [`STRANGER_REQUESTS_MAX`]
//! requests.

use std::time::Duration;

/// Bytes of a request's head over HTTP/1: request line and headers. It is the size of the read
/// buffer too, so a body is read in pieces of at most this many bytes.
pub(crate) const HEAD_BYTES_MAX: usize = 16 << 10;

/// Headers of a request over HTTP/1.
pub(crate) const HEADERS_MAX: usize = 100;

/// Bytes of a request's headers over HTTP/2, unpacked, as the protocol counts them (32 more for
/// each header than there are letters in it). What is announced to the client is one more: the
/// library takes that for the first size that is too large.
pub(crate) const HEADER_LIST_BYTES_MAX: u32 = (16 << 10) - 1;

/// Requests under way at a time on one HTTP/2 connection.
pub(crate) const H2_STREAMS_MAX: u32 = 100;

/// Of those, requests of a connection that has shown no valid key: each costs up to 3 KiB until its
/// answer is taken.
pub(crate) const STRANGER_REQUESTS_MAX: u64 = 4;

/// Bytes of a request's headers, packed as they come, on such a connection: as many as the library has
/// room for without asking for more. A token of a device takes at most half of them.
pub(crate) const STRANGER_HEAD_BYTES_MAX: usize = 8 << 10;

/// Bytes of one request's body that an HTTP/2 client may send ahead of what has been read.
pub(crate) const H2_STREAM_WINDOW_BYTES: u32 = 64 << 10;

/// Bytes of all bodies of an HTTP/2 connection that may come ahead of what has been read.
pub(crate) const H2_CONNECTION_WINDOW_BYTES: u32 = 256 << 10;

/// Bytes of one HTTP/2 answer that wait for the client to take them.
pub(crate) const H2_SEND_BYTES_MAX: usize = 64 << 10;

/// Bytes of an answer that are handed to the protocol at a time, so that it asks for more, and is
/// seen to stop asking, long before it has all.
pub(crate) const PIECE_BYTES_MAX: usize = 64 << 10;

/// Bytes of one HTTP/2 frame: the least that the protocol allows.
pub(crate) const H2_FRAME_BYTES_MAX: u32 = 16 << 10;

/// How long a connection may take for what. Tests of the limits do not wait that long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From the connection to the end of TLS's handshake.
    pub(crate) handshake: Duration,
    /// From the connection to the head of its first request, all of it.
    pub(crate) first_request: Duration,
    /// From the first byte of a request's head to its last (HTTP/1).
    pub(crate) head: Duration,
    /// From one request's end to the next one's beginning.
    pub(crate) idle: Duration,
    /// The same after a request that had no valid key.
    pub(crate) idle_without_key: Duration,
    /// While a body is being sent: from one piece of it to the next.
    pub(crate) body_stall: Duration,
    /// While an answer is owed: from one piece that the client takes to the next.
    pub(crate) write_stall: Duration,
    /// A silent HTTP/2 connection is asked this often whether it is still there,
    pub(crate) ping_interval: Duration,
    /// and has this long to say so.
    pub(crate) ping_timeout: Duration,
}

impl Times {
    /// What is served with.
    pub(crate) const SERVING: Self = Self {
        handshake: Duration::from_secs(5),
        first_request: Duration::from_secs(10),
        head: Duration::from_secs(5),
        idle: Duration::from_secs(60),
        idle_without_key: Duration::from_secs(5),
        body_stall: Duration::from_secs(60),
        write_stall: Duration::from_secs(30),
        ping_interval: Duration::from_secs(20),
        ping_timeout: Duration::from_secs(10),
    };
}
