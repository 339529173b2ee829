//! The one list of settings.

use super::{Config, Durability, machine};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What a setting's value is, its range, and where it goes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A path.
    Path {
        /// Stores it.
        set: fn(&mut Config, PathBuf),
    },
    /// A path, or nothing.
    PathOrNone {
        /// Stores it.
        set: fn(&mut Config, Option<PathBuf>),
    },
    /// A whole number.
    Integer {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// What `auto` stands for, if `auto` may be said.
        auto: Option<fn() -> u64>,
        /// Stores it.
        set: fn(&mut Config, u64),
    },
    /// A number of bytes, with an optional suffix KiB, MiB, GiB or TiB.
    Bytes {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// What `auto` stands for, if `auto` may be said.
        auto: Option<fn() -> u64>,
        /// Stores it.
        set: fn(&mut Config, u64),
    },
    /// One of a few words.
    Choice {
        /// The words.
        words: &'static [&'static str],
        /// Stores it.
        set: fn(&mut Config, &str),
    },
    /// True or false.
    Switch {
        /// Stores it.
        set: fn(&mut Config, bool),
    },
    /// An IP address and a port.
    Address {
        /// Stores it.
        set: fn(&mut Config, SocketAddr),
    },
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its key in the file, with a dot between section and name.
    pub key: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The value when nothing is said, as it would be written.
    pub default: &'static str,
    /// What the number counts; empty for what is not a number.
    pub unit: &'static str,
    /// What it does.
    pub doc: &'static str,
}

impl Field {
    /// The variable of the environment: `KIDOKU_HTTP__LISTEN` for `http.listen`.
    pub fn variable(&self) -> String {
        variable_of(self.key)
    }

    /// The flag without its dashes: `http-listen` for `http.listen`.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// The default as it is shown.
    pub fn default_shown(&self) -> &'static str {
        if self.default.is_empty() {
            "none"
        } else {
            self.default
        }
    }

    /// The section of the key; empty at the top.
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// The key inside its section.
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }
}

/// The variable of the environment that sets a key.
pub(crate) fn variable_of(key: &str) -> String {
    format!("KIDOKU_{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// The fewest bytes that leave room to work.
const MEMORY_BYTES_MIN: u64 = 16 << 20;
/// No machine has more; a value above it is a slip.
const BYTES_MAX: u64 = 64 << 40;
const CONNECTIONS_DOC: &str = "Open connections over all cores. One more is refused.";

fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

const fn address(
    key: &'static str,
    default: &'static str,
    doc: &'static str,
    set: fn(&mut Config, SocketAddr),
) -> Field {
    Field {
        key,
        kind: Kind::Address { set },
        default,
        unit: "",
        doc,
    }
}

const fn connections(key: &'static str, default: &'static str, set: fn(&mut Config, u64)) -> Field {
    let kind = Kind::Integer {
        min: 1,
        max: 10_000_000,
        auto: None,
        set,
    };
    Field {
        key,
        kind,
        default,
        unit: "connections",
        doc: CONNECTIONS_DOC,
    }
}

const TLS_DOC: &str = "This port speaks TLS, and nothing else, when tls.cert is set. false = it \
                       never does.";

const fn tls(key: &'static str, set: fn(&mut Config, bool)) -> Field {
    Field {
        key,
        kind: Kind::Switch { set },
        default: "true",
        unit: "",
        doc: TLS_DOC,
    }
}

const fn file(
    key: &'static str,
    doc: &'static str,
    set: fn(&mut Config, Option<PathBuf>),
) -> Field {
    Field {
        key,
        kind: Kind::PathOrNone { set },
        default: "",
        unit: "",
        doc,
    }
}

/// Every setting but those of apps, in the order of the reference.
pub const FIELDS: &[Field] = &[
    Field {
        key: "data_dir",
        kind: Kind::Path {
            set: |config, value| config.data_dir = value,
        },
        default: "./kidoku-data",
        unit: "",
        doc: "Where log, store and keys are kept. Made when missing.",
    },
    Field {
        key: "cores",
        kind: Kind::Integer {
            min: 1,
            max: 1_024,
            auto: Some(machine::cores),
            set: |config, value| config.cores = u16::try_from(value).unwrap_or(u16::MAX),
        },
        default: "auto",
        unit: "threads",
        doc: "Threads that serve, one shard each. auto = as many as the process may use.",
    },
    Field {
        key: "memory",
        kind: Kind::Bytes {
            min: MEMORY_BYTES_MIN,
            max: BYTES_MAX,
            auto: Some(machine::memory_quarter),
            set: |config, value| config.memory_bytes = size(value),
        },
        default: "auto",
        unit: "bytes",
        doc: "Users and channels kept in memory, over all cores. What is over is loaded again when \
              needed. auto = a quarter of the machine's or container's memory.",
    },
    Field {
        key: "durability",
        kind: Kind::Choice {
            words: &["sync", "memory"],
            set: |config, word| {
                config.durability = match word {
                    "memory" => Durability::Memory,
                    _ => Durability::Sync,
                };
            },
        },
        default: "sync",
        unit: "",
        doc: "sync = a reply leaves when its facts are on disk. memory = at once: a crash loses \
              the last moments.",
    },
    Field {
        key: "dev",
        kind: Kind::Switch {
            set: |config, value| config.dev = value,
        },
        default: "false",
        unit: "",
        doc: "No key is needed and everyone is in app 'default'. Loopback addresses only.",
    },
    address(
        "resp.listen",
        "127.0.0.1:7400",
        "Redis protocol (RESP2 and RESP3). Port 0 = any free one.",
        |config, value| config.resp.listen = value,
    ),
    connections("resp.connections_max", "100000", |config, value| {
        config.resp.connections_max = size(value);
    }),
    tls("resp.tls", |config, value| config.resp.tls = value),
    address(
        "http.listen",
        "127.0.0.1:7401",
        "HTTP for backends and devices. Port 0 = any free one.",
        |config, value| config.http.listen = value,
    ),
    connections("http.connections_max", "100000", |config, value| {
        config.http.connections_max = size(value);
    }),
    tls("http.tls", |config, value| config.http.tls = value),
    Field {
        key: "http.streams_max",
        kind: Kind::Integer {
            min: 1,
            max: 10_000_000,
            auto: None,
            set: |config, value| config.streams_max = size(value),
        },
        default: "100000",
        unit: "streams",
        doc: "Live streams of devices (server-sent events and WebSockets) over all cores. One more \
              is refused.",
    },
    address(
        "admin.listen",
        "127.0.0.1:7402",
        "Health and metrics. Needs no key, so keep it private. Port 0 = any free one.",
        |config, value| config.admin.listen = value,
    ),
    connections("admin.connections_max", "1000", |config, value| {
        config.admin.connections_max = size(value);
    }),
    tls("admin.tls", |config, value| config.admin.tls = value),
    address(
        "cluster.listen",
        "127.0.0.1:7403",
        "Reserved for other nodes; not listened on yet. Port 0 = any free one.",
        |config, value| config.cluster.listen = value,
    ),
    connections("cluster.connections_max", "1000", |config, value| {
        config.cluster.connections_max = size(value);
    }),
    file(
        "tls.cert",
        "PEM file with the server's certificate, and behind it those between it and its authority. \
         With it the ports speak TLS 1.2 and 1.3. This file and the next two are read again when they \
         change and on SIGHUP.",
        |config, path| config.tls.cert = path,
    ),
    file(
        "tls.key",
        "PEM file with the key of the certificate, not encrypted.",
        |config, path| config.tls.key = path,
    ),
    file(
        "tls.client_ca",
        "PEM file with the authorities of clients. With it a connection needs a certificate that one \
         of them has signed, besides its key.",
        |config, path| config.tls.client_ca = path,
    ),
    Field {
        key: "disk.free_bytes_min",
        kind: Kind::Bytes {
            min: 1,
            max: BYTES_MAX,
            auto: None,
            set: |config, value| config.disk_free_bytes_min = value,
        },
        default: "512MiB",
        unit: "bytes",
        doc: "Writes are refused while the disk has less room than this, or than a twentieth of it \
              if that is less, so that what was taken can still be moved into the store.",
    },
    Field {
        key: "log.segment_bytes",
        kind: Kind::Bytes {
            min: 1 << 20,
            max: 4 << 30,
            auto: None,
            set: |config, value| config.log.segment_bytes = value,
        },
        default: "64MiB",
        unit: "bytes",
        doc: "A log segment over this size is closed and a new one begun. The log is cut by whole \
              segments.",
    },
    Field {
        key: "checkpoint.interval_ms",
        kind: Kind::Integer {
            min: 10,
            max: 3_600_000,
            auto: None,
            set: |config, value| config.checkpoint.interval_ms = value,
        },
        default: "30000",
        unit: "milliseconds",
        doc: "The facts of the log begin to go to the store at the latest after this time, or when there are \
              128 MiB of them, and are there half of it later: a busy machine takes that time, an idle one does \
              it at once. Longer = fewer writes, a longer start after a crash; with durability = \
              \"memory\", more that a power cut may cost.",
    },
    Field {
        key: "checkpoint.overlay_bytes",
        kind: Kind::Bytes {
            min: 1 << 20,
            max: 1 << 40,
            auto: None,
            set: |config, value| config.checkpoint.overlay_bytes = size(value),
        },
        default: "128MiB",
        unit: "bytes",
        doc: "The facts of the log go to the store when this many bytes of them wait in memory.",
    },
    Field {
        key: "checkpoint.table_rows",
        kind: Kind::Integer {
            min: 1,
            max: 1 << 30,
            auto: None,
            set: |config, value| config.checkpoint.table_rows = size(value),
        },
        default: "65536",
        unit: "rows",
        doc: "So many rows and more that go to the store at once are written to a table of their own, \
              which costs less. Fewer are gathered in the store's memory first, or there would be many \
              small tables to merge.",
    },
];

/// One setting of an app, under `[apps.NAME]`.
#[derive(Clone, Copy, Debug)]
pub struct AppField {
    /// Its key inside the section.
    pub name: &'static str,
    /// What may be said.
    pub range: &'static str,
    /// The value when nothing is said.
    pub default: &'static str,
    /// What the number counts.
    pub unit: &'static str,
    /// A value for the example in the default file.
    pub example: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// The words of `apps.NAME.ids`.
pub const ID_MODES: &[&str] = &["numeric", "snowflake", "opaque"];

/// The latest epoch that may be said: the last millisecond a clock value has room for (2109).
pub const EPOCH_MS_MAX: u64 = (1 << 42) - 1;

/// Every setting of an app.
pub const APP_FIELDS: &[AppField] = &[
    AppField {
        name: "ids",
        range: "numeric, snowflake or opaque",
        default: "numeric",
        unit: "",
        example: "\"numeric\"",
        doc: "What message ids are: any rising numbers; numbers whose upper bits are a time (one \
              more than 60 s ahead of the clock is refused); or any strings of up to 128 bytes, \
              ordered by arrival.",
    },
    AppField {
        name: "snowflake_epoch_ms",
        range: "0 to 4398046511103",
        default: "none",
        unit: "milliseconds since 1970-01-01 UTC",
        example: "1420070400000",
        doc: "The time of snowflake 0. Needed with ids = \"snowflake\", refused without. Discord's \
              is 1420070400000, Twitter's 1288834974657.",
    },
    AppField {
        name: "jwt_hs256_secret_file",
        range: "a path",
        default: "none",
        unit: "",
        example: "\"/etc/kidoku/device.key\"",
        doc: "File with the secret of device tokens signed with HS256: at least 32 bytes, line ends \
              at its end left out. App 'default' without any key here uses DATA_DIR/device.key, \
              made at the first start.",
    },
    AppField {
        name: "jwt_public_key_file",
        range: "a path",
        default: "none",
        unit: "",
        example: "\"/etc/kidoku/device.pem\"",
        doc: "PEM file (BEGIN PUBLIC KEY) with the key of device tokens that somebody else signs. \
              A P-256 key means ES256, an Ed25519 key EdDSA, an RSA key of 2048 bits or more RS256.",
    },
    AppField {
        name: "jwt_audience",
        range: "a text",
        default: "none",
        unit: "",
        example: "\"kidoku\"",
        doc: "What `aud` of device tokens must name. Without it a token with `aud` is refused.",
    },
    AppField {
        name: "jwt_issuer",
        range: "a text",
        default: "none",
        unit: "",
        example: "\"https://id.example\"",
        doc: "What `iss` of device tokens must be.",
    },
];
