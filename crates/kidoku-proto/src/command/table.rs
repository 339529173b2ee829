//! The table of commands: everything the server, its docs and its clients know of a command is in
//! its row.

use super::arguments::Arguments;
use super::{Command, Context};
use super::{admin, channel, connection, member, message, numbers, push, reading};
use crate::error::CommandError;

/// What the reference sorts commands by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Who is in a channel, holds a role, follows a thread.
    Membership,
    /// Posts, edits, deletes, retention.
    Messages,
    /// Acks, mark unread, mute.
    Reading,
    /// Counts, badges, receipts.
    Numbers,
    /// Settings of channels.
    Channels,
    /// Live events.
    Push,
    /// Erasure and self-check.
    Admin,
    /// What Redis clients say about their connection.
    Connection,
    /// What Redis clients ask about the server.
    Server,
}

impl Group {
    /// All, in the order of the reference.
    pub const ALL: [Self; 9] = [
        Self::Reading,
        Self::Numbers,
        Self::Messages,
        Self::Membership,
        Self::Channels,
        Self::Push,
        Self::Admin,
        Self::Connection,
        Self::Server,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Membership => "membership",
            Self::Messages => "messages",
            Self::Reading => "reading",
            Self::Numbers => "numbers",
            Self::Channels => "channels",
            Self::Push => "push",
            Self::Admin => "admin",
            Self::Connection => "connection",
            Self::Server => "server",
        }
    }
}

/// Who may send a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone, also before authentication.
    Public,
    /// A connection that has given a key of an app.
    App,
}

impl Access {
    /// What the reference says.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "anyone",
            Self::App => "a key of the app",
        }
    }
}

/// What a command touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Only its own connection.
    Connection,
    /// Reads an app's data.
    Read,
    /// Changes an app's data.
    Write,
    /// Reads or erases much of it.
    Admin,
}

impl Class {
    /// The flags that `COMMAND` answers.
    pub fn redis_flags(self) -> &'static [&'static str] {
        match self {
            Self::Connection => &["noscript", "loading", "stale", "fast"],
            Self::Read => &["readonly"],
            Self::Write => &["write"],
            Self::Admin => &["write", "admin", "noscript"],
        }
    }

    /// The category that `COMMAND` answers.
    pub fn redis_category(self) -> &'static str {
        match self {
            Self::Connection => "@connection",
            Self::Read => "@read",
            Self::Write => "@write",
            Self::Admin => "@admin",
        }
    }
}

/// Which arguments name what a command is about, in the convention of Redis: 1 = the first after
/// the name, a last of -1 = up to the end, 0 = none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// First.
    pub first: i8,
    /// Last.
    pub last: i8,
    /// Distance from one to the next.
    pub step: i8,
}

impl Keys {
    /// None.
    pub const NONE: Self = Self {
        first: 0,
        last: 0,
        step: 0,
    };
    /// The first argument: the user or channel whose owner coordinates the command.
    pub const FIRST: Self = Self {
        first: 1,
        last: 1,
        step: 1,
    };
}

/// How arguments become a command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Parse {
    /// Needs nothing else.
    Plain(for<'a> fn(Arguments<'a>) -> Result<Command<'a>, CommandError>),
    /// Needs to know the app.
    InApp(
        for<'a, 'b, 'c> fn(Arguments<'a>, &'b mut Context<'c>) -> Result<Command<'a>, CommandError>,
    ),
}

/// One row: a command.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name, in capitals; any case is accepted.
    pub name: &'static str,
    /// Number of arguments, the name included; negative = so many or more.
    pub arity: i8,
    /// Its arguments: capitals are literal, `[]` optional, `|` one of, `...` repeats.
    pub syntax: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// More for the reference; may be empty.
    pub details: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// The version that first had it.
    pub since: &'static str,
    /// Where the reference shows it.
    pub group: Group,
    /// Who may send it.
    pub access: Access,
    /// What it touches.
    pub class: Class,
    /// What it is about.
    pub keys: Keys,
    /// What it answers.
    pub reply: &'static str,
    /// An inline line that parses.
    pub example: &'static str,
    pub(super) parse: Parse,
}

/// What most rows share; every row gives the rest.
pub(super) const ROW: Spec = Spec {
    name: "",
    arity: 0,
    syntax: "",
    summary: "",
    details: "",
    complexity: "O(1)",
    since: "0.1.0",
    group: Group::Server,
    access: Access::App,
    class: Class::Read,
    keys: Keys::FIRST,
    reply: "",
    example: "",
    parse: Parse::Plain(|arguments| Err(arguments.usage("not parsed"))),
};

impl Spec {
    /// Name and arguments.
    pub fn usage(&self) -> String {
        if self.syntax.is_empty() {
            self.name.to_owned()
        } else {
            format!("{} {}", self.name, self.syntax)
        }
    }
}

const COUNT: usize = member::ROWS.len()
    + message::ROWS.len()
    + reading::ROWS.len()
    + numbers::ROWS.len()
    + channel::ROWS.len()
    + push::ROWS.len()
    + admin::ROWS.len()
    + connection::ROWS.len();

/// Every command.
pub static COMMANDS: [Spec; COUNT] = {
    let mut all = [member::ROWS[0]; COUNT];
    let mut filled = 0;
    filled = append(&mut all, filled, &reading::ROWS);
    filled = append(&mut all, filled, &numbers::ROWS);
    filled = append(&mut all, filled, &message::ROWS);
    filled = append(&mut all, filled, &member::ROWS);
    filled = append(&mut all, filled, &channel::ROWS);
    filled = append(&mut all, filled, &push::ROWS);
    filled = append(&mut all, filled, &admin::ROWS);
    filled = append(&mut all, filled, &connection::ROWS);
    assert!(filled == COUNT);
    all
};

const fn append(all: &mut [Spec; COUNT], start: usize, rows: &[Spec]) -> usize {
    let mut row = 0;
    while row < rows.len() {
        all[start + row] = rows[row];
        row += 1;
    }
    start + rows.len()
}

/// Places of the index: four times the commands or more, so that a look-up probes 1 or 2.
const PLACES: usize = 256;
/// A place without a command.
const VACANT: usize = usize::MAX;

/// Where a name of any case has its first place: by its first 8 bytes in capitals, which no two
/// names share, spread by a multiplication (Fibonacci hashing).
const fn place(name: &[u8]) -> usize {
    let mut word = 0_u64;
    let mut index = 0;
    while index < name.len() && index < 8 {
        word = word << 8 | widen(name[index] & CAPITAL);
        index += 1;
    }
    let [.., highest] = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    // `From` is not const; both casts widen.
    highest as usize
}

/// Clears the bit that makes an ASCII letter small.
const CAPITAL: u8 = 0xdf;

const fn widen(byte: u8) -> u64 {
    byte as u64
}

static INDEX: [usize; PLACES] = {
    let mut index = [VACANT; PLACES];
    let mut row = 0;
    while row < COUNT {
        let mut at = place(COMMANDS[row].name.as_bytes());
        while index[at] != VACANT {
            at = (at + 1) % PLACES;
        }
        index[at] = row;
        row += 1;
    }
    index
};

/// The row of a name, in any case.
pub fn lookup(name: &[u8]) -> Option<&'static Spec> {
    // Longer than any name: not worth hashing.
    if name.len() > 16 {
        return None;
    }
    let mut at = place(name);
    loop {
        let spec = COMMANDS.get(INDEX[at])?;
        if spec.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(spec);
        }
        at = (at + 1) % PLACES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_is_given_once() {
        for spec in &COMMANDS {
            let name = spec.name;
            assert!(name.len() <= 16);
            assert_eq!(name, name.to_uppercase());
            assert_eq!(lookup(name.as_bytes()).unwrap().name, name);
            assert_eq!(lookup(name.to_lowercase().as_bytes()).unwrap().name, name);
            assert_eq!(
                COMMANDS.iter().filter(|other| other.name == name).count(),
                1
            );
        }
        for unknown in [
            "",
            "KD",
            "KD.",
            "KD.ACKX",
            "GET",
            "SUBSCRIBE",
            "KD.ACKALLACKALLACKALL",
        ] {
            assert!(lookup(unknown.as_bytes()).is_none(), "{unknown}");
        }
    }

    #[test]
    fn every_row_is_filled_in() {
        for spec in &COMMANDS {
            for text in [
                spec.summary,
                spec.complexity,
                spec.since,
                spec.reply,
                spec.example,
            ] {
                assert!(!text.is_empty(), "{}", spec.name);
            }
            assert!(Group::ALL.contains(&spec.group));
            assert!(spec.arity != 0);
        }
    }
}
