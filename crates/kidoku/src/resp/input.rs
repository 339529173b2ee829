//! Bytes on their way to becoming commands.
//!
//! Requests are parsed where they were read, in the buffer that all connections of the core share.
//! Only what is left over, a request of which a part is still to come, or requests that have to
//! wait, is kept for the connection.

use super::budget::Budget;
use super::connection::{Connection, Phase, State};
use super::crowd;
use super::limits::COMMANDS_WITHOUT_KEY_MAX;
use crate::metrics::DropReason;
use kidoku_core::error::Error;
use kidoku_proto::error::CommandError;
use kidoku_proto::resp::parse::{Limits, Parsed, Parser};
use std::rc::Rc;

/// Bytes kept for a connection.
pub(super) struct Input {
    bytes: Vec<u8>,
    /// Stands before the first of `bytes`, or inside the request that begins there.
    parser: Parser,
    /// Parsing stopped for another reason than that bytes are missing.
    stopped_early: bool,
}

impl Input {
    /// True when there may be whole requests in it.
    pub(super) fn may_hold_more(&self) -> bool {
        self.stopped_early
    }

    /// Bytes of memory it takes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Why parsing stopped.
enum Stop {
    /// Bytes are missing.
    Incomplete,
    /// Something else comes first.
    Early,
}

impl Connection {
    /// Parses `count` bytes that were just read.
    pub(super) fn parse_read(&self, state: &mut State, count: usize, budget: &mut Budget) {
        let io = Rc::clone(&self.io);
        let read = io.read.borrow();
        let read = read.get(..count).unwrap_or_default();
        if let Some(input) = state.input.as_mut() {
            if state.session.grant.is_none() {
                // Not twice what it needs: this memory is for somebody who may be anybody.
                input.bytes.reserve_exact(read.len());
            }
            input.bytes.extend_from_slice(read);
            return self.parse_kept(state, budget);
        }
        let mut parser = io.parser.borrow_mut();
        let (taken, stop) = self.parse(state, &mut parser, read, budget);
        let rest = read.get(taken..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        // A parser that has begun a request belongs to those bytes.
        let parser = std::mem::take(&mut *parser);
        if state.phase != Phase::Open {
            return;
        }
        let stopped_early = matches!(stop, Stop::Early);
        state.input = Some(Box::new(Input {
            bytes: rest.to_vec(),
            parser,
            stopped_early,
        }));
    }

    /// Parses what was kept.
    pub(super) fn parse_kept(&self, state: &mut State, budget: &mut Budget) {
        let Some(mut input) = state.input.take() else {
            return;
        };
        let (taken, stop) = self.parse(state, &mut input.parser, &input.bytes, budget);
        if taken == input.bytes.len() || state.phase != Phase::Open {
            return;
        }
        let rest = input.bytes.len() - taken;
        if matches!(stop, Stop::Incomplete) && crowd::is_too_long_a_half(&self.core.pressure, rest)
        {
            // Half a request can be neither refused nor skipped, so its connection goes.
            let error = CommandError::from(Error::Busy);
            self.answer(state, |writer| writer.error(&error));
            return self.refuse(state, DropReason::Buffers);
        }
        input.bytes.drain(..taken);
        input.stopped_early = matches!(stop, Stop::Early);
        state.input = Some(input);
    }

    fn too_many_without_key(&self, state: &mut State) {
        let error = CommandError::limit(format!(
            "{COMMANDS_WITHOUT_KEY_MAX} commands and no key (commands_without_key_max)"
        ));
        self.answer(state, |writer| writer.error(&error));
        self.refuse(state, DropReason::CommandsWithoutKey);
    }

    /// Parses and runs commands; answers how many bytes they took.
    fn parse(
        &self,
        state: &mut State,
        parser: &mut Parser,
        bytes: &[u8],
        budget: &mut Budget,
    ) -> (usize, Stop) {
        let mut at = 0;
        while at < bytes.len() {
            if budget.is_spent() || !state.may_take() || self.stands_back(state) {
                return (at, Stop::Early);
            }
            let limits = if state.session.grant.is_some() {
                Limits::AFTER_AUTH
            } else {
                Limits::BEFORE_AUTH
            };
            if state.session.commands_without_key >= COMMANDS_WITHOUT_KEY_MAX
                && state.session.grant.is_none()
            {
                self.too_many_without_key(state);
                return (at, Stop::Early);
            }
            let rest = bytes.get(at..).unwrap_or_default();
            match parser.parse(rest, &limits) {
                Ok(Parsed::Incomplete) => return (at, Stop::Incomplete),
                Ok(Parsed::Empty { consumed }) => at += consumed,
                Ok(Parsed::Command { args, consumed }) => {
                    at += consumed;
                    budget.spend();
                    state.session.note_command();
                    self.command(state, args);
                }
                Err(error) => {
                    self.answer(state, |writer| writer.error(&error.error()));
                    budget.spend();
                    state.session.note_command();
                    match error.consumed {
                        Some(consumed) => at += consumed,
                        None => self.refuse(state, DropReason::Protocol),
                    }
                }
            }
        }
        (at, Stop::Incomplete)
    }
}
