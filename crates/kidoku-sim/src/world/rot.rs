//! Rows that rot in the store: no number is silently wrong, and only their owners get errors.

use super::run::World;
use kidoku_core::effect::Load;
use kidoku_core::fact::{Fact, Partition};
use kidoku_core::id::{ChannelKey, UserKey};
use kidoku_core::request::{MentionList, Request};
use std::collections::BTreeSet;

/// Whom a request is about.
#[derive(Default)]
struct About {
    users: BTreeSet<UserKey>,
    channels: BTreeSet<ChannelKey>,
}

impl About {
    fn new(request: &Request) -> Self {
        let mut about = Self::default();
        match request {
            Request::Join { channel, users, .. } | Request::Leave { channel, users } => {
                about.channels.insert(channel.clone());
                about.users.extend(users.iter().cloned());
            }
            Request::Post { channel, post } => {
                about.channels.insert(channel.clone());
                about.users.extend(post.author.clone());
                about.names(&post.mentions);
            }
            Request::Edit {
                channel, mentions, ..
            } => {
                about.channels.insert(channel.clone());
                about.names(mentions);
            }
            Request::Delete { channel, .. }
            | Request::Seen { channel, .. }
            | Request::Channel { channel, .. }
            | Request::Trim { channel, .. }
            | Request::Drop { channel }
            | Request::Resolve { channel, .. }
            | Request::Names { channel, .. } => {
                about.channels.insert(channel.clone());
            }
            Request::Ack { user, channel, .. }
            | Request::MarkUnread { user, channel, .. }
            | Request::Mute { user, channel, .. }
            | Request::Explain { user, channel, .. }
            | Request::Follow {
                user,
                thread: channel,
                ..
            } => {
                about.users.insert(user.clone());
                about.channels.insert(channel.clone());
            }
            Request::AckMany { user, acks } => {
                about.users.insert(user.clone());
                let channels = acks.iter().map(|(channel, _)| channel.clone());
                about.channels.extend(channels);
            }
            Request::Count { user, channels } => {
                about.users.insert(user.clone());
                about.channels.extend(channels.iter().cloned());
            }
            Request::AckAll { user, .. }
            | Request::State { user, .. }
            | Request::Badge { user, .. }
            | Request::Erase { user }
            | Request::Watch { user, .. }
            | Request::Unwatch { user, .. } => {
                about.users.insert(user.clone());
            }
            Request::Role { users, .. } => about.users.extend(users.iter().cloned()),
            Request::Merge { fact } => match fact.partition() {
                Partition::User(user) => {
                    about.users.insert(user);
                }
                Partition::Channel(channel) => {
                    about.channels.insert(channel);
                }
            },
        }
        about
    }

    fn names(&mut self, mentions: &MentionList) {
        self.users.extend(mentions.users.iter().cloned());
    }

    /// Whoever counts for a user looks into every channel that the user has a row in; whoever counts
    /// readers, at every user with a row there.
    fn with_what_they_look_at<'a>(&mut self, facts: impl Iterator<Item = &'a Fact>, readers: bool) {
        let (mut users, mut channels) = (BTreeSet::new(), BTreeSet::new());
        for fact in facts {
            let Some((user, channel)) = row_of(fact) else {
                continue;
            };
            if self.users.contains(user) {
                channels.insert(channel.clone());
            }
            if readers && self.channels.contains(channel) {
                users.insert(user.clone());
            }
        }
        self.users.extend(users);
        self.channels.extend(channels);
    }

    fn touches(&self, owner: &Partition) -> bool {
        match owner {
            Partition::User(user) => self.users.contains(user),
            Partition::Channel(channel) => self.channels.contains(channel),
        }
    }
}

/// Whose row a fact is, in which channel.
fn row_of(fact: &Fact) -> Option<(&UserKey, &ChannelKey)> {
    match fact {
        Fact::State { user, channel, .. }
        | Fact::Mention { user, channel, .. }
        | Fact::Own { user, channel, .. } => Some((user, channel)),
        _ => None,
    }
}

impl World {
    /// A request may be answered with an error, for a row of whom it is about has rotted.
    pub(super) fn may_be_refused(&self, request: &Request) -> bool {
        let Some(home) = self.homes.first() else {
            return false;
        };
        let rotten = home.store.rotten_owners();
        if rotten.is_empty() {
            return false;
        }
        let mut about = About::new(request);
        if let Some(life) = self.lives.first().and_then(Option::as_ref) {
            // A drop has to reach everybody that receipts would count.
            let readers = matches!(request, Request::Seen { .. } | Request::Drop { .. });
            about.with_what_they_look_at(life.facts(), readers);
        }
        rotten.iter().any(|owner| about.touches(owner))
    }

    /// The same of a load.
    pub(super) fn may_not_load(&self, load: &Load) -> bool {
        let Some(home) = self.homes.first() else {
            return false;
        };
        let rotten = home.store.rotten_owners();
        let facts = || self.lives.iter().flatten().flat_map(|life| life.facts());
        match load {
            Load::User(user) | Load::Detail { user, .. } => {
                rotten.contains(&Partition::User(user.clone()))
            }
            Load::Channel(channel) | Load::Message { channel, .. } => {
                rotten.contains(&Partition::Channel(channel.clone()))
            }
            Load::Receipts { channel, .. } => rotten.iter().any(|owner| match owner {
                Partition::Channel(rotten) => rotten == channel,
                Partition::User(user) => {
                    let is_there = |fact| row_of(fact) == Some((user, channel));
                    facts().any(is_there)
                }
            }),
        }
    }
}
