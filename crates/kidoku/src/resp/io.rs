//! What the connections of one core share: buffers, so that an idle connection has none, and the
//! list of those with a deadline.

use super::connection::Connection;
use super::slots::Slot;
use kidoku_proto::resp::parse::Parser;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Instant;

/// Bytes read from a socket at a time.
pub(crate) const READ_BYTES: usize = 32 * 1024;
/// Buffers kept for the next connection that needs one.
const KEPT_BUFFERS: usize = 64;
/// A buffer larger than this is not kept.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;
/// A queue of more slots than this is not kept.
const KEPT_SLOTS: usize = 1_024;

/// See the module.
pub(crate) struct Io {
    /// Where sockets are read into.
    pub(crate) read: RefCell<Box<[u8]>>,
    /// Parses requests that begin in `read`.
    pub(crate) parser: RefCell<Parser>,
    outputs: RefCell<Vec<Vec<u8>>>,
    slots: RefCell<Vec<VecDeque<Slot>>>,
    deadlines: RefCell<Vec<Weak<Connection>>>,
}

impl Default for Io {
    fn default() -> Self {
        Self {
            read: RefCell::new(vec![0; READ_BYTES].into_boxed_slice()),
            parser: RefCell::default(),
            outputs: RefCell::default(),
            slots: RefCell::default(),
            deadlines: RefCell::default(),
        }
    }
}

impl Io {
    /// An empty buffer for output.
    pub(crate) fn take_output(&self) -> Vec<u8> {
        self.outputs.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes back a buffer for output.
    pub(crate) fn give_output(&self, mut buffer: Vec<u8>) {
        let mut outputs = self.outputs.borrow_mut();
        if buffer.capacity() <= KEPT_BUFFER_BYTES && outputs.len() < KEPT_BUFFERS {
            buffer.clear();
            outputs.push(buffer);
        }
    }

    /// An empty queue of slots.
    pub(crate) fn take_slots(&self) -> VecDeque<Slot> {
        self.slots.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes back an empty queue of slots.
    pub(crate) fn give_slots(&self, queue: VecDeque<Slot>) {
        let mut slots = self.slots.borrow_mut();
        if queue.capacity() <= KEPT_SLOTS && slots.len() < KEPT_BUFFERS {
            slots.push(queue);
        }
    }

    /// Has [`Self::check_deadlines`] look after a connection until it has no deadline any more.
    pub(crate) fn watch_deadline(&self, connection: &Rc<Connection>) {
        self.deadlines.borrow_mut().push(Rc::downgrade(connection));
    }

    /// Ends connections whose deadline has passed.
    pub(crate) fn check_deadlines(&self, now: Instant) {
        let mut watched = self.deadlines.take();
        watched.retain(|connection| {
            connection
                .upgrade()
                .is_some_and(|connection| connection.check_deadline(now))
        });
        self.deadlines.borrow_mut().append(&mut watched);
    }
}
