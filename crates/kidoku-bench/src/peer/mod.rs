//! Servers under measurement: started with a configuration of their own on free ports of loopback, in a
//! directory of their own that is removed with them. Nothing that was there before is touched.
//!
//! What the others need besides their programs, settings, scripts and sources, comes from `bench/peers`
//! and is a part of this program, so that it measures the same wherever it is installed.

mod given;
mod golru;
mod kidoku;
mod postgres;
mod process;
mod redis;

pub(crate) use golru::Layout;
pub(crate) use kidoku::Durability;
pub(crate) use postgres::STATEMENTS;
pub(crate) use redis::AppendOnly;

use crate::error::BenchError;
use crate::setup::Setup;
use given::Given;
use golru::Golru;
use kidoku::Kidoku;
use postgres::Postgres;
use redis::Redis;
use std::net::SocketAddr;

/// A server that runs.
pub(crate) trait Peer {
    /// Where it takes requests.
    fn address(&self) -> SocketAddr;

    /// Its process, the parent of all others it has; `None` = it is not on this machine.
    fn pid(&self) -> Option<u32>;

    /// False while it still writes what it has answered already, so that this can be waited for and
    /// counted. May make it write at once what it would write later.
    ///
    /// # Errors
    /// It can not be asked.
    fn is_settled(&self) -> Result<bool, BenchError>;

    /// Bytes that it says this takes, with whatever else it can not tell apart from it.
    ///
    /// # Errors
    /// It can not be asked.
    fn kept_bytes(&self, kept: Kept) -> Result<f64, BenchError>;
}

/// What a server keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    States,
    Messages,
}

/// A server that can be measured, and how it keeps what it answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Kidoku(Durability),
    Redis(AppendOnly),
    Postgres,
    Golru(Layout),
    /// The Kidoku that was named, whatever its durability.
    Given,
    /// One with a configuration of its own.
    Tuned(&'static Tuned),
}

/// A server with options of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuned {
    /// What it is called in tables.
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    pub(crate) options: &'static [&'static str],
}

/// What can be given options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Kidoku,
    Golru(Layout),
}

impl Contender {
    /// What it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kidoku(Durability::Sync) => "kidoku sync",
            Self::Kidoku(Durability::Memory) => "kidoku memory",
            Self::Redis(AppendOnly::Always) => "redis always",
            Self::Redis(AppendOnly::EverySecond) => "redis everysec",
            Self::Redis(AppendOnly::Off) => "redis appendonly off",
            Self::Postgres => "postgres",
            Self::Golru(Layout::Map) => "go-lru map",
            Self::Golru(Layout::Slice) => "go-lru slice",
            Self::Given => "kidoku, as given",
            Self::Tuned(tuned) => tuned.name,
        }
    }

    /// True for those that are what this is about, and not something beside it.
    pub(crate) fn is_ours(self) -> bool {
        self.kind() == "kidoku"
    }

    /// The word by which it is chosen.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Kidoku(_) | Self::Given => "kidoku",
            Self::Redis(_) => "redis",
            Self::Postgres => "postgres",
            Self::Golru(_) => "go-lru",
            Self::Tuned(tuned) => match tuned.program {
                Program::Kidoku => "kidoku",
                Program::Golru(_) => "go-lru",
            },
        }
    }

    /// Starts it.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub(crate) fn start(self, setup: &Setup) -> Result<Box<dyn Peer>, BenchError> {
        Ok(match self {
            Self::Kidoku(durability) => Box::new(Kidoku::start(setup, durability, &[])?),
            Self::Redis(append_only) => Box::new(Redis::start(setup, append_only)?),
            Self::Postgres => Box::new(Postgres::start(setup)?),
            Self::Golru(layout) => Box::new(Golru::start(setup, layout, &[])?),
            Self::Given => Box::new(Given::find(setup)?),
            Self::Tuned(tuned) => match tuned.program {
                Program::Kidoku => Box::new(Kidoku::start(setup, Durability::Sync, tuned.options)?),
                Program::Golru(layout) => Box::new(Golru::start(setup, layout, tuned.options)?),
            },
        })
    }
}
