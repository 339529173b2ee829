//! Live events on a RESP3 connection.

use super::arguments::{Arguments, Most};
use super::table::{Group, Keys, Parse, ROW, Spec};
use super::{Command, Context};
use crate::error::CommandError;
use kidoku_core::id::UserKey;
use kidoku_core::limits::WATCHED_USERS_MAX;

const USERS: Spec = Spec {
    group: Group::Push,
    keys: Keys {
        first: 1,
        last: -1,
        step: 1,
    },
    ..ROW
};

/// The rows of this family.
pub(super) const ROWS: [Spec; 2] = [
    Spec {
        name: "KD.WATCH",
        arity: -2,
        syntax: "user [user ...]",
        summary: "Sends the device events of users to this connection as push frames (RESP3).",
        details: "An event has absolute numbers: the kind `kd.event`, the user, and a map of `rev` \
                  (string), `channels` (as in KD.STATE) and `badge`. Drop an event whose `rev` is \
                  not above the last one of its user.",
        complexity: "O(N), N = users named",
        reply: "Status: OK.",
        example: "KD.WATCH ada bob",
        parse: Parse::InApp(watch),
        ..USERS
    },
    Spec {
        name: "KD.UNWATCH",
        arity: -1,
        syntax: "[user ...]",
        summary: "Ends the events of users, or of all when none is named.",
        details: "",
        complexity: "O(N), N = users named or watched",
        reply: "Status: OK.",
        example: "KD.UNWATCH ada",
        parse: Parse::InApp(unwatch),
        ..USERS
    },
];

fn watch<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    users(&mut arguments, context).map(Command::Watch)
}

fn unwatch<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    users(&mut arguments, context).map(Command::Unwatch)
}

fn users(
    arguments: &mut Arguments<'_>,
    context: &Context<'_>,
) -> Result<Vec<UserKey>, CommandError> {
    let most = Most {
        max: WATCHED_USERS_MAX,
        name: "watched_users_max",
    };
    arguments.check_most("users", arguments.left(), most)?;
    arguments.users(0, context)
}
