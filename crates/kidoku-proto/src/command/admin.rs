//! Erasure of a user and the self-check.

use super::arguments::Arguments;
use super::table::{Class, Group, Keys, Parse, ROW, Spec};
use super::{Command, Context};
use crate::error::CommandError;
use kidoku_core::request::Request;

const ADMIN: Spec = Spec {
    group: Group::Admin,
    class: Class::Admin,
    ..ROW
};

/// The rows of this family.
pub(super) const ROWS: [Spec; 2] = [
    Spec {
        name: "KD.ERASE",
        arity: 2,
        syntax: "user",
        summary: "Erases everything that is known of a user.",
        details: "Their messages stay and lose their author. A user who comes back starts afresh.",
        complexity: "O(C + M), C = channels of the user, M = messages of the user",
        reply: "Map: `erased_at` (ms), and how many `channels`, `mentions` and `messages` went.",
        example: "KD.ERASE ada",
        parse: Parse::InApp(erase),
        ..ADMIN
    },
    Spec {
        name: "KD.CHECK",
        arity: 1,
        summary: "Recounts the app by brute force and compares with what the server answers.",
        details: "Reads all facts of the app from the store. What is damaged is left out with its owner, and \
                  listed.",
        complexity: "O(facts of the app)",
        class: Class::Read,
        keys: Keys::NONE,
        reply: "Map: how many `users`, `channels`, `read_states` and `messages` there are, \
                `mismatch_count`, `unsettled`, `damaged_count`, `damaged_states` (not compared, as they \
                need something damaged), and the first 100 `damaged` (maps of `kind`, `name` and `row`) \
                and `mismatches`.",
        example: "KD.CHECK",
        parse: Parse::Plain(|_| Ok(Command::Check)),
        ..ADMIN
    },
];

fn erase<'a>(
    mut arguments: Arguments<'a>,
    context: &mut Context<'_>,
) -> Result<Command<'a>, CommandError> {
    let user = arguments.user(context)?;
    Ok(Command::Request(Request::Erase { user }))
}
