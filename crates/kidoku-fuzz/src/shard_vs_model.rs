//! Histories drawn from bytes, on real shards and on the brute-force model.

use crate::draw::Draw;
use kidoku_core::clock::Millis;
use kidoku_core::fact::{MuteLevel, Receipts};
use kidoku_core::id::{ChannelKey, MessageId, Name, NameKind, UserKey};
use kidoku_core::request::{JoinAt, MentionList, Page, Post, Request};
use kidoku_sim::cluster::ClusterConfig;
use kidoku_sim::history::Run;
use kidoku_sim::workload::{self, CHANNELS, EraPick, Op, Step, USERS};

/// Operations of one history at most; every one is checked, and everything is recounted at the end.
const STEPS_MAX: usize = 40;
/// Ids are drawn below this, so that they collide.
const IDS: usize = 12;
/// Times begin here.
const START_MS: u64 = 1_000_000;

/// Does what the input says on both.
pub fn run(data: &[u8]) {
    let mut draw = Draw::new(data);
    let config = ClusterConfig {
        shards: u16::try_from(1 + draw.below(4)).unwrap(),
        memory_bytes_max: draw.pick(&[1, 2_000, 20_000, 1 << 30]),
        seed: u64::from(draw.byte()),
        traced: false,
    };
    let mut now = START_MS;
    let mut steps = Vec::new();
    while !draw.is_empty() && steps.len() < STEPS_MAX {
        now = match draw.below(8) {
            0 => now.saturating_sub(u64::from(draw.byte()) * 8),
            1..=3 => now,
            _ => now + u64::from(draw.byte() % 100),
        };
        let op = op(&mut draw, now);
        steps.push(Step {
            now: Millis(now),
            op,
        });
    }
    if let Err(failure) = Run::new(config).history(&steps) {
        let list: String = steps.iter().map(|step| format!("  {step:?}\n")).collect();
        panic!(
            "{config:?}\n{list}at step {}: {}",
            failure.step, failure.text
        );
    }
}

fn user(draw: &mut Draw<'_>) -> UserKey {
    workload::user(draw.below(USERS))
}

fn channel(draw: &mut Draw<'_>) -> ChannelKey {
    workload::channel(draw.below(CHANNELS))
}

fn id(draw: &mut Draw<'_>) -> MessageId {
    workload::id(u64::try_from(1 + draw.below(IDS)).unwrap())
}

fn many<T>(draw: &mut Draw<'_>, one: fn(&mut Draw<'_>) -> T) -> Vec<T> {
    (0..1 + draw.below(3)).map(|_| one(draw)).collect()
}

fn role(draw: &mut Draw<'_>) -> Name {
    workload::name(NameKind::Role, draw.pick(&["r0", "r1"]))
}

fn space(draw: &mut Draw<'_>) -> Option<Name> {
    let space = draw.pick(&[None, None, Some("s0"), Some("s1")]);
    space.map(|text| workload::name(NameKind::Space, text))
}

fn mentions(draw: &mut Draw<'_>) -> MentionList {
    let what = draw.byte();
    MentionList {
        everyone: what & 1 != 0,
        roles: if what & 2 != 0 {
            vec![role(draw)]
        } else {
            Vec::new()
        },
        users: if what & 4 != 0 {
            many(draw, user)
        } else {
            Vec::new()
        },
    }
}

fn page(draw: &mut Draw<'_>, kind: NameKind) -> Page<Name> {
    let limit = draw.pick(&[1, 2, 3, 1_000]);
    let after = draw.pick(&[None, None, Some("c1"), Some("u1")]);
    Page {
        limit,
        after: after.map(|text| workload::name(kind, text)),
    }
}

fn op(draw: &mut Draw<'_>, now: u64) -> Op {
    match draw.below(32) {
        0 => Op::Restart,
        1 | 2 => Op::Settle,
        3 | 4 => Op::AckIn {
            user: user(draw),
            channel: channel(draw),
            id: id(draw),
            pick: match draw.below(4) {
                0 => EraPick::First,
                made => EraPick::Made(made - 1),
            },
            private: draw.one_in(4),
            count: draw.flag(),
        },
        5 => Op::Sync {
            user: user(draw),
            limit: draw.pick(&[1, 2, 3, 1_000]),
        },
        6..=18 => Op::Ask(of_channel(draw)),
        19..=26 => Op::Ask(of_user(draw, now)),
        _ => Op::Ask(question(draw)),
    }
}

fn of_channel(draw: &mut Draw<'_>) -> Request {
    let kind = draw.below(16);
    let channel = channel(draw);
    match kind {
        0 => Request::Delete {
            channel,
            ids: many(draw, id),
        },
        1 | 2 => Request::Edit {
            channel,
            id: id(draw),
            version: u64::try_from(1 + draw.below(4)).unwrap(),
            mentions: mentions(draw),
        },
        3 | 4 => Request::Join {
            channel,
            users: many(draw, user),
            at: match draw.below(4) {
                0 => JoinAt::Start,
                1 => JoinAt::After(id(draw)),
                _ => JoinAt::Tail,
            },
        },
        5 => Request::Leave {
            channel,
            users: many(draw, user),
        },
        6 | 7 => settings(channel, draw),
        8 => Request::Role {
            app: workload::app(),
            role: role(draw),
            users: many(draw, user),
            held: draw.flag(),
        },
        9 => Request::Follow {
            user: user(draw),
            thread: channel,
            on: draw.flag(),
        },
        10 => Request::Trim {
            channel,
            id: id(draw),
        },
        11 => Request::Drop { channel },
        _ => {
            let what = draw.byte();
            let post = Post {
                id: id(draw),
                author: (what & 1 != 0).then(|| user(draw)),
                noack: what & 6 == 6,
                silent: what & 24 == 24,
                mentions: mentions(draw),
            };
            Request::Post { channel, post }
        }
    }
}

fn settings(channel: ChannelKey, draw: &mut Draw<'_>) -> Request {
    let what = draw.byte();
    let parent = |draw: &mut Draw<'_>| {
        let parent = draw.pick(&[None, Some("c0"), Some("c0"), Some("c1")]);
        parent.map(|text| workload::name(NameKind::Channel, text))
    };
    Request::Channel {
        channel,
        space: (what & 1 != 0).then(|| space(draw)),
        parent: (what & 2 != 0).then(|| parent(draw)),
        receipts: (what & 4 != 0)
            .then(|| draw.pick(&[Receipts::List, Receipts::Count, Receipts::Off])),
    }
}

fn of_user(draw: &mut Draw<'_>, now: u64) -> Request {
    let kind = draw.below(12);
    let user = user(draw);
    match kind {
        0 => Request::AckMany {
            user,
            acks: many(draw, |draw| (channel(draw), id(draw))),
        },
        1 => Request::AckAll {
            user,
            upto: id(draw),
            space: space(draw),
        },
        2 | 3 => Request::MarkUnread {
            user,
            channel: channel(draw),
            id: id(draw),
        },
        4 => Request::Mute {
            user,
            channel: channel(draw),
            level: draw.pick(&[MuteLevel::All, MuteLevel::Mentions, MuteLevel::None]),
            until: Millis(match draw.byte() {
                0..=127 => 0,
                later => now + u64::from(later),
            }),
        },
        5 => Request::Erase { user },
        _ => Request::Ack {
            user,
            channel: channel(draw),
            id: id(draw),
            era: None,
            private: draw.one_in(4),
            count: draw.flag(),
        },
    }
}

fn question(draw: &mut Draw<'_>) -> Request {
    let kind = draw.below(6);
    let user = user(draw);
    match kind {
        0 => Request::State {
            user,
            since: None,
            page: page(draw, NameKind::Channel),
        },
        1 => Request::Badge {
            user,
            space: space(draw),
        },
        2 => Request::Seen {
            channel: channel(draw),
            id: id(draw),
            list: draw.flag().then(|| page(draw, NameKind::User)),
        },
        3 => Request::Explain {
            user,
            channel: channel(draw),
            page: Page {
                limit: draw.pick(&[1, 2, 3, 1_000]),
                after: draw.one_in(3).then(|| id(draw)),
            },
        },
        _ => Request::Count {
            user,
            channels: many(draw, channel),
        },
    }
}
