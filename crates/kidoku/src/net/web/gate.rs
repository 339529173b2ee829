//! Holds back requests of an HTTP/2 connection that has shown no valid key, while as many as it may
//! have are under way, and lets no long ones in.
//!
//! The library takes in all that has come, a hundred requests at once, before it gives out the first
//! of them, and keeps some KiB for each until its answer is taken, which its client may put off. So
//! they are held back before they get there: frames are told apart by their heads (RFC 9113, section
//! 4.1), and behind the head of one request too many nothing is read. With the first valid key this
//! is over; what is inside of frames is no concern of it.

use crate::net::limits::{STRANGER_HEAD_BYTES_MAX, STRANGER_REQUESTS_MAX};
use std::io;

/// Bytes of a frame's head.
const HEAD_BYTES: usize = 9;

/// The kind of a frame that may begin a request,
const HEADERS: u8 = 1;

/// and of one that goes on with its headers.
const CONTINUATION: u8 = 9;

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    /// Of the next frame's head, what has come.
    head: [u8; HEAD_BYTES],
    head_count: usize,
    /// Bytes of the frame at hand that have not come.
    rest: usize,
    /// The highest stream of a request.
    stream: u32,
    /// Requests whose first frame has begun.
    begun: u64,
    /// Bytes of headers of the last one.
    headers: usize,
}

impl Gate {
    /// Before so many bytes that are no frame.
    pub(super) fn new(preface: usize) -> Self {
        Self {
            head: [0; HEAD_BYTES],
            head_count: 0,
            rest: preface,
            stream: 0,
            begun: 0,
            headers: 0,
        }
    }

    /// How many bytes may be read next, when so many requests have ended; 0 = none until another one
    /// has.
    pub(super) fn allowed(&self, ended: u64) -> usize {
        if self.begun.saturating_sub(ended) > STRANGER_REQUESTS_MAX {
            0
        } else if self.rest > 0 {
            self.rest
        } else {
            HEAD_BYTES - self.head_count
        }
    }

    /// Notes what was read, which is at most what was allowed.
    ///
    /// # Errors
    /// When the headers of a request are too long.
    pub(super) fn note(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.rest > 0 {
            self.rest = self.rest.saturating_sub(bytes.len());
            return Ok(());
        }
        for (to, byte) in self.head.iter_mut().skip(self.head_count).zip(bytes) {
            *to = *byte;
        }
        self.head_count += bytes.len();
        if self.head_count < HEAD_BYTES {
            return Ok(());
        }
        self.head_count = 0;
        let [a, b, c, kind, _, stream @ ..] = self.head;
        self.rest = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let stream = u32::from_be_bytes(stream);
        // What has a number that was there before is a trailer, or wrong.
        if kind == HEADERS && stream > self.stream {
            self.stream = stream;
            self.begun += 1;
        }
        match kind {
            HEADERS => self.headers = self.rest,
            CONTINUATION => self.headers += self.rest,
            _ => {}
        }
        if self.headers > STRANGER_HEAD_BYTES_MAX {
            let why = format!(
                "headers of {} bytes and no valid key, at most {STRANGER_HEAD_BYTES_MAX} are taken \
                 (stranger_head_bytes_max)",
                self.headers
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kidoku_torture::h2::{DATA, END_STREAM, PREFACE, SETTINGS, frame, request};

    /// Lets through what it does of these bytes in pieces of at most `step`; how many those were.
    fn pass(gate: &mut Gate, bytes: &[u8], step: usize, ended: u64) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = gate.allowed(ended).min(rest.len()).min(step);
            if count == 0 {
                break;
            }
            let (piece, after) = rest.split_at(count);
            gate.note(piece).unwrap();
            rest = after;
        }
        bytes.len() - rest.len()
    }

    fn get(n: u32) -> Vec<u8> {
        request(0, 2 * n + 1, "GET", "/", &[])
    }

    #[test]
    fn four_requests_are_let_in_and_the_fifth_when_one_has_ended() {
        let most = u32::try_from(STRANGER_REQUESTS_MAX).unwrap();
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(SETTINGS, 0, 0, &[0; 6]));
        for n in 0..most {
            bytes.extend(get(n));
            bytes.extend(frame(DATA, 0, 2 * n + 1, b"some"));
            // Its trailers are no request.
            bytes.extend(request(END_STREAM, 2 * n + 1, "GET", "/", &[]));
        }
        let let_in = bytes.len();
        bytes.extend(get(most));
        let second = bytes.len();
        bytes.extend(get(most + 1));
        for step in 1..40 {
            let mut gate = Gate::new(PREFACE.len());
            let passed = pass(&mut gate, &bytes, step, 0);
            assert_eq!(passed, let_in + HEAD_BYTES, "{step}");
            let passed = passed + pass(&mut gate, &bytes[passed..], step, 1);
            assert_eq!(passed, second + HEAD_BYTES, "{step}");
            let rest = &bytes[passed..];
            assert_eq!(pass(&mut gate, rest, step, 2), rest.len(), "{step}");
        }
    }
    #[test]
    fn headers_of_8_kib_are_let_in_in_any_frames_and_not_a_byte_more() {
        const END_HEADERS: u8 = 4;
        for first in [0, 1, 5_000, STRANGER_HEAD_BYTES_MAX] {
            for more in [0, 1] {
                let rest = STRANGER_HEAD_BYTES_MAX - first + more;
                let mut gate = Gate::new(0);
                let begun = gate.note(&frame(HEADERS, 0, 1, &vec![0; first])[..HEAD_BYTES]);
                assert!(begun.is_ok());
                gate.rest = 0;
                let end = frame(CONTINUATION, END_HEADERS, 1, &vec![0; rest]);
                assert_eq!(gate.note(&end[..HEAD_BYTES]).is_ok(), more == 0, "{first}");
                // The next request's are counted anew.
                gate.rest = 0;
                let next = frame(HEADERS, END_HEADERS, 3, &[0; 100]);
                assert!(gate.note(&next[..HEAD_BYTES]).is_ok());
            }
        }
    }
}
