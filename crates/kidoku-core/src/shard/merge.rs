//! Facts that are merged as they stand: an import of an export, later the facts of another owner.
//!
//! The fact goes to the log, and what it belongs to is forgotten: the next look loads it merged.

use super::Shard;
use super::peer::{Body, CallId};
use super::pending::{Finish, Origin};
use crate::clock::Millis;
use crate::error::Error;
use crate::fact::{Fact, Partition};
use crate::id::{ChannelKey, ShardId};
use crate::limits::CLOCK_AHEAD_MAX_MS;
use crate::reply::Reply;
use crate::request::Ticket;

impl Shard {
    fn refuse_ahead(&self, fact: &Fact) -> Result<(), Error> {
        let Millis(at) = fact.clock_max().millis();
        let by_ms = at.saturating_sub(self.now.0);
        if by_ms > CLOCK_AHEAD_MAX_MS {
            return Err(Error::Ahead {
                what: "clock",
                by_ms,
            });
        }
        Ok(())
    }

    pub(super) fn merge_user_fact(&mut self, ticket: Ticket, fact: &Fact) {
        if let Err(error) = self.refuse_ahead(fact) {
            return self.reply(ticket, Err(error));
        }
        let Partition::User(user) = &fact.partition() else {
            return;
        };
        self.observe(fact);
        let call = self.new_call();
        let questions = self.stale_receipts(call, fact);
        self.say(fact.clone());
        self.forget_user(user);
        self.complete = false;
        self.watches.user_changed(user, None);
        self.ask(
            call,
            questions,
            Origin::Caller(ticket),
            Finish::Reply(Reply::Number(1)),
        );
    }

    /// Owners of channels whose receipts the fact may change have to load them anew.
    fn stale_receipts(&self, call: CallId, fact: &Fact) -> Vec<(ShardId, Body)> {
        let channel = match fact {
            Fact::State { channel, .. } => Some(channel),
            _ => None,
        };
        let everywhere = matches!(fact, Fact::Floor { .. } | Fact::UserErased { .. });
        let watched = self.receipts_watched.iter();
        let stale = watched.filter(|watched| everywhere || channel == Some(*watched));
        let question = |channel: &ChannelKey| {
            let body = Body::ReceiptsStale {
                call,
                channel: channel.clone(),
            };
            (self.channel_shard(channel), body)
        };
        stale.map(question).collect()
    }

    pub(super) fn merge_channel_fact(&mut self, ticket: Ticket, fact: Fact) {
        if let Err(error) = self.refuse_ahead(&fact) {
            return self.reply(ticket, Err(error));
        }
        let Partition::Channel(key) = fact.partition() else {
            return;
        };
        self.observe(&fact);
        let call = self.new_call();
        let mut questions = Vec::new();
        if matches!(fact, Fact::Settings { .. } | Fact::ChannelDropped { .. }) {
            let channel = key.clone();
            let told = || Body::ParentChanged {
                call,
                channel: channel.clone(),
                parent: None,
                moved: true,
            };
            questions = self.tell_all(told);
        }
        self.say(fact);
        self.forget_receipts(&key);
        self.forget_channel(&key);
        self.complete = false;
        self.watches.note_change(&key);
        self.ask(
            call,
            questions,
            Origin::Caller(ticket),
            Finish::Reply(Reply::Number(1)),
        );
    }
}
