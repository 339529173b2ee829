//! Random histories: few users, channels and ids, so that everything collides with everything.

use crate::random::Random;
use kidoku_core::clock::Millis;
use kidoku_core::fact::{MuteLevel, Receipts};
use kidoku_core::id::{App, ChannelKey, MessageId, Name, NameKind, UserKey};
use kidoku_core::request::{JoinAt, MentionList, Page, Post, Request};
use std::fmt;

/// Users, channels, roles and spaces of a history.
pub const USERS: usize = 5;
/// See [`USERS`]. The last two begin as threads of the first.
pub const CHANNELS: usize = 4;
/// The highest message id that is drawn.
pub const IDS: u64 = 60;

/// Which era an ack carries. Eras are made by the shards, so a history names them by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EraPick {
    /// The era before every mark unread.
    First,
    /// The nth era that a mark unread of this user has opened, in any channel; if there are fewer,
    /// the same as `First`.
    Made(usize),
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are named as in the command table")]
pub enum Op {
    /// A request that carries no era.
    Ask(Request),
    /// An ack with an era.
    AckIn {
        user: UserKey,
        channel: ChannelKey,
        id: MessageId,
        pick: EraPick,
        private: bool,
        count: bool,
    },
    /// A device of the user takes what changed since it last did, in pages.
    Sync { user: UserKey, limit: usize },
    /// Everything under way arrives, and the shards tick.
    Settle,
    /// All shards are killed and started again.
    Restart,
}

/// An operation and the wall time of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// Handed to shards and model alike.
    pub now: Millis,
    /// What happens.
    pub op: Op,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: ", self.now.0)?;
        match &self.op {
            Op::Ask(request) => write!(f, "{request:?}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// The app of all histories.
pub fn app() -> App {
    App::default_app()
}

fn named<T>(result: Result<T, kidoku_core::error::Error>) -> T {
    match result {
        Ok(name) => name,
        Err(error) => unreachable!("a fixed name is valid: {error}"),
    }
}

/// The nth user.
pub fn user(n: usize) -> UserKey {
    named(UserKey::new(&app(), &format!("u{n}")))
}

/// The nth channel.
pub fn channel(n: usize) -> ChannelKey {
    named(ChannelKey::new(&app(), &format!("c{n}")))
}

/// All users.
pub fn users() -> Vec<UserKey> {
    (0..USERS).map(user).collect()
}

/// All channels.
pub fn channels() -> Vec<ChannelKey> {
    (0..CHANNELS).map(channel).collect()
}

/// A role, space or parent.
pub fn name(kind: NameKind, text: &str) -> Name {
    named(Name::new(kind, text))
}

/// An id; 0 is taken for 1.
pub fn id(n: u64) -> MessageId {
    named(MessageId::new(n.max(1)))
}

/// The kinds of operations, each with its usual share.
const SHARES: [(Kind, u64); 23] = [
    (Kind::Post, 28),
    (Kind::Ack, 16),
    (Kind::Join, 8),
    (Kind::Count, 8),
    (Kind::Delete, 4),
    (Kind::Edit, 6),
    (Kind::AckIn, 4),
    (Kind::AckMany, 2),
    (Kind::AckAll, 3),
    (Kind::MarkUnread, 5),
    (Kind::Mute, 2),
    (Kind::Leave, 3),
    (Kind::State, 3),
    (Kind::Sync, 4),
    (Kind::Badge, 3),
    (Kind::Seen, 4),
    (Kind::Settings, 3),
    (Kind::Role, 4),
    (Kind::Follow, 3),
    (Kind::Trim, 1),
    (Kind::Explain, 3),
    (Kind::Gone, 1),
    (Kind::Machine, 4),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    Post,
    Ack,
    Join,
    Count,
    Delete,
    Edit,
    AckIn,
    AckMany,
    AckAll,
    MarkUnread,
    Mute,
    Leave,
    State,
    Sync,
    Badge,
    Seen,
    Settings,
    Role,
    Follow,
    Trim,
    Explain,
    /// An erasure or a drop.
    Gone,
    /// A restart or a settling.
    Machine,
}

/// Draws histories.
#[derive(Debug)]
struct Generator {
    random: Random,
    shares: Vec<(Kind, u64)>,
    total: u64,
    now: u64,
    /// How many ids are drawn from: few ids make more collisions.
    ids: u64,
}

/// A history of `length` operations for a seed, after some settings that make two channels threads.
pub fn history(seed: u64, length: usize) -> Vec<Step> {
    let mut random = Random::new(seed);
    let mut shares = Vec::new();
    for (kind, share) in SHARES {
        // Each seed has its own mixture, in which some kinds are frequent and others missing.
        let factor = [0, 1, 1, 2, 4].get(random.place(5)).copied().unwrap_or(1);
        shares.push((kind, share * factor));
    }
    let ids = [5, 12, 30, IDS]
        .get(random.place(4))
        .copied()
        .unwrap_or(IDS);
    let total = shares.iter().map(|(_, share)| *share).sum();
    let mut generator = Generator {
        random,
        shares,
        total,
        now: 1_000_000,
        ids,
    };
    let mut steps = generator.opening();
    while steps.len() < length {
        // A retry is the very same request once more.
        let retried = if generator.random.chance(8) {
            generator.random.pick(&steps)
        } else {
            None
        };
        let op = retried.map(|earlier| earlier.op.clone());
        let op = op.unwrap_or_else(|| generator.op());
        let step = Step {
            now: generator.time(),
            op,
        };
        steps.push(step);
    }
    steps
}

impl Generator {
    fn time(&mut self) -> Millis {
        match self.random.below(20) {
            0 => self.now = self.now.saturating_sub(self.random.below(2_000)),
            1..=8 => {}
            _ => self.now += self.random.below(100),
        }
        Millis(self.now)
    }

    fn opening(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for thread in 2..CHANNELS {
            if self.random.chance(80) {
                let parent = Some(Some(name(NameKind::Channel, "c0")));
                let request = Request::Channel {
                    channel: channel(thread),
                    space: None,
                    parent,
                    receipts: None,
                };
                steps.push(Step {
                    now: self.time(),
                    op: Op::Ask(request),
                });
            }
        }
        if self.random.chance(70) {
            let users = users();
            let request = Request::Join {
                channel: channel(0),
                users,
                at: JoinAt::Start,
            };
            steps.push(Step {
                now: self.time(),
                op: Op::Ask(request),
            });
        }
        steps
    }

    fn user(&mut self) -> UserKey {
        user(self.random.place(USERS))
    }

    fn channel(&mut self) -> ChannelKey {
        channel(self.random.place(CHANNELS))
    }

    fn id(&mut self) -> MessageId {
        id(1 + self.random.below(self.ids))
    }

    fn some_users(&mut self) -> Vec<UserKey> {
        let count = 1 + self.random.below(3);
        (0..count).map(|_| self.user()).collect()
    }

    fn role_name(&mut self) -> Name {
        let text = if self.random.chance(50) { "r0" } else { "r1" };
        name(NameKind::Role, text)
    }

    fn space_name(&mut self) -> Name {
        let text = if self.random.chance(60) { "s0" } else { "s1" };
        name(NameKind::Space, text)
    }

    fn optional_space(&mut self) -> Option<Name> {
        self.random.chance(40).then(|| self.space_name())
    }

    fn mentions(&mut self) -> MentionList {
        let everyone = self.random.chance(10);
        let roles = if self.random.chance(20) {
            vec![self.role_name()]
        } else {
            Vec::new()
        };
        let users = if self.random.chance(40) {
            self.some_users()
        } else {
            Vec::new()
        };
        MentionList {
            everyone,
            roles,
            users,
        }
    }

    fn limit(&mut self) -> usize {
        [1, 2, 3, 1_000]
            .get(self.random.place(4))
            .copied()
            .unwrap_or(1)
    }

    fn kind(&mut self) -> Kind {
        let mut at = self.random.below(self.total);
        for (kind, share) in &self.shares {
            if at < *share {
                return *kind;
            }
            at -= share;
        }
        Kind::Count
    }

    fn op(&mut self) -> Op {
        match self.kind() {
            Kind::AckIn => {
                let made = self.random.place(4);
                let pick = if made == 0 {
                    EraPick::First
                } else {
                    EraPick::Made(made - 1)
                };
                Op::AckIn {
                    user: self.user(),
                    channel: self.channel(),
                    id: self.id(),
                    pick,
                    private: self.random.chance(30),
                    count: self.random.chance(50),
                }
            }
            Kind::Sync => {
                let user = self.user();
                Op::Sync {
                    user,
                    limit: self.limit(),
                }
            }
            Kind::Machine => {
                if self.random.chance(40) {
                    Op::Restart
                } else {
                    Op::Settle
                }
            }
            kind @ (Kind::Post
            | Kind::Delete
            | Kind::Edit
            | Kind::Join
            | Kind::Leave
            | Kind::Settings
            | Kind::Role
            | Kind::Follow
            | Kind::Trim) => Op::Ask(self.channel_request(kind)),
            kind @ (Kind::Ack
            | Kind::AckMany
            | Kind::AckAll
            | Kind::MarkUnread
            | Kind::Mute
            | Kind::Gone) => Op::Ask(self.user_request(kind)),
            kind @ (Kind::Count | Kind::State | Kind::Badge | Kind::Seen | Kind::Explain) => {
                Op::Ask(self.question(kind))
            }
        }
    }

    fn channel_request(&mut self, kind: Kind) -> Request {
        match kind {
            Kind::Delete => {
                let count = 1 + self.random.below(3);
                let ids = (0..count).map(|_| self.id()).collect();
                Request::Delete {
                    channel: self.channel(),
                    ids,
                }
            }
            Kind::Edit => Request::Edit {
                channel: self.channel(),
                id: self.id(),
                version: 1 + self.random.below(4),
                mentions: self.mentions(),
            },
            Kind::Join => {
                let at = match self.random.below(4) {
                    0 => JoinAt::Start,
                    1 => JoinAt::After(self.id()),
                    _ => JoinAt::Tail,
                };
                Request::Join {
                    channel: self.channel(),
                    users: self.some_users(),
                    at,
                }
            }
            Kind::Leave => Request::Leave {
                channel: self.channel(),
                users: self.some_users(),
            },
            Kind::Settings => self.settings(),
            Kind::Role => Request::Role {
                app: app(),
                role: self.role_name(),
                users: self.some_users(),
                held: self.random.chance(70),
            },
            Kind::Follow => Request::Follow {
                user: self.user(),
                thread: channel(2 + self.random.place(CHANNELS - 2)),
                on: self.random.chance(60),
            },
            Kind::Trim => {
                let low = 1 + self.random.below(self.ids / 2 + 1);
                Request::Trim {
                    channel: self.channel(),
                    id: id(low),
                }
            }
            _ => Request::Post {
                channel: self.channel(),
                post: self.post(),
            },
        }
    }

    fn post(&mut self) -> Post {
        Post {
            id: self.id(),
            author: self.random.chance(60).then(|| self.user()),
            noack: self.random.chance(25),
            silent: self.random.chance(10),
            mentions: self.mentions(),
        }
    }

    fn settings(&mut self) -> Request {
        let channel = self.channel();
        let space = self.random.chance(60).then(|| self.optional_space());
        let parent = self.random.chance(20).then(|| {
            let text = if self.random.chance(50) { "c0" } else { "c1" };
            self.random
                .chance(70)
                .then(|| name(NameKind::Channel, text))
        });
        let receipts = self.random.chance(30).then(|| match self.random.below(5) {
            0 => Receipts::Off,
            1 => Receipts::Count,
            _ => Receipts::List,
        });
        Request::Channel {
            channel,
            space,
            parent,
            receipts,
        }
    }

    fn user_request(&mut self, kind: Kind) -> Request {
        let user = self.user();
        match kind {
            Kind::Ack => Request::Ack {
                user,
                channel: self.channel(),
                id: self.id(),
                era: None,
                private: self.random.chance(20),
                count: self.random.chance(30),
            },
            Kind::AckMany => {
                let count = 1 + self.random.below(4);
                let acks = (0..count).map(|_| (self.channel(), self.id())).collect();
                Request::AckMany { user, acks }
            }
            Kind::AckAll => Request::AckAll {
                user,
                upto: self.id(),
                space: self.optional_space(),
            },
            Kind::MarkUnread => {
                let channel = self.channel();
                Request::MarkUnread {
                    user,
                    channel,
                    id: self.id(),
                }
            }
            Kind::Mute => self.mute(user),
            Kind::Gone if self.random.chance(50) => Request::Erase { user },
            _ => Request::Drop {
                channel: self.channel(),
            },
        }
    }

    fn question(&mut self, kind: Kind) -> Request {
        let user = self.user();
        match kind {
            Kind::State => {
                let after = self
                    .random
                    .chance(30)
                    .then(|| name(NameKind::Channel, "c1"));
                let page = Page {
                    limit: self.limit(),
                    after,
                };
                Request::State {
                    user,
                    since: None,
                    page,
                }
            }
            Kind::Badge => Request::Badge {
                user,
                space: self.optional_space(),
            },
            Kind::Seen => {
                let listed = self.random.chance(60);
                let after = self.random.chance(30).then(|| name(NameKind::User, "u1"));
                let page = Page {
                    limit: self.limit(),
                    after,
                };
                Request::Seen {
                    channel: self.channel(),
                    id: self.id(),
                    list: listed.then_some(page),
                }
            }
            Kind::Explain => {
                let after = self.random.chance(30).then(|| self.id());
                let page = Page {
                    limit: self.limit(),
                    after,
                };
                Request::Explain {
                    user,
                    channel: self.channel(),
                    page,
                }
            }
            _ => {
                let count = 1 + self.random.below(5);
                let channels = (0..count).map(|_| self.channel()).collect();
                Request::Count { user, channels }
            }
        }
    }

    fn mute(&mut self, user: UserKey) -> Request {
        let level = match self.random.below(3) {
            0 => MuteLevel::All,
            1 => MuteLevel::Mentions,
            _ => MuteLevel::None,
        };
        let until = if self.random.chance(30) {
            self.now + self.random.below(800)
        } else {
            0
        };
        Request::Mute {
            user,
            channel: self.channel(),
            level,
            until: Millis(until),
        }
    }
}
