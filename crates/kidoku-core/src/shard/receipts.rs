//! Receipts: who has read a message. The channel's shard keeps the members' public positions only
//! while somebody asks, and has the users' shards tell it of changes from then on.

use super::channel::Channel;
use super::load::Waiter;
use super::peer::{Body, CallId};
use super::pending::{Finish, Origin};
use super::readers::Readers;
use super::{Job, Shard, count_u64};
use crate::effect::{Load, LoadFailed, Loaded, ReceiptRow};
use crate::error::Error;
use crate::fact::{Fact, Receipts};
use crate::id::{ChannelKey, MessageId, Name, NameKind, Position, ShardId, UserKey};
use crate::reply::Reply;
use crate::request::{Page, Request, Ticket};

/// Receipts on their way from the store.
#[derive(Debug, Default)]
pub(super) struct ReceiptsLoading {
    /// What waits for them.
    jobs: Vec<Job>,
    /// What the users' shards have told meanwhile: newer than what the store says.
    updates: Vec<ReceiptRow>,
    /// True = what is on its way can not be used.
    stale: bool,
}

impl Shard {
    pub(super) fn seen(
        &mut self,
        ticket: Ticket,
        key: &ChannelKey,
        id: MessageId,
        list: Option<Page<Name>>,
    ) {
        let Some(channel) = self.channels.get(key) else {
            return;
        };
        let setting = channel.settings.receipts.value;
        let hidden = match setting {
            Receipts::Off => true,
            Receipts::Count => list.is_some(),
            Receipts::List => false,
        };
        if hidden {
            let setting = setting.as_str();
            return self.reply(ticket, Err(Error::ReceiptsHidden { setting }));
        }
        if channel.receipts.is_none() {
            let request = Request::Seen {
                channel: key.clone(),
                id,
                list,
            };
            return self.want_receipts(key, Job::Request(ticket, request));
        }
        // The author of a deleted message is left out of the members too.
        if channel.trim.is_before(id) && channel.knows(id) {
            let channel = key.clone();
            let load = Load::Message {
                channel: channel.clone(),
                id,
            };
            return self.load(
                load,
                Waiter::Seen {
                    ticket,
                    channel,
                    id,
                    list,
                },
            );
        }
        let reply = seen_reply(channel, id, list.as_ref(), None);
        self.reply(ticket, Ok(reply));
    }

    fn want_receipts(&mut self, key: &ChannelKey, job: Job) {
        let loading = self.receipts_loading.entry(key.clone()).or_default();
        loading.jobs.push(job);
        if loading.jobs.len() > 1 {
            return;
        }
        let call = self.new_call();
        let channel = key.clone();
        let watch = || Body::WatchReceipts {
            call,
            channel: channel.clone(),
            on: true,
        };
        let questions = self.tell_all(watch);
        self.ask(
            call,
            questions,
            Origin::Nobody,
            Finish::LoadReceipts(key.clone()),
        );
    }

    pub(super) fn receipts_loaded(&mut self, key: &ChannelKey, data: &Loaded) {
        let loading = self.receipts_loading.remove(key).unwrap_or_default();
        if let (Some(channel), Loaded::Receipts(rows), false) =
            (self.channels.get_mut(key), data, loading.stale)
        {
            channel.receipts = Some(Readers::of(rows.clone()));
            for row in loading.updates {
                channel.set_receipt(row);
            }
            self.channels.reweigh(key);
        }
        for job in loading.jobs {
            self.start(job);
        }
    }

    pub(super) fn receipts_failed(&mut self, key: &ChannelKey, failed: &LoadFailed) {
        let error = match failed {
            LoadFailed::Unreadable => Error::Storage,
            LoadFailed::Damaged(damaged) => {
                Error::Damaged(Box::new((**damaged).clone().seen_from(key)))
            }
        };
        let loading = self.receipts_loading.remove(key).unwrap_or_default();
        for job in loading.jobs {
            self.fail_job(job, error.clone());
        }
    }

    pub(super) fn author_loaded(
        &mut self,
        ticket: Ticket,
        key: ChannelKey,
        id: MessageId,
        list: Option<Page<Name>>,
        data: &Loaded,
    ) {
        let author = match data {
            Loaded::Facts(facts) => facts.iter().find_map(author_of),
            Loaded::Channel(_) | Loaded::Receipts(_) => None,
        };
        match self.channels.get(&key) {
            Some(channel) if channel.receipts.is_some() => {
                let reply = seen_reply(channel, id, list.as_ref(), author.as_ref());
                self.reply(ticket, Ok(reply));
            }
            // Evicted meanwhile: once more from the beginning.
            _ => self.start(Job::Request(
                ticket,
                Request::Seen {
                    channel: key,
                    id,
                    list,
                },
            )),
        }
    }

    /// What receipts show of a user now, for the owner of the channel.
    pub(super) fn receipt_question(
        &self,
        call: CallId,
        user: &UserKey,
        channel: &ChannelKey,
    ) -> (ShardId, Body) {
        let row = self.row(user, channel);
        let known = self.users.get(user);
        let floor = known.map_or(Position::START, super::User::highest_floor);
        let spaces = known.map(super::User::space_floors).unwrap_or_default();
        let (member, public) = (row.member, row.public.max(floor));
        let row = ReceiptRow {
            user: user.clone(),
            member,
            public,
        };
        (
            self.channel_shard(channel),
            Body::Receipt {
                call,
                channel: channel.clone(),
                row,
                spaces,
            },
        )
    }

    pub(super) fn receipt(
        &mut self,
        from: ShardId,
        call: CallId,
        key: &ChannelKey,
        mut row: ReceiptRow,
        spaces: &[(Name, Position)],
    ) {
        if let Some(channel) = self.channels.get_mut(key) {
            let here = spaces
                .iter()
                .filter(|(s, _)| Some(s) == channel.settings.space.value.as_ref());
            row.public = here
                .map(|(_, position)| *position)
                .fold(row.public, Position::max);
            if let Some(loading) = self.receipts_loading.get_mut(key) {
                loading.updates.push(row);
            } else {
                channel.set_receipt(row);
            }
        }
        self.send(
            from,
            Body::Done {
                call,
                changed: Ok(0),
            },
        );
    }

    pub(super) fn receipts_stale(&mut self, from: ShardId, call: CallId, key: &ChannelKey) {
        self.forget_receipts(key);
        self.send(
            from,
            Body::Done {
                call,
                changed: Ok(0),
            },
        );
    }

    /// What is known of receipts, or on its way, is of no use any more.
    pub(super) fn forget_receipts(&mut self, key: &ChannelKey) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.receipts = None;
        }
        if let Some(loading) = self.receipts_loading.get_mut(key) {
            loading.stale = true;
        }
    }

    pub(super) fn unwatch_receipts(&mut self, key: &ChannelKey) {
        // Call 0 is never waited for: its answers are dropped.
        let unwatch = || Body::WatchReceipts {
            call: 0,
            channel: key.clone(),
            on: false,
        };
        for (to, body) in self.tell_all(unwatch) {
            self.send(to, body);
        }
    }

    pub(super) fn watch_receipts(
        &mut self,
        from: ShardId,
        call: CallId,
        channel: ChannelKey,
        on: bool,
    ) {
        if on {
            self.receipts_watched.insert(channel);
        } else {
            self.receipts_watched.remove(&channel);
        }
        self.send(
            from,
            Body::Done {
                call,
                changed: Ok(0),
            },
        );
    }
}

fn author_of(fact: &Fact) -> Option<Name> {
    match fact {
        Fact::Message { row, .. } if !row.unauthored => row.posted.as_ref()?.author.clone(),
        _ => None,
    }
}

/// Counts the members, the author apart, who have read a message. A deleted message has no readers.
fn seen_reply(
    channel: &Channel,
    id: MessageId,
    list: Option<&Page<Name>>,
    author: Option<&Name>,
) -> Reply {
    let none = Readers::default();
    let known = channel.receipts.as_ref().unwrap_or(&none);
    let author = author.and_then(|name| known.member(name.as_str()));
    let has_read = |row: &&ReceiptRow| !row.public.is_before(id);
    let deleted = channel.deleted.contains(id);
    let mut users = None;
    let mut next = None;
    if let Some(page) = list {
        let readers = known
            .members_after(page.after.as_ref().map(Name::as_str))
            .filter(|row| !deleted && author.is_none_or(|author| author.user != row.user))
            .filter(has_read);
        let mut rest = readers.map(|row| row.user.clone());
        let some: Vec<UserKey> = rest.by_ref().take(page.limit).collect();
        if rest.next().is_some() {
            next = some
                .last()
                .and_then(|user| Name::new(NameKind::User, user.name()).ok());
        }
        users = Some(some);
    }
    let readers = known.count(id) - usize::from(author.filter(has_read).is_some());
    Reply::Seen {
        count: count_u64(if deleted { 0 } else { readers }),
        members: count_u64(known.members() - usize::from(author.is_some())),
        users,
        next,
    }
}
