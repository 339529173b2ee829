//! Every limit on what a caller may send or make Kidoku hold, in one place.
//!
//! A value past its limit is refused with an error that names the limit; nothing is ever cut
//! silently. Each constant has a test at the limit and one past it.

/// Bytes of an app (tenant) name, of the alphabet `a-z`, `0-9` and `-`.
pub const APP_BYTES_MAX: usize = 32;

/// Bytes of a user, channel, space or role name: UTF-8 without control characters.
pub const NAME_BYTES_MAX: usize = 128;

/// Bytes of an opaque message id, for apps whose ids are not numbers.
pub const OPAQUE_ID_BYTES_MAX: usize = 128;

/// The highest message id: 2^63-1, so that an id also fits a signed 64-bit column anywhere.
pub const MESSAGE_ID_MAX: u64 = (1 << 63) - 1;

/// Users named by one join, leave or role change.
pub const USERS_PER_COMMAND_MAX: usize = 1_000;

/// Users a single message or edit may mention by name.
pub const MENTIONS_PER_MESSAGE_MAX: usize = 1_000;

/// Roles a single message or edit may mention.
pub const ROLES_PER_MESSAGE_MAX: usize = 100;

/// Channels named by one count or bulk ack.
pub const CHANNELS_PER_COMMAND_MAX: usize = 1_000;

/// Message ids named by one delete.
pub const IDS_PER_COMMAND_MAX: usize = 1_000;

/// Users watched by one connection.
pub const WATCHED_USERS_MAX: usize = 1_000;

/// Live streams (server-sent events, WebSockets) one user may have open at a time.
pub const STREAMS_PER_USER_MAX: usize = 16;

/// Bytes of a device's token.
pub const DEVICE_TOKEN_BYTES_MAX: usize = 4 << 10;

/// Seconds from a device token's making to its end.
pub const DEVICE_TOKEN_LIFETIME_MAX_S: u64 = 24 * 3_600;

/// Bytes of one message that a device sends over a WebSocket.
pub const SOCKET_MESSAGE_BYTES_MAX: usize = 16 << 10;

/// Channels a user may have a read state in.
pub const CHANNELS_PER_USER_MAX: usize = 100_000;

/// Roles a user may hold.
pub const ROLES_PER_USER_MAX: usize = 1_000;

/// Entries in one page of a state, a receipt list or an explanation, and the size when none is asked.
pub const PAGE_ENTRIES_MAX: usize = 10_000;
/// Entries in one page when the caller names no limit.
pub const PAGE_ENTRIES_DEFAULT: usize = 1_000;

/// How far ahead of this server's clock a snowflake id, an era or a fact's clock may be: 60 s.
/// Without the bound, one caller with a bad clock reads the future or blocks every later change.
pub const CLOCK_AHEAD_MAX_MS: u64 = 60_000;

/// Hash slots a cluster is divided into; slots map to nodes and to cores.
pub const SLOTS: u16 = 4_096;

/// Shards (cores) of one process; a clock value has room for this many owners.
pub const SHARDS_MAX: u16 = 1_024;

/// Bytes of one line of events, without its line end.
pub const EVENT_LINE_BYTES_MAX: usize = 1 << 20;

/// Failed lines that the answer to a stream of events describes; all are counted.
pub const EVENT_ERRORS_MAX: usize = 100;

/// Bytes of an HTTP body that is about one message or one read state.
pub const HTTP_BODY_BYTES_MAX: usize = 64 << 10;

/// Bytes of an HTTP body that names up to a thousand users or channels.
pub const HTTP_BULK_BODY_BYTES_MAX: usize = 1 << 20;
