//! What a connection has to send and the socket has not taken yet.

use super::io::Io;
use super::limits::{OUTPUT_BYTES_MAX, OUTPUT_PAUSE_BYTES, SEND_BYTES_MAX};
use crate::net::stream::Stream;
use std::io::ErrorKind;

/// What became of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The socket has taken all.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// There is more than leaves at a time.
    More,
    /// The connection is gone.
    Broken,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// How many of them the socket has.
    sent: usize,
    /// The socket takes no more until it says so.
    pub(crate) blocked: bool,
    /// The socket may take more, and has had enough for one turn.
    pub(crate) more: bool,
}

impl Output {
    /// Bytes still to be sent.
    pub(crate) fn pending(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// True when nothing more is to be read or encoded before some of it is sent.
    pub(crate) fn is_paused(&self) -> bool {
        self.pending() > OUTPUT_PAUSE_BYTES
    }

    /// True when it is more than is kept for anybody.
    pub(crate) fn is_too_much(&self) -> bool {
        self.pending() > OUTPUT_BYTES_MAX
    }

    /// Bytes of memory that the buffer takes.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// The buffer to append to.
    pub(crate) fn buffer(&mut self, io: &Io) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = io.take_output();
        }
        &mut self.bytes
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Hands the socket as much as it takes, and not too much at a time. Once all is sent the buffer
    /// goes back.
    pub(crate) fn send(&mut self, stream: &mut Stream, io: &Io) -> Sent {
        self.more = false;
        let mut left = SEND_BYTES_MAX;
        while let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            if left == 0 {
                self.blocked = false;
                self.more = true;
                self.compact();
                return Sent::More;
            }
            let (part, _) = rest.split_at(rest.len().min(left));
            match stream.try_write(part) {
                Ok(0) => return Sent::Broken,
                Ok(count) => {
                    self.sent += count;
                    left = left.saturating_sub(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    self.compact();
                    return Sent::Blocked;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Sent::Broken,
            }
        }
        self.sent = 0;
        if self.bytes.capacity() > 0 {
            io.give_output(std::mem::take(&mut self.bytes));
        }
        match stream.try_flush() {
            Ok(()) => {
                self.blocked = false;
                Sent::All
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.blocked = true;
                Sent::Blocked
            }
            Err(_) => Sent::Broken,
        }
    }

    /// Drops what is sent, once that is the larger part, so that a slow reader's buffer does not
    /// grow with what it has read.
    fn compact(&mut self) {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of which a part was sent, so that it is not the buffer's length that counts.
    fn unsent(count: usize) -> Output {
        let sent = 1_000;
        Output {
            bytes: vec![0; sent + count],
            sent,
            blocked: true,
            more: false,
        }
    }

    #[test]
    fn a_mebibyte_of_answers_may_be_unsent_and_one_byte_more_pauses_the_connection() {
        assert!(!unsent(OUTPUT_PAUSE_BYTES).is_paused());
        assert!(unsent(OUTPUT_PAUSE_BYTES + 1).is_paused());
    }

    #[test]
    fn sixteen_mebibytes_may_be_unsent_and_one_byte_more_is_too_much() {
        assert!(!unsent(OUTPUT_BYTES_MAX).is_too_much());
        assert!(unsent(OUTPUT_BYTES_MAX + 1).is_too_much());
    }
}
