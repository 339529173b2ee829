//! What a shard waits for from its peers, and what it does when the last answer is in.

use super::count::Counting;
use super::peer::{Body, CallId};
use super::{Job, Shard};
use crate::effect::Load;
use crate::error::Error;
use crate::id::{ChannelKey, Position, ShardId};
use crate::reply::Reply;
use crate::request::Ticket;

/// Who asked, and gets the answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    Caller(Ticket),
    Peer(ShardId, CallId),
    /// Nobody: an error is of no interest either.
    Nobody,
}

/// What to do when all answers are in.
#[derive(Debug)]
pub(super) enum Finish {
    /// Answer this number plus the sum of the answers.
    Sum(u64),
    /// Answer this, whatever the sum.
    Reply(Reply),
    /// Go on with a job, which answers.
    Job(Job),
    /// All shards report changed receipts now: load them.
    LoadReceipts(ChannelKey),
}

/// One thing waited for.
#[derive(Debug)]
pub(super) enum Pending {
    Done {
        origin: Origin,
        left: usize,
        sum: u64,
        failed: Option<Error>,
        finish: Finish,
    },
    Count(Box<Counting>),
    /// The tail of a channel that is muted by someone who is not in it.
    Tail(Ticket, crate::request::Request),
    Erase(Box<super::erase::Erasing>),
}

impl Shard {
    pub(super) fn new_call(&mut self) -> CallId {
        self.last_call += 1;
        self.last_call
    }

    /// Sends questions that are all answered by `Done` with this call, then does `finish`.
    pub(super) fn ask(
        &mut self,
        call: CallId,
        questions: Vec<(ShardId, Body)>,
        origin: Origin,
        finish: Finish,
    ) {
        if questions.is_empty() {
            return self.finish(origin, 0, finish);
        }
        let left = questions.len();
        let pending = Pending::Done {
            origin,
            left,
            sum: 0,
            failed: None,
            finish,
        };
        self.pending.insert(call, pending);
        for (to, body) in questions {
            self.send(to, body);
        }
    }

    /// One answer is in.
    pub(super) fn done(&mut self, call: CallId, changed: Result<u64, Error>) {
        let Some(Pending::Done {
            left, sum, failed, ..
        }) = self.pending.get_mut(&call)
        else {
            return;
        };
        *left -= 1;
        match changed {
            Ok(n) => *sum += n,
            Err(error) => *failed = failed.take().or(Some(error)),
        }
        if *left > 0 {
            return;
        }
        let Some(Pending::Done {
            origin,
            sum,
            failed,
            finish,
            ..
        }) = self.pending.remove(&call)
        else {
            return;
        };
        match failed {
            None => self.finish(origin, sum, finish),
            Some(error) => self.fail(origin, error),
        }
    }

    fn finish(&mut self, origin: Origin, sum: u64, finish: Finish) {
        match finish {
            Finish::Sum(more) => self.answer(origin, Reply::Number(sum + more)),
            Finish::Reply(reply) => self.answer(origin, reply),
            Finish::Job(job) => self.start(job),
            Finish::LoadReceipts(channel) => self.load_receipts(channel),
        }
    }

    pub(super) fn answer(&mut self, origin: Origin, reply: Reply) {
        match origin {
            Origin::Caller(ticket) => self.reply(ticket, Ok(reply)),
            Origin::Peer(to, call) => {
                let changed = if let Reply::Number(n) = reply { n } else { 0 };
                self.send(
                    to,
                    Body::Done {
                        call,
                        changed: Ok(changed),
                    },
                );
            }
            Origin::Nobody => {}
        }
    }

    pub(super) fn fail(&mut self, origin: Origin, error: Error) {
        match origin {
            Origin::Caller(ticket) => self.reply(ticket, Err(error)),
            Origin::Peer(to, call) => self.send(
                to,
                Body::Done {
                    call,
                    changed: Err(error),
                },
            ),
            Origin::Nobody => {}
        }
    }

    /// Answers a job that can not be done.
    pub(super) fn fail_job(&mut self, job: Job, error: Error) {
        match job {
            Job::Request(ticket, _)
            | Job::ReadState(ticket, ..)
            | Job::AckRest(ticket, ..)
            | Job::MuteAt(ticket, ..) => {
                self.reply(ticket, Err(error));
            }
            Job::Peer(from, Body::Change { call, .. } | Body::Role { call, .. })
            | Job::Peer(from, Body::Unauthor { call, .. }) => {
                self.send(
                    from,
                    Body::Done {
                        call,
                        changed: Err(error),
                    },
                );
            }
            Job::Peer(from, Body::Tail { call, .. }) => {
                self.send(
                    from,
                    Body::TailIs {
                        call,
                        tail: Err(error),
                    },
                );
            }
            Job::Peer(..) => {}
            Job::Event(user) => self.put_off_event(&user),
        }
    }

    pub(super) fn tail_is(&mut self, call: CallId, tail: Result<Position, Error>) {
        let Some(Pending::Tail(ticket, request)) = self.pending.remove(&call) else {
            return;
        };
        match tail {
            Ok(tail) => self.start(Job::MuteAt(ticket, request, tail)),
            Err(error) => self.reply(ticket, Err(error)),
        }
    }

    pub(super) fn load_receipts(&mut self, channel: ChannelKey) {
        let space = self
            .channels
            .get(&channel)
            .and_then(|c| c.settings.space.value.clone());
        let load = Load::Receipts {
            channel: channel.clone(),
            space,
        };
        self.load(load, super::load::Waiter::Receipts(channel));
    }
}
