//! Bytes in, commands or errors out.

mod redis;
mod refusals;
mod requests;

use super::*;
use crate::ids::NumericIds;
use crate::resp::decode::encode_command;
use crate::resp::parse::{Limits, Parsed, Parser};

const NOW: Millis = Millis(1_700_000_000_000);

/// Parses the bytes of one request, and hands what came out to `look`.
fn with_bytes<T>(
    bytes: &[u8],
    ids: Option<&mut dyn IdSource>,
    look: impl FnOnce(Result<Command<'_>, CommandError>) -> T,
) -> T {
    let mut parser = Parser::new();
    let Ok(Parsed::Command { args, .. }) = parser.parse(bytes, &Limits::AFTER_AUTH) else {
        panic!("no request: {}", bytes.escape_ascii());
    };
    let app = App::default_app();
    let mut context = ids.map(|ids| Context {
        app: &app,
        ids,
        now: NOW,
    });
    look(find(args).and_then(|spec| parse(spec, args, context.as_mut())))
}

/// What came out, in the form of debug output without the noise of types.
fn shown(result: Result<Command<'_>, CommandError>) -> String {
    match result {
        Err(error) => error.to_string(),
        Ok(Command::Request(request)) => {
            let text = format!("{request:?}");
            ["MessageId", "Position", "Clock", "Millis", "default/"]
                .iter()
                .fold(text, |text, noise| text.replace(noise, ""))
        }
        Ok(command) => format!("{command:?}").replace("default/", ""),
    }
}

fn line(text: &str) -> String {
    with_bytes(
        format!("{text}\r\n").as_bytes(),
        Some(&mut NumericIds),
        shown,
    )
}

fn line_before_auth(text: &str) -> String {
    with_bytes(format!("{text}\r\n").as_bytes(), None, shown)
}

fn args(args: &[&str]) -> String {
    let mut bytes = Vec::new();
    encode_command(&mut bytes, args);
    with_bytes(&bytes, Some(&mut NumericIds), shown)
}
