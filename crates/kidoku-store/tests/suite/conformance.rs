//! What every store must do, alone and under overlays.

use crate::model::{Model, comparable, comparable_load};
use crate::support::{
    Directory, Fixture, ack, channel, embedded, id, join, memory, mention, message, name, own,
    tables, user,
};
use kidoku_core::clock::Clock;
use kidoku_core::effect::{Load, Loaded};
use kidoku_core::fact::user::FloorEntry;
use kidoku_core::fact::{Fact, Floor, MessageRow, Partition, Posted, StateRow, strategy};
use kidoku_core::id::{App, Position};
use kidoku_store::{Layers, Pace, StoreError};
use proptest::test_runner::{Config, TestRunner};

macro_rules! conformance {
    ($($name:ident($fixture:ident, $cases:ident) $body:block)*) => {
        mod in_memory {
            $(#[test] fn $name() { super::$name(super::memory, 500); })*
        }
        mod in_embedded {
            $(#[test] fn $name() { super::$name(super::embedded, 40); })*
        }
        mod in_tables {
            $(#[test] fn $name() { super::$name(super::tables, 10); })*
        }
        $(fn $name($fixture: fn() -> Fixture, $cases: u32) {
            let _ = $cases;
            $body
        })*
    };
}

fn check(cases: u32, test: impl Fn(Vec<Fact>, Vec<usize>)) {
    let facts = proptest::collection::vec(strategy::fact(), 0..60);
    let cuts = proptest::collection::vec(0..60_usize, 2);
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&(facts, cuts), |(facts, mut cuts)| {
            cuts.iter_mut()
                .for_each(|cut| *cut = (*cut).min(facts.len()));
            cuts.sort_unstable();
            test(facts, cuts);
            Ok(())
        })
        .unwrap();
}

/// Every load that any of the facts could change.
fn loads(facts: &[Fact]) -> Vec<Load> {
    let mut loads = Vec::new();
    for fact in facts {
        match fact.partition() {
            Partition::User(user) => loads.push(Load::User(user)),
            Partition::Channel(channel) => loads.push(Load::Channel(channel)),
        }
        match fact {
            Fact::State { user, channel, .. }
            | Fact::Mention { user, channel, .. }
            | Fact::Own { user, channel, .. } => {
                let (user, channel) = (user.clone(), channel.clone());
                let space = Some(name("c"));
                loads.push(Load::Receipts {
                    channel: channel.clone(),
                    space,
                });
                loads.push(Load::Receipts {
                    channel: channel.clone(),
                    space: None,
                });
                loads.push(Load::Detail {
                    user,
                    channel,
                    above: Position(2),
                });
            }
            Fact::Message { channel, id, .. } => {
                loads.push(Load::Message {
                    channel: channel.clone(),
                    id: *id,
                });
            }
            _ => {}
        }
    }
    loads.sort();
    loads.dedup();
    loads
}

fn scan_all(layers: &Layers, app: &App, limit: usize) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut after = None;
    loop {
        let page = layers.scan(app, after.as_ref(), limit).unwrap();
        facts.extend(page.facts);
        if page.next.is_none() {
            return facts;
        }
        assert!(
            page.next > after || after.is_none(),
            "the scan goes on, users first"
        );
        after = page.next;
    }
}

fn assert_like_model(layers: &Layers, facts: &[Fact]) {
    let model = Model::of(facts);
    for load in loads(facts) {
        let found = comparable_load(layers.load(&load).unwrap());
        assert_eq!(found, comparable_load(model.load(&load)), "{load:?}");
    }
    for app in ["default", "b"].map(|app| App::new(app).unwrap()) {
        let expected = comparable(model.live(&app));
        assert_eq!(comparable(scan_all(layers, &app, 5)), expected);
        assert_eq!(comparable(scan_all(layers, &app, usize::MAX)), expected);
    }
}

fn facts_of(loaded: Loaded) -> Vec<Fact> {
    match loaded {
        Loaded::Facts(facts) => facts,
        other => panic!("facts expected, got {other:?}"),
    }
}

conformance! {
    applying_twice_or_in_any_order_gives_the_same_rows(new, cases) {
        check(cases, |facts, cuts| {
            let once = new();
            once.apply(&facts);
            let shuffled = new();
            shuffled.apply(&facts[cuts[1]..]);
            shuffled.apply(&facts[..cuts[1]]);
            shuffled.apply(&facts[cuts[0]..]);
            let one_by_one = new();
            for fact in facts.iter().rev() {
                one_by_one.apply(std::slice::from_ref(fact));
            }
            assert_eq!(once.dump(), shuffled.dump());
            assert_eq!(once.dump(), one_by_one.dump());
        });
    }

    loads_and_scans_equal_the_fold_of_all_facts(new, cases) {
        check(cases, |facts, _| {
            let fixture = new();
            fixture.apply(&facts);
            assert_like_model(&fixture.layers(), &facts);
        });
    }

    a_flush_removes_what_is_stale_and_nothing_else(new, cases) {
        check(cases, |facts, cuts| {
            let fixture = new();
            fixture.flush(&facts[..cuts[0]]);
            fixture.flush(&facts[cuts[0]..cuts[1]]);
            fixture.flush(&facts[cuts[1]..]);
            assert_like_model(&fixture.layers(), &facts);
            // A replay changes nothing: of authors, whose names are gone, only the mark that they
            // are gone may be set in more messages.
            let before = fixture.dump().len();
            fixture.flush(&facts);
            assert_like_model(&fixture.layers(), &facts);
            assert!(fixture.dump().len() <= before);
        });
    }

    store_and_overlays_read_as_one(new, cases) {
        check(cases, |facts, cuts| {
            let fixture = new();
            fixture.flush(&facts[..cuts[0]]);
            let layers = fixture.layers();
            facts[cuts[0]..cuts[1]].iter().for_each(|fact| layers.merge(fact));
            layers.freeze();
            facts[cuts[1]..].iter().for_each(|fact| layers.merge(fact));
            assert_like_model(&layers, &facts);
        });
    }

    a_channel_of_many_pages_loads_whole_from_store_and_overlays(new, cases) {
        let fixture = new();
        let third = |rest: u64| (1..=4_000).filter(move |number| number % 3 == rest);
        let facts = |rest| third(rest).map(|number| message("c", number)).collect::<Vec<_>>();
        fixture.flush(&facts(0));
        let layers = fixture.layers();
        facts(1).iter().for_each(|fact| layers.merge(fact));
        layers.freeze();
        facts(2).iter().for_each(|fact| layers.merge(fact));
        layers.merge(&message("cc", 1));
        layers.merge(&message("b", 9_999));
        let Loaded::Channel(data) = layers.load(&Load::Channel(channel("c"))).unwrap() else {
            panic!("a channel was asked for");
        };
        assert_eq!(data.countable, (1..=4_000).map(id).collect::<Vec<_>>());
        assert_eq!(data.tail, Position(4_000));
        assert_eq!(data.facts, Vec::new());
    }

    marks_below_the_line_are_jumped_over_in_every_channel(new, cases) {
        let fixture = new();
        let mut facts = Vec::new();
        for number in 1..=1_500 {
            for in_channel in ["a", "b", "z"] {
                facts.push(mention("ann", in_channel, number));
                facts.push(own("ann", in_channel, number));
            }
        }
        facts.extend([ack("ann", "a", 1_490), join("ann", "b", 1_499), ack("ann", "z", 9_000)]);
        // No state row: everything may count.
        facts.extend([mention("ann", "m", 1), ack("ann", "no marks", 3)]);
        fixture.flush(&facts);
        let found = facts_of(fixture.layers().load(&Load::User(user("ann"))).unwrap());
        assert_eq!(found.len(), 4 + 20 + 2 + 1);
        assert_like_model(&fixture.layers(), &facts);
    }

    a_cursor_at_the_highest_position_leaves_no_marks(new, cases) {
        let fixture = new();
        let facts = [ack("ann", "c", u64::MAX), mention("ann", "c", 5), mention("ann", "d", 5)];
        fixture.flush(&facts);
        assert_like_model(&fixture.layers(), &facts);
    }

    an_erased_user_leaves_no_trace_but_the_mark(new, cases) {
        let fixture = new();
        let mut facts = vec![join("zoe", "c", 0), join("ann", "c", 0), join("zoe", "d", 0)];
        let posted = Some(Posted { author: Some(name("zoe")), ..Posted::default() });
        let row = MessageRow { posted, ..MessageRow::default() };
        for number in 1..=2_500 {
            let (channel, row) = (channel("c"), row.clone());
            facts.push(Fact::Message { channel, id: id(number), row });
            facts.push(own("zoe", "c", number));
            facts.push(mention("zoe", "e", number));
        }
        let floor = Floor::new(FloorEntry { clock: Clock(4), position: Position(7) });
        facts.push(Fact::Floor {
            user: user("zoe"), space: Some(name("s")), incarnation: Clock::NEVER, floor,
        });
        facts.push(Fact::Role {
            user: user("zoe"), role: name("mod"), incarnation: Clock::NEVER, clock: Clock(1),
            held: true,
        });
        let erasure = Fact::UserErased { user: user("zoe"), clock: Clock(9) };
        // What comes late, in the flush of the erasure or after it, stays away too.
        fixture.flush(&facts);
        fixture.flush(&[erasure, ack("zoe", "f", 3), mention("zoe", "g", 3)]);
        fixture.flush(&[ack("zoe", "h", 3), mention("zoe", "c", 3)]);
        let traces: Vec<String> =
            fixture.dump().into_iter().filter(|row| row.contains("zoe")).collect();
        assert_eq!(traces, ["udefault\\x00zoe\\x00\\x00 Fact(Erased(Clock(9)))"]);
        let receipts = Load::Receipts { channel: channel("c"), space: None };
        let Loaded::Receipts(rows) = fixture.layers().load(&receipts).unwrap() else {
            panic!("receipts were asked for");
        };
        assert_eq!(rows.len(), 1);
    }

    an_erased_user_who_comes_back_keeps_what_is_new(new, cases) {
        let fixture = new();
        let row = StateRow { incarnation: Clock(9), ..StateRow::default() };
        let again = Fact::State { user: user("zoe"), channel: channel("c"), row };
        let facts = [
            ack("zoe", "c", 5),
            mention("zoe", "c", 6),
            Fact::UserErased { user: user("zoe"), clock: Clock(9) },
            again.clone(),
        ];
        fixture.flush(&facts[..2]);
        fixture.flush(&facts[2..]);
        assert_eq!(facts_of(fixture.layers().load(&Load::User(user("zoe"))).unwrap()),
            [facts[2].clone(), again]);
        assert_like_model(&fixture.layers(), &facts);
    }

    a_dropped_channel_goes_and_its_users_marks_go_with_their_new_state_row(new, cases) {
        let fixture = new();
        let mut facts: Vec<Fact> = (1..=2_100).map(|number| message("c", number)).collect();
        facts.push(mention("ann", "c", 5));
        facts.push(own("ann", "c", 6));
        facts.push(mention("ann", "cc", 5));
        facts.push(ack("ann", "c", 4));
        fixture.flush(&facts);
        let row = StateRow { incarnation: Clock(8), ..StateRow::default() };
        let dropped = [
            Fact::ChannelDropped { channel: channel("c"), clock: Clock(8) },
            Fact::State { user: user("ann"), channel: channel("c"), row },
        ];
        fixture.flush(&dropped);
        facts.extend(dropped);
        assert_like_model(&fixture.layers(), &facts);
        // The mark, ann's new row, her mention in the other channel, and two roster rows.
        assert_eq!(fixture.dump().len(), 5, "{:#?}", fixture.dump());
    }

    apps_do_not_see_each_other(new, cases) {
        let fixture = new();
        fixture.flush(&[ack("ann", "c", 3)]);
        let layers = fixture.layers();
        let other = App::new("defaul").unwrap();
        assert_eq!(scan_all(&layers, &other, 10), Vec::new());
        assert_eq!(scan_all(&layers, &App::default_app(), 10), [ack("ann", "c", 3)]);
    }

    named_values_are_replaced(new, cases) {
        // The directory goes with it.
        let fixture = new();
        let store = &fixture.store;
        assert_eq!(store.meta_get("x").unwrap(), None);
        store.meta_put("x", b"1").unwrap();
        store.meta_put("x", b"2").unwrap();
        assert_eq!(store.meta_get("x").unwrap(), Some(b"2".to_vec()));
        assert!(store.is_empty().unwrap());
    }
}

#[test]
fn an_embedded_store_has_everything_after_it_is_opened_again() {
    let directory = Directory::new();
    let facts: Vec<Fact> = (1..=300)
        .flat_map(|number| [message("c", number), mention("ann", "c", number)])
        .chain([ack("ann", "c", 200)])
        .collect();
    let store = directory.open();
    let overlay = crate::support::overlay(&facts);
    kidoku_store::flush(&*store, &overlay, Clock(77), &Pace::unhindered()).unwrap();
    drop(store);
    let store = directory.open();
    assert!(!store.is_empty().unwrap());
    assert_like_model(&Layers::new(store), &facts);
}

#[test]
fn a_store_of_another_format_is_refused() {
    let directory = Directory::new();
    let store = directory.open();
    store.meta_put("format", &[0, 0, 0, 99]).unwrap();
    store.sync().unwrap();
    drop(store);
    let error = kidoku_store::Embedded::open(directory.path(), Default::default()).unwrap_err();
    assert!(matches!(error, StoreError::Format { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "the store has the format \\x00\\x00\\x00c, this version reads 2"
    );
}
