//! Facts as lines: what an export writes, and what [`parse_line`](super::parse_line) reads back as
//! the very same fact. Numbers that may be above 2^53 are strings, because many JSON readers round
//! them.

use super::Op;
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::fact::{
    Edit, Fact, Floor, FloorEntry, Membership, MessageRow, Posted, Preference, Settings, StateRow,
};
use kidoku_core::id::{ChannelKey, MessageId, Name};
use serde::{Serialize, Serializer};

/// Roles or floor entries of one line; what has more is written as several lines, whose union it is.
const SET_ENTRIES_PER_LINE: usize = 1_000;

/// One fact as one line, without a line end. The app is not in it.
pub fn fact_to_line(fact: &Fact) -> String {
    let mut line = Vec::new();
    append(&out(fact), &mut line);
    line.pop();
    String::from_utf8(line).unwrap_or_default()
}

/// Appends a fact as one line with its line end, or as several if it is too large for one: importing
/// them gives the one fact.
pub fn write_fact(fact: &Fact, into: &mut Vec<u8>) {
    match fact {
        Fact::Message { channel, id, row } if is_large(row) => {
            large_message(channel, *id, row, into);
        }
        Fact::Floor {
            user,
            space,
            incarnation,
            floor,
        } if floor.entries().len() > SET_ENTRIES_PER_LINE => {
            for entries in floor.entries().chunks(SET_ENTRIES_PER_LINE) {
                let mut part = Floor::default();
                for entry in entries {
                    part.insert(*entry);
                }
                let (user, space) = (user.clone(), space.clone());
                let fact = Fact::Floor {
                    user,
                    space,
                    incarnation: *incarnation,
                    floor: part,
                };
                append(&out(&fact), into);
            }
        }
        Fact::Message { .. }
        | Fact::Floor { .. }
        | Fact::UserErased { .. }
        | Fact::Role { .. }
        | Fact::State { .. }
        | Fact::Mention { .. }
        | Fact::Own { .. }
        | Fact::ChannelDropped { .. }
        | Fact::Settings { .. }
        | Fact::Trim { .. }
        | Fact::OpaqueId { .. } => append(&out(fact), into),
    }
}

fn is_large(row: &MessageRow) -> bool {
    row.posted
        .as_ref()
        .is_some_and(|posted| posted.roles.len() > SET_ENTRIES_PER_LINE)
}

fn large_message(channel: &ChannelKey, id: MessageId, row: &MessageRow, into: &mut Vec<u8>) {
    let roles = row
        .posted
        .as_ref()
        .map(|posted| posted.roles.as_slice())
        .unwrap_or_default();
    for part in roles.chunks(SET_ENTRIES_PER_LINE) {
        let posted = row.posted.as_ref().map(|posted| Posted {
            silent: posted.silent,
            author: posted.author.clone(),
            everyone: posted.everyone,
            roles: part.to_vec(),
        });
        let row = MessageRow {
            posted,
            edit: None,
            ..row.clone()
        };
        append(
            &out(&Fact::Message {
                channel: channel.clone(),
                id,
                row,
            }),
            into,
        );
    }
    if row.edit.is_some() {
        let row = MessageRow {
            posted: None,
            ..row.clone()
        };
        append(
            &out(&Fact::Message {
                channel: channel.clone(),
                id,
                row,
            }),
            into,
        );
    }
}

fn append(line: &Out<'_>, into: &mut Vec<u8>) {
    // A vector takes everything and no field can refuse to be written, so there is no error to have.
    if serde_json::to_writer(&mut *into, line).is_ok() {
        into.push(b'\n');
    }
}

/// A number as a string.
#[derive(Clone, Copy)]
struct Digits(u64);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The highest number that every JSON reader keeps exact.
const EXACT_NUMBER_MAX: u64 = 1 << 53;

/// A number that is nearly always small, as a number if it is.
#[derive(Clone, Copy)]
struct Small(u64);

impl Serialize for Small {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 <= EXACT_NUMBER_MAX {
            serializer.serialize_u64(self.0)
        } else {
            serializer.collect_str(&self.0)
        }
    }
}

#[derive(Serialize)]
struct OutMembership {
    clock: Digits,
    member: bool,
    from: Digits,
}

#[derive(Serialize)]
struct OutPreference {
    clock: Digits,
    level: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Small>,
}

#[derive(Serialize)]
struct OutEdit<'a> {
    version: Small,
    everyone: bool,
    roles: Vec<&'a str>,
    mentions: Vec<&'a str>,
}

#[derive(Serialize)]
struct OutEntry {
    clock: Digits,
    id: Digits,
}

/// The fields of a line, in the order they are written; `None` = not written.
#[derive(Serialize, Default)]
struct Out<'a> {
    op: &'static str,
    fact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Digits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    posted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    everyone: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<OutEdit<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unauthored: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    era: Option<Digits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor_at: Option<Small>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<Digits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<OutMembership>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preference: Option<OutPreference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<Vec<OutEntry>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    space_clock: Option<Digits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<Option<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_clock: Option<Digits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipts_clock: Option<Digits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<Digits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<Digits>,
}

fn out(fact: &Fact) -> Out<'_> {
    let mut line = own_fields(fact);
    match fact {
        Fact::UserErased { user, .. } | Fact::Floor { user, .. } | Fact::Role { user, .. } => {
            line.user = Some(user.name());
        }
        Fact::State { user, channel, .. }
        | Fact::Mention { user, channel, .. }
        | Fact::Own { user, channel, .. } => {
            line.user = Some(user.name());
            line.channel = Some(channel.name());
        }
        Fact::ChannelDropped { channel, .. }
        | Fact::Settings { channel, .. }
        | Fact::Trim { channel, .. }
        | Fact::Message { channel, .. }
        | Fact::OpaqueId { channel, .. } => line.channel = Some(channel.name()),
    }
    // The clock of an erasure is the incarnation that it begins.
    if !matches!(fact, Fact::UserErased { .. } | Fact::ChannelDropped { .. }) {
        line.incarnation = some_clock(fact.incarnation());
    }
    line
}

/// What a fact says beside whose it is.
fn own_fields(fact: &Fact) -> Out<'_> {
    match fact {
        Fact::UserErased { clock, .. } => clocked(Op::Erase, *clock),
        Fact::ChannelDropped { clock, .. } => clocked(Op::Drop, *clock),
        Fact::Floor { space, floor, .. } => Out {
            space: space.as_ref().map(|space| Some(space.as_str())),
            entries: Some(floor.entries().iter().map(entry).collect()),
            ..of(Op::AckAll)
        },
        Fact::Role {
            role, clock, held, ..
        } => Out {
            role: Some(role.as_str()),
            add: Some(*held),
            ..clocked(Op::Role, *clock)
        },
        Fact::State { row, .. } => state(row),
        Fact::Mention { id, .. } => numbered(Op::Mention, *id),
        Fact::Own { id, .. } => numbered(Op::Own, *id),
        Fact::Settings { settings, .. } => channel_settings(settings),
        Fact::Trim {
            position, clock, ..
        } => Out {
            id: Some(Digits(position.0)),
            ..clocked(Op::Trim, *clock)
        },
        Fact::Message { id, row, .. } => Out {
            id: Some(Digits(id.get())),
            ..message(row)
        },
        Fact::OpaqueId { text, id, .. } => Out {
            text: Some(text.as_str()),
            ..numbered(Op::Opaque, *id)
        },
    }
}

fn of<'a>(op: Op) -> Out<'a> {
    Out {
        op: op.as_str(),
        fact: true,
        ..Out::default()
    }
}

fn clocked<'a>(op: Op, clock: Clock) -> Out<'a> {
    Out {
        clock: Some(Digits(clock.0)),
        ..of(op)
    }
}

fn numbered<'a>(op: Op, id: MessageId) -> Out<'a> {
    Out {
        id: Some(Digits(id.get())),
        ..of(op)
    }
}

fn message(row: &MessageRow) -> Out<'_> {
    let mut line = Out {
        posted: row.posted.is_none().then_some(false),
        edit: row.edit.as_ref().map(edit),
        deleted: row.deleted.then_some(true),
        unauthored: row.unauthored.then_some(true),
        ..of(Op::Message)
    };
    if let Some(posted) = &row.posted {
        line.author = posted.author.as_ref().map(Name::as_str);
        line.silent = posted.silent.then_some(true);
        line.everyone = posted.everyone.then_some(true);
        line.roles = (!posted.roles.is_empty()).then(|| names(&posted.roles));
    }
    line
}

fn edit(edit: &Edit) -> OutEdit<'_> {
    OutEdit {
        version: Small(edit.version),
        everyone: edit.everyone,
        roles: names(&edit.roles),
        mentions: names(&edit.mentions),
    }
}

fn state<'a>(row: &StateRow) -> Out<'a> {
    Out {
        id: Some(Digits(row.cursor.position.0)),
        era: some_clock(row.cursor.era),
        cursor_at: some_millis(row.cursor_at),
        public: (row.public.0 != 0).then_some(Digits(row.public.0)),
        membership: row.membership.as_ref().map(membership),
        preference: row.preference.as_ref().map(preference),
        ..of(Op::Ack)
    }
}

fn membership(membership: &Membership) -> OutMembership {
    OutMembership {
        clock: Digits(membership.clock.0),
        member: membership.member,
        from: Digits(membership.from.0),
    }
}

fn preference(preference: &Preference) -> OutPreference {
    OutPreference {
        clock: Digits(preference.clock.0),
        level: preference.level.as_str(),
        until: some_millis(preference.until),
    }
}

fn channel_settings(settings: &Settings) -> Out<'_> {
    let Settings {
        space,
        parent,
        receipts,
    } = settings;
    let mut line = of(Op::Channel);
    if *space != Default::default() {
        line.space = Some(space.value.as_ref().map(Name::as_str));
        line.space_clock = Some(Digits(space.clock.0));
    }
    if *parent != Default::default() {
        line.parent = Some(parent.value.as_ref().map(Name::as_str));
        line.parent_clock = Some(Digits(parent.clock.0));
    }
    if *receipts != Default::default() {
        line.receipts = Some(receipts.value.as_str());
        line.receipts_clock = Some(Digits(receipts.clock.0));
    }
    line
}

fn entry(entry: &FloorEntry) -> OutEntry {
    OutEntry {
        clock: Digits(entry.clock.0),
        id: Digits(entry.position.0),
    }
}

fn names(names: &[Name]) -> Vec<&str> {
    names.iter().map(Name::as_str).collect()
}

fn some_clock(clock: Clock) -> Option<Digits> {
    (clock != Clock::NEVER).then_some(Digits(clock.0))
}

fn some_millis(millis: Millis) -> Option<Small> {
    (millis != Millis(0)).then_some(Small(millis.0))
}
