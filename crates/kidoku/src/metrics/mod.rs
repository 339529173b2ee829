//! Metrics: their names in one table, and the text that Prometheus scrapes.
//!
//! Nothing is counted through shared locks. Each core keeps plain counters, which are asked for and
//! summed when somebody scrapes; HTTP counts in a fixed table of atomics. No label holds the name of
//! a user, a channel or an app.

mod collect;
mod connections;
mod http;
mod resp;

pub use collect::{Snapshot, encode};
pub use connections::{ConnectionGuard, Connections};
pub use http::HttpMetrics;
pub use resp::{DropReason, RespMetrics};

#[cfg(test)]
mod tests;

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, from 0 at the start of the process; `_total` is added to the name.
    Counter,
    /// May fall.
    Gauge,
    /// Always 1; the labels tell. `_info` is added to the name.
    Info,
}

macro_rules! metrics {
    ($($variant:ident = $kind:ident $name:literal $help:literal,)*) => {
        /// Every metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Metric {
            $(#[doc = $help] $variant,)*
        }

        impl Metric {
            /// Every metric, in the order of the scrape.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name, without the suffix that comes with its kind.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it says.
            pub fn help(self) -> &'static str {
                match self {
                    $(Self::$variant => $help,)*
                }
            }

            /// How it behaves.
            pub fn kind(self) -> Kind {
                match self {
                    $(Self::$variant => Kind::$kind,)*
                }
            }
        }
    };
}

metrics! {
    Build = Info "kidoku_build" "Version of the server",
    Ready = Gauge "kidoku_ready" "1 = takes traffic, 0 = see /readyz for the reasons",
    Cores = Gauge "kidoku_cores" "Cores that serve, one shard each",
    Users = Gauge "kidoku_users" "Users in memory",
    Channels = Gauge "kidoku_channels" "Channels in memory",
    ReadStates = Gauge "kidoku_read_states" "Read states (user and channel pairs) in memory",
    Messages = Gauge "kidoku_messages" "Messages of the index in memory",
    UserBytes = Gauge "kidoku_user_bytes" "Bytes of users in memory",
    ChannelBytes = Gauge "kidoku_channel_bytes" "Bytes of channels in memory",
    Waiting = Gauge "kidoku_waiting_requests" "Requests that wait for a load or another shard",
    MailboxLength = Gauge "kidoku_mailbox_length" "Inputs waiting in the mailbox of a core",
    Stalls = Counter "kidoku_core_stalls" "Turns on a core that took more than 1 ms, by what they were spent on",
    LongStalls = Counter "kidoku_core_long_stalls" "Turns on a core that took more than 10 ms, by what they were spent on",
    LongestStall = Gauge "kidoku_core_longest_stall_seconds" "The longest turn on a core since the start",
    Requests = Counter "kidoku_requests" "Requests taken by the shards",
    Facts = Counter "kidoku_facts" "Facts accepted",
    Loads = Counter "kidoku_loads" "Users and channels loaded from log and store",
    Evictions = Counter "kidoku_evictions" "Users and channels evicted from memory",
    LateMessages = Counter "kidoku_late_messages" "Messages that came below the tail of their channel",
    PeerMessages = Counter "kidoku_peer_messages" "Messages from shard to shard",
    LogAppendedLsn = Gauge "kidoku_log_appended_lsn" "Last lsn appended to the log",
    LogDurableLsn = Gauge "kidoku_log_durable_lsn" "Last lsn known to be durable",
    StoreFlushedLsn = Gauge "kidoku_store_flushed_lsn" "Last lsn that the store holds without the log's help",
    LogGroups = Counter "kidoku_log_groups" "Groups written to the log and synced",
    LogBytes = Counter "kidoku_log_written_bytes" "Bytes written to the log",
    LogSyncSeconds = Counter "kidoku_log_sync_seconds" "Seconds spent in fsync of the log",
    LogFailures = Counter "kidoku_log_failures" "Writes and syncs of the log that failed",
    Flushes = Counter "kidoku_store_flushes" "Checkpoints into the store that succeeded",
    FlushFailures = Counter "kidoku_store_flush_failures" "Checkpoints into the store that failed",
    StoreReopened = Counter "kidoku_store_reopened" "Times the store was opened again after a failure",
    DiskFree = Gauge "kidoku_disk_free_bytes" "Bytes free on the disk of the data directory",
    DiskFreeMin = Gauge "kidoku_disk_free_bytes_min" "Bytes free below which writes are refused",
    ReplayFacts = Gauge "kidoku_replay_facts" "Facts of the log from before the start that are still to be merged",
    OverlayBytes = Gauge "kidoku_overlay_bytes" "Bytes that wait to be checkpointed",
    RotRepaired = Counter "kidoku_rot_repaired" "Rotten pieces of log and store that were given back",
    RotLost = Counter "kidoku_rot_lost" "Records, rows and blocks of log and store that can not be read",
    RespConnections = Gauge "kidoku_resp_connections" "Open RESP connections",
    RespWithoutKey = Gauge "kidoku_resp_connections_without_key" "Open RESP connections that have given no key",
    RespDropped = Counter "kidoku_resp_connections_dropped" "RESP connections ended or not taken by the server, by reason",
    RespBusy = Counter "kidoku_resp_busy" "RESP commands answered with BUSY",
    HttpConnections = Gauge "kidoku_http_connections" "Open HTTP connections",
    HttpConnectionsRefused = Counter "kidoku_http_connections_refused" "HTTP connections closed because too many were open",
    TlsCertificateExpiry = Gauge "kidoku_tls_certificate_expiry_seconds" "When the certificate of TLS ends, in seconds since 1970",
    TlsReloads = Counter "kidoku_tls_reloads" "New certificates used without a restart",
    TlsReloadFailures = Counter "kidoku_tls_reload_failures" "Changed files of TLS that could not be used",
    TlsHandshakeFailures = Counter "kidoku_tls_handshake_failures" "Connections of TLS that ended in their handshake",
    HttpRequests = Counter "kidoku_http_requests" "HTTP requests answered, by route and class of status",
    HttpRefusals = Counter "kidoku_http_refusals" "HTTP requests refused, by error word",
    EventLines = Counter "kidoku_event_lines" "Lines of event streams, by outcome",
}
