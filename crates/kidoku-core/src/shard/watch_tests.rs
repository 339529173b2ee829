//! What those who watch are told when the store fails, when they come back, and when time goes back.

use super::tests::{NOW, channel, config, user};
use super::*;
use crate::effect::{LoadFailed, Loaded};
use crate::fact::{Membership, MuteLevel, StateRow};
use crate::id::Name;
use crate::reply::Event;
use crate::request::JoinAt;
use std::sync::Arc;

const WATCHER: Ticket = Ticket {
    core: ShardId(0),
    id: 9,
};

fn apply(shard: &mut Shard, now: Millis, input: Input) -> Effects {
    let mut effects = Effects::default();
    shard.apply(now, input, &mut effects);
    effects
}

fn request(shard: &mut Shard, now: Millis, request: Request) -> Effects {
    let ticket = WATCHER;
    apply(shard, now, Input::Request { ticket, request })
}

fn tick(shard: &mut Shard) -> Effects {
    apply(shard, NOW, Input::Tick)
}

fn loaded(shard: &mut Shard, load: Load, data: Result<Loaded, LoadFailed>) -> Effects {
    apply(shard, NOW, Input::Loaded { load, data })
}

fn watch(on: bool) -> Request {
    let (user, watcher) = (user("ada"), WATCHER);
    if on {
        Request::Watch { user, watcher }
    } else {
        Request::Unwatch { user, watcher }
    }
}

fn name(text: &str) -> Name {
    Name::new(crate::id::NameKind::Channel, text).unwrap()
}

/// Ada, who is in one channel that is not in memory, is watched.
fn watched() -> Shard {
    let mut shard = Shard::new(ShardConfig {
        fresh: false,
        ..config()
    });
    let asked = request(&mut shard, NOW, watch(true));
    let load = Load::User(user("ada"));
    assert_eq!(asked.loads, std::slice::from_ref(&load));
    let membership = Membership {
        member: true,
        ..Membership::default()
    };
    let row = StateRow {
        membership: Some(membership),
        ..StateRow::default()
    };
    let fact = Fact::State {
        user: user("ada"),
        channel: channel("room"),
        row,
    };
    let told = loaded(&mut shard, load, Ok(Loaded::Facts(vec![fact])));
    assert_eq!(told.replies, [(WATCHER, Ok(Reply::Ok))]);
    shard
}

fn room() -> (Load, Result<Loaded, LoadFailed>) {
    let data = Loaded::Channel(Box::default());
    (Load::Channel(channel("room")), Ok(data))
}

fn only_event(effects: &Effects) -> Arc<Event> {
    assert_eq!(effects.pushes.len(), 1, "{effects:?}");
    Arc::clone(&effects.pushes[0].1)
}

#[test]
fn an_event_that_could_not_be_counted_is_tried_again_and_holds_what_it_should_have_told() {
    let mut shard = watched();
    let (load, data) = room();
    assert_eq!(tick(&mut shard).loads, std::slice::from_ref(&load));
    let failed = loaded(&mut shard, load.clone(), Err(LoadFailed::Unreadable));
    assert!(failed.pushes.is_empty());
    // Not at every tick: there may be many who watch.
    for _ in 0..100 {
        assert!(tick(&mut shard).is_empty() && shard.wants_tick());
    }
    assert_eq!(tick(&mut shard).loads, std::slice::from_ref(&load));
    let event = only_event(&loaded(&mut shard, load, data));
    assert!(event.all);
    assert_eq!(event.channels[0].0, channel("room"));
    assert!(!shard.wants_tick());
}

#[test]
fn an_event_begun_for_a_watch_that_is_gone_is_not_told_to_the_next_one() {
    let mut shard = watched();
    let (load, data) = room();
    assert_eq!(tick(&mut shard).loads, std::slice::from_ref(&load));
    request(&mut shard, NOW, watch(false));
    request(&mut shard, NOW, watch(true));
    // It waits for the same load.
    assert!(tick(&mut shard).is_empty());
    assert!(only_event(&loaded(&mut shard, load, data)).all);
}

#[test]
fn a_revision_does_not_go_back_when_an_ended_mute_is_in_force_again() {
    let mut shard = Shard::new(config());
    let (later, until) = (Millis(NOW.0 + 20), Millis(NOW.0 + 10));
    let join = Request::Join {
        channel: channel("room"),
        users: vec![user("ada")],
        at: JoinAt::Tail,
    };
    request(&mut shard, NOW, join);
    let mute = Request::Mute {
        user: user("ada"),
        channel: channel("room"),
        level: MuteLevel::All,
        until,
    };
    request(&mut shard, NOW, mute);
    let mut rev_at = |now| {
        let badge = Request::Badge {
            user: user("ada"),
            space: None,
        };
        match request(&mut shard, now, badge).replies.pop() {
            Some((_, Ok(Reply::Badge(badge)))) => badge.rev,
            other => panic!("{other:?}"),
        }
    };
    let ended = rev_at(later);
    assert_eq!(ended, Clock::at(until));
    assert!(rev_at(NOW) >= ended);
}

#[test]
fn who_comes_into_a_thread_that_can_not_be_read_is_told_so_of_the_channels_that_may_show_it() {
    for parent in [Some(Some(name("room"))), None] {
        let mut shard = watched();
        tick(&mut shard);
        let (load, data) = room();
        assert!(
            !only_event(&loaded(&mut shard, load, data)).channels[0]
                .1
                .threads_damaged
        );
        let ack = |at| Request::Ack {
            user: user("ada"),
            channel: channel(at),
            id: MessageId::new(3).unwrap(),
            era: None,
            private: false,
            count: false,
        };
        // After this event the room is no news any more.
        request(&mut shard, NOW, ack("room"));
        only_event(&tick(&mut shard));
        // An ack joins, and needs nothing of the channel.
        request(&mut shard, NOW, ack("thread"));
        let load = Load::Channel(channel("thread"));
        assert_eq!(tick(&mut shard).loads, std::slice::from_ref(&load));
        let owner = crate::fact::Partition::Channel(channel("thread"));
        let damaged = crate::damaged::Damaged {
            parent,
            ..crate::damaged::Damaged::some_rows(owner)
        };
        let failed = Err(LoadFailed::Damaged(Box::new(damaged)));
        let event = only_event(&loaded(&mut shard, load, failed));
        assert_eq!(event.damaged, [channel("thread")]);
        assert_eq!(event.channels.len(), 1, "{event:?}");
        assert!(event.channels[0].1.threads_damaged, "{event:?}");
    }
}
