use super::*;
use crate::resp::Protocol;
use kidoku_core::clock::Millis;
use kidoku_core::fact::MuteLevel;
use kidoku_core::id::{App, NameKind};
use kidoku_core::reply::LinePart;

fn channel(name: &str) -> ChannelKey {
    ChannelKey::new(&App::default_app(), name).unwrap()
}

fn user(name: &str) -> UserKey {
    UserKey::new(&App::default_app(), name).unwrap()
}

fn name(text: &str) -> Name {
    Name::new(NameKind::Channel, text).unwrap()
}

fn id(value: u64) -> MessageId {
    MessageId::new(value).unwrap()
}

fn state() -> ReadState {
    ReadState {
        unread: 3,
        mentions: 1,
        first_unread: Some(id(8)),
        cursor: Position(7),
        era: Clock(u64::MAX),
        last: None,
        muted: MuteLevel::Mentions,
        member: true,
        threads_unread: 2,
        threads_mentions: 0,
        threads_damaged: false,
    }
}

/// The written bytes with a blank for each line end.
fn written(protocol: Protocol, reply: &Reply, context: &ReplyContext<'_>) -> String {
    let mut out = Vec::new();
    write_reply(&mut Writer::new(&mut out, protocol), reply, context);
    String::from_utf8(out).unwrap().replace("\r\n", " ")
}

fn check(reply: &Reply, resp2: &str, resp3: &str) {
    let context = ReplyContext::default();
    assert_eq!(written(Protocol::Resp2, reply, &context).trim_end(), resp2);
    assert_eq!(written(Protocol::Resp3, reply, &context).trim_end(), resp3);
}

const STATE_RESP2: &str = "$6 unread :3 $8 mentions :1 $12 first_unread :8 $6 cursor :7 \
     $3 era $20 18446744073709551615 $4 last $-1 $5 muted $8 MENTIONS $6 member :1 \
     $14 threads_unread :2 $16 threads_mentions :0";
const STATE_RESP3: &str = "$6 unread :3 $8 mentions :1 $12 first_unread :8 $6 cursor :7 \
     $3 era $20 18446744073709551615 $4 last _ $5 muted $8 MENTIONS $6 member #t \
     $14 threads_unread :2 $16 threads_mentions :0";
const NO_BADGE: &str = "$6 unread :0 $8 mentions :0 $8 channels :0 $14 unmuted_unread :0 \
     $16 unmuted_mentions :0 $16 unmuted_channels :0 $3 rev $1 0";

#[test]
fn plain_replies() {
    check(&Reply::Ok, "+OK", "+OK");
    check(&Reply::Number(2), ":2", ":2");
    check(&Reply::Resolved(vec![id(1), id(2)]), "*2 :1 :2", "*2 :1 :2");
    check(
        &Reply::Names(vec![Some(name("x")), None]),
        "*2 $1 x $-1",
        "*2 $1 x _",
    );
}

#[test]
fn read_states_have_their_fields_in_order() {
    let one = Reply::ReadState(Box::new(state()));
    check(
        &one,
        &format!("*20 {STATE_RESP2}"),
        &format!("%10 {STATE_RESP3}"),
    );
    let two = Reply::ReadStates(vec![state(), state()]);
    check(
        &two,
        &format!("*2 *20 {STATE_RESP2} *20 {STATE_RESP2}"),
        &format!("*2 %10 {STATE_RESP3} %10 {STATE_RESP3}"),
    );
    let page = Reply::State {
        rev: Clock(9),
        channels: vec![(channel("c"), state())],
        damaged: Vec::new(),
        next: Some(name("c")),
    };
    check(
        &page,
        &format!("*6 $3 rev $1 9 $8 channels *1 *22 $7 channel $1 c {STATE_RESP2} $4 next $1 c"),
        &format!("%3 $3 rev $1 9 $8 channels *1 %11 $7 channel $1 c {STATE_RESP3} $4 next $1 c"),
    );
}

#[test]
fn totals_receipts_settings_and_erasures_have_their_fields_in_order() {
    let badge = Reply::Badge(Box::default());
    check(
        &badge,
        &format!("*14 {NO_BADGE}"),
        &format!("%7 {NO_BADGE}"),
    );

    let count = Reply::Seen {
        count: 1,
        members: 2,
        users: None,
        next: None,
    };
    check(
        &count,
        "*4 $5 count :1 $7 members :2",
        "%2 $5 count :1 $7 members :2",
    );
    let list = Reply::Seen {
        count: 1,
        members: 2,
        users: Some(vec![user("u")]),
        next: None,
    };
    check(
        &list,
        "*8 $5 count :1 $7 members :2 $5 users *1 $1 u $4 next $-1",
        "%4 $5 count :1 $7 members :2 $5 users *1 $1 u $4 next _",
    );

    let settings = Reply::Settings {
        space: Some(name("s")),
        parent: None,
        receipts: Receipts::Count,
    };
    check(
        &settings,
        "*6 $5 space $1 s $6 parent $-1 $8 receipts $5 COUNT",
        "%3 $5 space $1 s $6 parent _ $8 receipts $5 COUNT",
    );

    let clock = Clock::at(Millis(1_700_000_000_000));
    let erased = Reply::Erased {
        clock,
        channels: 1,
        mentions: 2,
        messages: 3,
    };
    let fields = "$9 erased_at :1700000000000 $8 channels :1 $8 mentions :2 $8 messages :3";
    check(&erased, &format!("*8 {fields}"), &format!("%4 {fields}"));
}

fn explanation() -> Explanation {
    Explanation {
        state: state(),
        line: Position(7),
        part: LinePart::SpaceFloor,
        set_at: None,
        floor: Position(0),
        join: Position(2),
        trim: Position(1),
        unread_ids: vec![id(8), id(9)],
        mention_ids: vec![id(9)],
        own: 4,
        next: Some(id(9)),
    }
}

#[test]
fn an_explanation_has_its_fields_in_order() {
    let fields = "$4 line :7 $4 part $11 space_floor $6 set_at NULL $5 floor :0 $4 join :2 \
                  $4 trim :1 $10 unread_ids *2 :8 :9 $11 mention_ids *1 :9 $3 own :4 $4 next :9";
    check(
        &Reply::Explanation(Box::new(explanation())),
        &format!(
            "*22 $5 state *20 {STATE_RESP2} {}",
            fields.replace("NULL", "$-1")
        ),
        &format!(
            "%11 $5 state %10 {STATE_RESP3} {}",
            fields.replace("NULL", "_")
        ),
    );
}

fn event() -> Event {
    Event {
        user: user("u"),
        rev: Clock(5),
        all: false,
        channels: vec![(channel("c"), state())],
        damaged: Vec::new(),
        badge: Some(Badge::default()),
    }
}

#[test]
fn an_event_is_a_push_frame_with_absolute_numbers() {
    let mut out = Vec::new();
    write_event(&mut Writer::new(&mut out, Protocol::Resp3), &event(), None);
    assert_eq!(
        String::from_utf8(out)
            .unwrap()
            .replace("\r\n", " ")
            .trim_end(),
        format!(
            ">3 $8 kd.event $1 u %3 $3 rev $1 5 $8 channels *1 %11 $7 channel $1 c {STATE_RESP3} \
             $5 badge %7 {NO_BADGE}"
        )
    );
}

#[test]
fn what_is_damaged_is_named_and_has_no_numbers() {
    let page = Reply::State {
        rev: Clock(9),
        channels: Vec::new(),
        damaged: vec![channel("c")],
        next: None,
    };
    check(
        &page,
        "*8 $3 rev $1 9 $8 channels *0 $7 damaged *1 $1 c $4 next $-1",
        "%4 $3 rev $1 9 $8 channels *0 $7 damaged *1 $1 c $4 next _",
    );
    let beside = ReadState {
        threads_damaged: true,
        ..state()
    };
    check(
        &Reply::ReadState(Box::new(beside)),
        &format!("*22 {STATE_RESP2} $15 threads_damaged :1"),
        &format!("%11 {STATE_RESP3} $15 threads_damaged #t"),
    );
    let event = Event {
        channels: Vec::new(),
        damaged: vec![channel("c")],
        badge: None,
        ..event()
    };
    let mut out = Vec::new();
    write_event(&mut Writer::new(&mut out, Protocol::Resp3), &event, None);
    let text = String::from_utf8(out).unwrap().replace("\r\n", " ");
    assert_eq!(
        text.trim_end(),
        ">3 $8 kd.event $1 u %4 $3 rev $1 5 $8 channels *0 $7 damaged *1 $1 c $5 badge _"
    );
}

struct Letters;

impl IdNames for Letters {
    fn name(&self, channel: &ChannelKey, id: MessageId) -> Option<&str> {
        assert_eq!(channel.name(), "c");
        ["a", "b", "c", "d", "e", "f", "g", "h"]
            .get(usize::try_from(id.get()).ok()? - 1)
            .copied()
    }
}

#[test]
fn opaque_ids_are_written_as_the_caller_wrote_them() {
    let channels = [channel("c")];
    let context = ReplyContext {
        channels: &channels,
        names: Some(&Letters),
    };
    let one = written(
        Protocol::Resp3,
        &Reply::ReadState(Box::new(state())),
        &context,
    );
    assert!(one.contains("first_unread $1 h $6 cursor $1 g "), "{one}");
    let none = Reply::ReadStates(vec![ReadState::default()]);
    let none = written(Protocol::Resp3, &none, &context);
    assert!(none.contains("first_unread _ $6 cursor :0 "), "{none}");
    let explained = Reply::Explanation(Box::new(explanation()));
    let explained = written(Protocol::Resp3, &explained, &context);
    assert!(
        explained.contains("unread_ids *2 $1 h $1 9 "),
        "{explained}"
    );
}

#[test]
fn every_id_that_will_be_written_is_asked_for() {
    let ids_of = |reply: &Reply| {
        let mut ids = Vec::new();
        each_message_id(reply, &[channel("c"), channel("d")], &mut |channel, id| {
            ids.push(format!("{}{}", channel.name(), id.get()));
        });
        ids.join(" ")
    };
    assert_eq!(ids_of(&Reply::ReadState(Box::new(state()))), "c8 c7");
    assert_eq!(
        ids_of(&Reply::ReadStates(vec![state(), state()])),
        "c8 c7 d8 d7"
    );
    let page = vec![(channel("x"), state())];
    assert_eq!(
        ids_of(&Reply::State {
            rev: Clock(1),
            channels: page,
            damaged: Vec::new(),
            next: None
        }),
        "x8 x7"
    );
    let explained = Reply::Explanation(Box::new(explanation()));
    assert_eq!(ids_of(&explained), "c8 c7 c7 c2 c1 c8 c9 c9 c9");
    assert_eq!(ids_of(&Reply::Ok), "");
    let mut count = 0;
    each_message_id_of_event(&event(), &mut |_, _| count += 1);
    assert_eq!(count, 2);
}

#[test]
fn channels_asked_are_those_of_the_read_states_in_the_reply() {
    let count = Request::Count {
        user: user("u"),
        channels: vec![channel("a"), channel("b")],
    };
    assert_eq!(channels_asked(&count), [channel("a"), channel("b")]);
    let unread = Request::MarkUnread {
        user: user("u"),
        channel: channel("a"),
        id: id(1),
    };
    assert_eq!(channels_asked(&unread), [channel("a")]);
    assert_eq!(
        channels_asked(&Request::Drop {
            channel: channel("a")
        }),
        []
    );
}

#[test]
fn a_refusal_is_its_code_and_text() {
    let mut out = Vec::new();
    let refused = Err(Error::Busy);
    let context = ReplyContext::default();
    write_result(
        &mut Writer::new(&mut out, Protocol::Resp3),
        &refused,
        &context,
    );
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "-BUSY too much work is waiting, retry after 100 ms\r\n"
    );
}
