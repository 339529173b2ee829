//! The reference page of commands, made from the table.

use super::table::{COMMANDS, Group, Spec};
use crate::error::ERRORS;
use crate::resp::parse::Limits;
use kidoku_core::limits;

const INTRO: &str = "\
# Command reference

This page is made from the command table in `crates/kidoku-proto/src/command`; change it there.

Kidoku speaks RESP2 and RESP3 to any Redis client. In the syntax, capitals are literal and may be \
written in any case, `[]` is optional, `|` is a choice, and `...` repeats. Options may come in any \
order. Replies are maps in RESP3 and flat arrays in RESP2; booleans are integers in RESP2. Message \
ids are integers, or strings in an app with opaque ids; eras and revisions are strings of digits.
";

/// The text of `docs/reference/commands.md`.
pub fn commands_markdown() -> String {
    let mut page = INTRO.to_owned();
    for group in Group::ALL {
        page.push_str(&format!("\n## {}\n", title(group)));
        COMMANDS
            .iter()
            .filter(|spec| spec.group == group)
            .for_each(|spec| row(&mut page, spec));
    }
    errors(&mut page);
    limits(&mut page);
    page
}

fn title(group: Group) -> &'static str {
    match group {
        Group::Membership => "Membership",
        Group::Messages => "Messages",
        Group::Reading => "Reading",
        Group::Numbers => "Numbers",
        Group::Channels => "Channels",
        Group::Push => "Push",
        Group::Admin => "Admin",
        Group::Connection => "Connection",
        Group::Server => "Server",
    }
}

fn row(page: &mut String, spec: &Spec) {
    let Spec {
        name,
        summary,
        details,
        complexity,
        since,
        reply,
        example,
        ..
    } = spec;
    let (usage, access) = (spec.usage(), spec.access.as_str());
    page.push_str(&format!("\n### {name}\n\n    {usage}\n\n{summary}\n"));
    if !details.is_empty() {
        page.push_str(&format!("\n{details}\n"));
    }
    page.push_str(&format!(
        "\n- Reply: {reply}\n- Who: {access}\n- Cost: {complexity}\n- Since: {since}\n\
         - Example: `{example}`\n"
    ));
}

fn errors(page: &mut String) {
    page.push_str(
        "\n## Errors\n\nAn error begins with one code word, the same in RESP and HTTP. Then comes \
         what was refused, which argument it was, and the limit. For the sake of Redis clients an \
         unknown command answers `ERR`, and an unknown protocol version `NOPROTO`.\n\n\
         | code | HTTP | retry after | meaning |\n|---|---|---|---|\n",
    );
    for row in &ERRORS {
        let retry = row
            .retry_after_s
            .map_or("-".to_owned(), |seconds| format!("{seconds} s"));
        let (anchor, word) = (row.docs_anchor, row.code.as_str());
        page.push_str(&format!(
            "| <a id=\"{anchor}\"></a>`{word}` | {} | {retry} | {} |\n",
            row.http_status, row.title
        ));
    }
}

fn limits(page: &mut String) {
    page.push_str(
        "\n## Limits\n\nWhat is over a limit is refused with an error that names it; nothing is cut.\n\n\
         | limit | value |\n|---|---|\n",
    );
    let (before, after) = (Limits::BEFORE_AUTH, Limits::AFTER_AUTH);
    let of_values = [
        (
            "bytes of a user, channel, space or role",
            limits::NAME_BYTES_MAX,
        ),
        ("bytes of an app", limits::APP_BYTES_MAX),
        ("bytes of an opaque message id", limits::OPAQUE_ID_BYTES_MAX),
        ("users in one command", limits::USERS_PER_COMMAND_MAX),
        ("mentions in one message", limits::MENTIONS_PER_MESSAGE_MAX),
        ("roles in one message", limits::ROLES_PER_MESSAGE_MAX),
        ("channels in one command", limits::CHANNELS_PER_COMMAND_MAX),
        ("message ids in one command", limits::IDS_PER_COMMAND_MAX),
        ("users watched by a connection", limits::WATCHED_USERS_MAX),
        ("channels of a user", limits::CHANNELS_PER_USER_MAX),
        ("roles of a user", limits::ROLES_PER_USER_MAX),
        ("entries of a page", limits::PAGE_ENTRIES_MAX),
        (
            "entries of a page when not said",
            limits::PAGE_ENTRIES_DEFAULT,
        ),
        ("arguments of a request", after.args_max),
        ("bytes of an argument", after.bulk_bytes_max),
        ("bytes of an inline line", after.inline_bytes_max),
        ("bytes of a request", after.request_bytes_max),
        (
            "arguments of a request before authentication",
            before.args_max,
        ),
        (
            "bytes of an argument before authentication",
            before.bulk_bytes_max,
        ),
        (
            "bytes of an inline line before authentication",
            before.inline_bytes_max,
        ),
        (
            "bytes of a request before authentication",
            before.request_bytes_max,
        ),
    ];
    for (what, value) in of_values {
        page.push_str(&format!("| {what} | {value} |\n"));
    }
    page.push_str(&format!(
        "| message id | 1 to {} |\n",
        limits::MESSAGE_ID_MAX
    ));
    let ahead = limits::CLOCK_AHEAD_MAX_MS;
    page.push_str(&format!(
        "| snowflake id or era ahead of the server's clock | {ahead} ms |\n"
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_command_and_every_error() {
        let page = commands_markdown();
        for spec in &COMMANDS {
            assert!(
                page.contains(&format!("### {}\n", spec.name)),
                "{}",
                spec.name
            );
        }
        for row in &ERRORS {
            assert!(page.contains(&format!("`{}`", row.code.as_str())));
        }
    }

    #[test]
    fn the_committed_page_is_the_one_made_from_the_table() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/reference/commands.md"
        );
        if let Ok(committed) = std::fs::read_to_string(path) {
            assert_eq!(committed, commands_markdown(), "run cargo xtask generate");
        }
    }
}
