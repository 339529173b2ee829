//! Model and shards, asked at once.

use kidoku_core::clock::Millis;
use kidoku_core::error::Error;
use kidoku_core::fact::{Era, MuteLevel};
use kidoku_core::id::{ChannelKey, MessageId, Name, NameKind, UserKey};
use kidoku_core::reply::{Badge, Explanation, ReadState, Reply};
use kidoku_core::request::{JoinAt, MentionList, Page, Post, Request};
use kidoku_sim::cluster::ClusterConfig;
use kidoku_sim::history::Run;
use kidoku_sim::workload::{app, id, name};

/// Asks model and shards; panics where they differ.
pub(crate) struct Both(pub(crate) Run);

pub(crate) fn user(text: &str) -> UserKey {
    UserKey::new(&app(), text).unwrap()
}

pub(crate) fn channel(text: &str) -> ChannelKey {
    ChannelKey::new(&app(), text).unwrap()
}

pub(crate) fn role(text: &str) -> Name {
    name(NameKind::Role, text)
}

pub(crate) fn naming(users: &[&str]) -> MentionList {
    let users = users.iter().map(|text| user(text)).collect();
    MentionList {
        users,
        ..MentionList::default()
    }
}

impl Both {
    pub(crate) fn new() -> Self {
        let memory_bytes_max = 1 << 20;
        Self(Run::new(ClusterConfig {
            shards: 3,
            memory_bytes_max,
            seed: 1,
            traced: false,
        }))
    }

    pub(crate) fn at(&mut self, now: u64, request: &Request) -> Result<Reply, Error> {
        self.0.check(Millis(now), request).unwrap()
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Reply {
        self.at(1_000_000, request).unwrap()
    }

    pub(crate) fn number(&mut self, request: &Request) -> u64 {
        match self.ask(request) {
            Reply::Number(number) => number,
            other => panic!("{request:?}: {other:?}"),
        }
    }

    pub(crate) fn join(&mut self, at: &str, who: &str, from: JoinAt) -> u64 {
        self.number(&Request::Join {
            channel: channel(at),
            users: vec![user(who)],
            at: from,
        })
    }

    pub(crate) fn leave(&mut self, at: &str, who: &str) -> u64 {
        self.number(&Request::Leave {
            channel: channel(at),
            users: vec![user(who)],
        })
    }

    pub(crate) fn say(&mut self, at: &str, post: Post) -> u64 {
        self.number(&Request::Post {
            channel: channel(at),
            post,
        })
    }

    /// Plain messages of nobody.
    pub(crate) fn posts(&mut self, at: &str, ids: std::ops::RangeInclusive<u64>) {
        for n in ids {
            assert_eq!(self.say(at, plain(n)), 1);
        }
    }

    pub(crate) fn delete(&mut self, at: &str, ids: &[u64]) -> u64 {
        let ids = ids.iter().map(|n| id(*n)).collect();
        self.number(&Request::Delete {
            channel: channel(at),
            ids,
        })
    }

    pub(crate) fn edit(&mut self, at: &str, n: u64, version: u64, mentions: MentionList) -> u64 {
        self.number(&Request::Edit {
            channel: channel(at),
            id: id(n),
            version,
            mentions,
        })
    }

    pub(crate) fn ack(&mut self, who: &str, at: &str, n: u64) -> u64 {
        self.ack_as(who, at, n, None, false)
    }

    pub(crate) fn ack_as(
        &mut self,
        who: &str,
        at: &str,
        n: u64,
        era: Option<Era>,
        private: bool,
    ) -> u64 {
        let (user, channel) = (user(who), channel(at));
        self.number(&Request::Ack {
            user,
            channel,
            id: id(n),
            era,
            private,
            count: false,
        })
    }

    pub(crate) fn unread_from(&mut self, who: &str, at: &str, n: u64) -> ReadState {
        let request = Request::MarkUnread {
            user: user(who),
            channel: channel(at),
            id: id(n),
        };
        match self.ask(&request) {
            Reply::ReadState(state) => *state,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn ack_all(&mut self, who: &str, n: u64, space: Option<&str>) -> Badge {
        let space = space.map(|space| name(NameKind::Space, space));
        match self.ask(&Request::AckAll {
            user: user(who),
            upto: id(n),
            space,
        }) {
            Reply::Badge(badge) => *badge,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn count(&mut self, who: &str, at: &str) -> ReadState {
        let request = Request::Count {
            user: user(who),
            channels: vec![channel(at)],
        };
        match self.ask(&request) {
            Reply::ReadStates(mut states) => states.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Unread and mentions.
    pub(crate) fn numbers(&mut self, who: &str, at: &str) -> (u64, u64) {
        let state = self.count(who, at);
        (state.unread, state.mentions)
    }

    pub(crate) fn badge_at(&mut self, now: u64, who: &str) -> Badge {
        match self
            .at(
                now,
                &Request::Badge {
                    user: user(who),
                    space: None,
                },
            )
            .unwrap()
        {
            Reply::Badge(badge) => *badge,
            other => panic!("{other:?}"),
        }
    }

    /// How many of how many members have read it.
    pub(crate) fn seen(&mut self, at: &str, n: u64) -> (u64, u64) {
        match self.ask(&Request::Seen {
            channel: channel(at),
            id: id(n),
            list: None,
        }) {
            Reply::Seen { count, members, .. } => (count, members),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn settings(&mut self, at: &str, space: Option<&str>, parent: Option<&str>) {
        let space = space.map(|space| Some(name(NameKind::Space, space)));
        let parent = parent.map(|parent| Some(name(NameKind::Channel, parent)));
        self.ask(&Request::Channel {
            channel: channel(at),
            space,
            parent,
            receipts: None,
        });
    }

    pub(crate) fn mute(&mut self, who: &str, at: &str, level: MuteLevel, until: u64) {
        let (user, channel) = (user(who), channel(at));
        self.ask(&Request::Mute {
            user,
            channel,
            level,
            until: Millis(until),
        });
    }

    pub(crate) fn trim(&mut self, at: &str, n: u64) -> u64 {
        self.number(&Request::Trim {
            channel: channel(at),
            id: id(n),
        })
    }

    pub(crate) fn hold(&mut self, who: &str, text: &str, held: bool) -> u64 {
        let users = vec![user(who)];
        self.number(&Request::Role {
            app: app(),
            role: role(text),
            users,
            held,
        })
    }

    pub(crate) fn explain(&mut self, who: &str, at: &str, page: Page<MessageId>) -> Explanation {
        match self.ask(&Request::Explain {
            user: user(who),
            channel: channel(at),
            page,
        }) {
            Reply::Explanation(explanation) => *explanation,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn plain(n: u64) -> Post {
    let mentions = MentionList::default();
    Post {
        id: id(n),
        author: None,
        noack: false,
        silent: false,
        mentions,
    }
}

pub(crate) fn by(n: u64, author: &str) -> Post {
    Post {
        author: Some(user(author)),
        ..plain(n)
    }
}

pub(crate) fn for_users(n: u64, users: &[&str]) -> Post {
    Post {
        mentions: naming(users),
        ..plain(n)
    }
}
