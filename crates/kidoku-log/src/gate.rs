//! The judgement of the durability gate: what may be shown of a reply, given what is on disk.
//!
//! A reply carries a stamp, the highest lsn it may rest on. The rule is here, beside the log that
//! makes lsns durable, so that the server and the simulator ask the same code.

use crate::planted::{self, Bug};

/// What the gate says of one reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may leave.
    Go,
    /// Its facts are not on disk yet.
    Wait,
    /// Its facts could not be written: an error goes out instead.
    Refuse,
}

/// The gate at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    durable: u64,
    failing: bool,
}

impl View {
    /// Everything up to `durable` is on disk; `failing` = the log can not be written.
    pub fn new(durable: u64, failing: bool) -> Self {
        Self { durable, failing }
    }

    /// What may happen to a reply with this stamp; `writes` = its request can emit facts. While the
    /// log fails, reads go on: what they show may be undone by a crash, but is not acknowledged.
    pub fn judge(self, stamp: u64, writes: bool) -> Verdict {
        if stamp <= self.durable || planted::is(Bug::AckBeforeSync) {
            Verdict::Go
        } else if !self.failing {
            Verdict::Wait
        } else if writes {
            Verdict::Refuse
        } else {
            Verdict::Go
        }
    }

    /// True when what nobody asked for, an event that rests on this stamp, may leave: as a read may.
    pub fn may_show(self, stamp: u64) -> bool {
        self.judge(stamp, false) != Verdict::Wait || planted::is(Bug::PushedEarly)
    }
}
