//! One shard by itself: what memory a read state costs, and that the hot path says one fact.

use super::*;
use crate::fact::MuteLevel;
use crate::id::App;
use crate::request::{JoinAt, MentionList, Post};

pub(super) const NOW: Millis = Millis(1_700_000_000_000);

pub(super) fn config() -> ShardConfig {
    ShardConfig {
        id: ShardId(0),
        placement: Placement::new(1),
        hash_seed: 7,
        memory_bytes_max: usize::MAX,
        fresh: true,
        clock_seen: Clock::NEVER,
        clock_owner: ShardId(0),
    }
}

fn shard() -> Shard {
    Shard::new(config())
}

pub(super) fn user(name: &str) -> UserKey {
    UserKey::new(&App::default_app(), name).unwrap()
}

pub(super) fn channel(name: &str) -> ChannelKey {
    ChannelKey::new(&App::default_app(), name).unwrap()
}

fn id(value: u64) -> MessageId {
    MessageId::new(value).unwrap()
}

fn ask(shard: &mut Shard, request: Request) -> (Reply, Vec<Fact>) {
    let ticket = Ticket {
        core: ShardId(0),
        id: 1,
    };
    let mut effects = Effects::default();
    shard.apply(NOW, Input::Request { ticket, request }, &mut effects);
    assert_eq!(effects.replies.len(), 1, "{effects:?}");
    let (_, reply) = effects.replies.pop().unwrap();
    (reply.unwrap(), effects.facts)
}

fn post(shard: &mut Shard, at: &str, value: u64, author: Option<&str>) {
    let post = Post {
        id: id(value),
        author: author.map(user),
        noack: false,
        silent: false,
        mentions: MentionList::default(),
    };
    ask(
        shard,
        Request::Post {
            channel: channel(at),
            post,
        },
    );
}

fn ack(who: &str, at: &str, value: u64) -> Request {
    Request::Ack {
        user: user(who),
        channel: channel(at),
        id: id(value),
        era: None,
        private: false,
        count: false,
    }
}

fn join(shard: &mut Shard, who: &str, at: &str) {
    let users = vec![user(who)];
    ask(
        shard,
        Request::Join {
            channel: channel(at),
            users,
            at: JoinAt::Tail,
        },
    );
}

#[test]
fn a_read_state_costs_at_most_sixteen_bytes_with_200_channels_a_user() {
    let mut shard = shard();
    let (users, channels) = (500_u32, 200_u32);
    for c in 0..channels {
        post(&mut shard, &format!("channel-{c}"), 10, None);
    }
    for u in 0..users {
        for c in 0..channels {
            join(&mut shard, &format!("user-{u}"), &format!("channel-{c}"));
        }
    }
    for u in 0..users {
        for c in (0..channels).step_by(2) {
            ask(
                &mut shard,
                ack(&format!("user-{u}"), &format!("channel-{c}"), 12),
            );
        }
    }
    let stats = shard.stats();
    assert_eq!(stats.read_states, u64::from(users * channels));
    let bytes = stats.user_bytes / stats.read_states;
    assert!(bytes <= 16, "{bytes} bytes per read state: {stats:?}");
}

#[test]
fn an_ack_says_one_fact_and_a_repeated_one_none() {
    let mut shard = shard();
    post(&mut shard, "c", 10, None);
    join(&mut shard, "u", "c");
    let (reply, facts) = ask(&mut shard, ack("u", "c", 11));
    assert_eq!((reply, facts.len()), (Reply::Number(1), 1));
    let (reply, facts) = ask(&mut shard, ack("u", "c", 11));
    assert_eq!((reply, facts.len()), (Reply::Number(0), 0));
    let (reply, facts) = ask(&mut shard, ack("u", "c", 9));
    assert_eq!((reply, facts.len()), (Reply::Number(0), 0));
}

#[test]
fn a_muted_channel_keeps_its_count_and_leaves_the_unmuted_totals() {
    let mut shard = shard();
    join(&mut shard, "u", "c");
    post(&mut shard, "c", 10, None);
    let mute = Request::Mute {
        user: user("u"),
        channel: channel("c"),
        level: MuteLevel::All,
        until: Millis(0),
    };
    ask(&mut shard, mute);
    let (reply, _) = ask(
        &mut shard,
        Request::Badge {
            user: user("u"),
            space: None,
        },
    );
    let Reply::Badge(badge) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!((badge.unread, badge.unmuted_unread), (1, 0));
}

#[test]
fn what_an_author_writes_is_read_by_the_author_only() {
    let mut shard = shard();
    join(&mut shard, "a", "c");
    join(&mut shard, "b", "c");
    post(&mut shard, "c", 10, Some("a"));
    let count = |shard: &mut Shard, who: &str| {
        let request = Request::Count {
            user: user(who),
            channels: vec![channel("c")],
        };
        let (reply, _) = ask(shard, request);
        let Reply::ReadStates(states) = reply else {
            panic!("{reply:?}")
        };
        states[0].unread
    };
    assert_eq!((count(&mut shard, "a"), count(&mut shard, "b")), (0, 1));
}

#[test]
fn a_state_over_200_channels_costs_one_message_to_another_core() {
    let placement = Placement::new(2);
    let mut shards: Vec<Shard> = placement
        .all()
        .map(|id| {
            Shard::new(ShardConfig {
                id,
                placement,
                clock_owner: id,
                ..shard().config
            })
        })
        .collect();
    // Delivers until all is quiet; gives the messages that crossed and the replies.
    let mut run = |request: Request| {
        let (mut crossed, mut replies) = (0, Vec::new());
        let owner = request.owner(&placement);
        let ticket = Ticket { core: owner, id: 1 };
        let mut inputs = VecDeque::from([(owner, Input::Request { ticket, request })]);
        while let Some((at, input)) = inputs.pop_front() {
            let mut effects = Effects::default();
            shards[usize::from(at.0)].apply(NOW, input, &mut effects);
            crossed += effects.messages.len();
            replies.append(&mut effects.replies);
            let peers = effects.messages.into_iter();
            inputs.extend(peers.map(|(to, message)| (to, Input::Peer { from: at, message })));
        }
        (crossed, replies.pop().unwrap().1.unwrap())
    };
    for n in 0..200 {
        let (channel, users) = (channel(&format!("c{n}")), vec![user("u")]);
        run(Request::Join {
            channel,
            users,
            at: JoinAt::Start,
        });
    }
    let (crossed, reply) = run(Request::State {
        user: user("u"),
        since: None,
        page: Default::default(),
    });
    let Reply::State { channels, .. } = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(channels.len(), 200);
    assert_eq!(crossed, 2, "one question and one answer");
}
