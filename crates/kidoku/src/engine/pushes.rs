//! Events on their way to those who watch, behind the durability gate: a device that was told of a
//! cursor must not see it go back after a crash.
//!
//! Of each watch at most two events are held. The first waits for its own facts only, so that it
//! leaves however much comes after it; what comes meanwhile is merged into the second, channel by
//! channel, where the newest numbers win.

use super::gate::View;
use kidoku_core::id::UserKey;
use kidoku_core::reply::Event;
use kidoku_core::request::Ticket;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An event and the lsn of the last fact it may rest on.
type Stamped = (Arc<Event>, u64);

/// The events of one watch that wait for the disk.
#[derive(Debug)]
struct Waiting {
    first: Stamped,
    rest: Option<Stamped>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct HeldPushes(BTreeMap<(Ticket, UserKey), Waiting>);

/// One event in place of two: what a device knows after both.
pub(crate) fn merged(one: &Event, next: &Arc<Event>) -> Arc<Event> {
    // It holds everything, and what it does not name is gone.
    if next.all {
        return Arc::clone(next);
    }
    let mut channels: BTreeMap<_, _> = one.channels.iter().cloned().collect();
    channels.extend(next.channels.iter().cloned());
    Arc::new(Event {
        user: next.user.clone(),
        rev: next.rev,
        all: one.all,
        channels: channels.into_iter().collect(),
        damaged: next.damaged.clone(),
        badge: next.badge,
    })
}

impl HeldPushes {
    /// Takes in an event; gives it back when it may leave at once.
    pub(crate) fn take_in(
        &mut self,
        ticket: Ticket,
        event: Arc<Event>,
        stamp: u64,
        view: View,
    ) -> Option<Arc<Event>> {
        if self.0.is_empty() && view.may_show(stamp) {
            return Some(event);
        }
        let key = (ticket, event.user.clone());
        match self.0.get_mut(&key) {
            None if view.may_show(stamp) => return Some(event),
            None => {
                let first = (event, stamp);
                self.0.insert(key, Waiting { first, rest: None });
            }
            Some(waiting) => {
                waiting.rest = Some(match waiting.rest.take() {
                    Some((rest, before)) => (merged(&rest, &event), before.max(stamp)),
                    None => (event, stamp),
                });
            }
        }
        None
    }

    /// What may leave by now, in the order of each watch.
    pub(crate) fn release(&mut self, view: View) -> Vec<(Ticket, Arc<Event>)> {
        let mut released = Vec::new();
        self.0.retain(|(ticket, _), waiting| {
            while view.may_show(waiting.first.1) {
                released.push((*ticket, Arc::clone(&waiting.first.0)));
                match waiting.rest.take() {
                    Some(rest) => waiting.first = rest,
                    None => return false,
                }
            }
            true
        });
        released
    }

    /// True when nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kidoku_core::clock::Clock;
    use kidoku_core::id::{App, ChannelKey, Position, ShardId};
    use kidoku_core::reply::{Badge, ReadState};

    const TICKET: Ticket = Ticket {
        core: ShardId(0),
        id: 7,
    };

    fn event(rev: u64, all: bool, channels: &[(&str, u64)]) -> Arc<Event> {
        let app = App::default_app();
        let state = |(name, cursor): &(&str, u64)| {
            let state = ReadState {
                cursor: Position(*cursor),
                ..ReadState::default()
            };
            (ChannelKey::new(&app, name).unwrap(), state)
        };
        Arc::new(Event {
            user: UserKey::new(&app, "ada").unwrap(),
            rev: Clock(rev),
            all,
            channels: channels.iter().map(state).collect(),
            damaged: Vec::new(),
            badge: Some(Badge::default()),
        })
    }

    fn revs(released: &[(Ticket, Arc<Event>)]) -> Vec<u64> {
        released.iter().map(|(_, event)| event.rev.0).collect()
    }

    #[test]
    fn an_event_leaves_when_its_facts_are_durable_and_not_before() {
        let mut held = HeldPushes::default();
        let view = |durable| View::new(durable, false);
        let now = held.take_in(TICKET, event(1, false, &[]), 5, view(5));
        assert_eq!(now.map(|event| event.rev.0), Some(1));
        assert_eq!(held.take_in(TICKET, event(2, false, &[]), 6, view(5)), None);
        assert!(held.release(view(5)).is_empty());
        assert_eq!(revs(&held.release(view(6))), [2]);
        assert!(held.is_empty());
    }

    #[test]
    fn what_comes_behind_a_held_event_does_not_hold_it_longer_and_is_merged() {
        let mut held = HeldPushes::default();
        let view = |durable| View::new(durable, false);
        for (rev, channels) in [(1, [("a", 1)]), (2, [("b", 1)]), (3, [("b", 2)])] {
            held.take_in(TICKET, event(rev, false, &channels), rev, view(0));
        }
        assert_eq!(revs(&held.release(view(1))), [1]);
        // Durable already, and yet behind the other.
        assert_eq!(held.take_in(TICKET, event(4, false, &[]), 1, view(1)), None);
        let released = held.release(view(3));
        assert_eq!(revs(&released), [3, 4]);
        assert_eq!(
            released[0].1.channels,
            event(3, false, &[("b", 2)]).channels
        );
        assert!(held.is_empty());
    }

    #[test]
    fn an_event_that_holds_everything_takes_the_place_of_those_before_it() {
        let one = event(1, false, &[("left", 1)]);
        let next = event(2, true, &[("stayed", 1)]);
        assert_eq!(merged(&one, &next), next);
    }

    #[test]
    fn while_the_log_fails_events_go_on_as_reads_do() {
        let mut held = HeldPushes::default();
        held.take_in(TICKET, event(1, false, &[]), 9, View::new(0, false));
        assert_eq!(revs(&held.release(View::new(0, true))), [1]);
    }
}
