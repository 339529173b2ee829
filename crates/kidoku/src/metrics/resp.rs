//! What the RESP listeners of all cores count besides their connections.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value of the label.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }
    };
}

reasons! {
    /// Why the server ended a connection, or did not take it.
    DropReason {
        /// `resp.connections_max`, or what a core can serve.
        Connections = "connections",
        /// Too many connections without a key.
        WithoutKey = "without_key",
        /// No key in time.
        Login = "login",
        /// Too many commands without a key.
        CommandsWithoutKey = "commands_without_key",
        /// Not the protocol, or a request over a limit.
        Protocol = "protocol",
        /// Took nothing of its answers for too long.
        Stall = "stall",
        /// Too many events that it did not take.
        Output = "output",
        /// No room for the rest of a long request.
        Buffers = "buffers",
    }
}

/// Counters of RESP, shared by all cores; a fixed table of atomics.
#[derive(Debug, Default)]
pub struct RespMetrics {
    dropped: [AtomicU64; 8],
    busy: AtomicU64,
    without_key: AtomicU64,
}

impl RespMetrics {
    /// Counts a connection that was ended or not taken.
    pub fn note_dropped(&self, reason: DropReason) {
        let place = DropReason::ALL.iter().position(|one| *one == reason);
        if let Some(count) = place.and_then(|place| self.dropped.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connections ended or not taken, by reason.
    pub fn dropped(&self) -> impl Iterator<Item = (DropReason, u64)> {
        let counts = DropReason::ALL.iter().zip(&self.dropped);
        counts.map(|(reason, count)| (*reason, count.load(Ordering::Relaxed)))
    }

    /// Counts a command answered with `BUSY`.
    pub fn note_busy(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    /// Commands answered with `BUSY`.
    pub fn busy(&self) -> u64 {
        self.busy.load(Ordering::Relaxed)
    }

    /// A connection that has no key is there.
    pub fn enter_without_key(&self) {
        self.without_key.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection that had no key has one, or is gone.
    pub fn leave_without_key(&self) {
        self.without_key.fetch_sub(1, Ordering::Relaxed);
    }

    /// Open connections without a key.
    pub fn without_key(&self) -> u64 {
        self.without_key.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let metrics = RespMetrics::default();
        assert_eq!(metrics.dropped.len(), DropReason::ALL.len());
        for (place, reason) in DropReason::ALL.iter().enumerate() {
            for _ in 0..=place {
                metrics.note_dropped(*reason);
            }
        }
        for ((_, count), expected) in metrics.dropped().zip(1..) {
            assert_eq!(count, expected);
        }
    }
}
