//! How many connections a port has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The connections of one port, over all cores.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicU64,
    refused: AtomicU64,
}

impl Connections {
    /// Counts a new connection until the guard is dropped; `None` when `max` are open.
    pub fn admit(self: &Arc<Self>, max: usize) -> Option<ConnectionGuard> {
        let max = u64::try_from(max).unwrap_or(u64::MAX);
        if self.open.fetch_add(1, Ordering::Relaxed) >= max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.note_refused();
            return None;
        }
        Some(ConnectionGuard {
            connections: Arc::clone(self),
        })
    }

    /// Counts a connection closed for a reason outside of this port.
    pub(crate) fn note_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Open connections.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections closed because too many were open.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// An open connection.
#[derive(Debug)]
pub struct ConnectionGuard {
    connections: Arc<Connections>,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}
