//! What Redis clients say and ask before and beside the commands of Kidoku.

use super::arguments::Arguments;
use super::table::{Access, Class, Group, Keys, Parse, ROW, Spec};
use super::{Command, Names, client, config, introspect, protocol};
use crate::error::{CommandError, escape_max};
use crate::resp::Protocol;
use crate::resp::parse::Args;
use crate::resp::write::Writer;
use kidoku_core::id::App;
use std::fmt;

/// The version of Redis whose connection commands these are; clients choose features by it.
pub const REDIS_VERSION: &str = "7.4.0";

const CONNECTION: Spec = Spec {
    group: Group::Connection,
    access: Access::Public,
    class: Class::Connection,
    keys: Keys::NONE,
    ..ROW
};

const SERVER: Spec = Spec {
    group: Group::Server,
    class: Class::Connection,
    keys: Keys::NONE,
    ..ROW
};

/// The rows of this family.
pub(super) const ROWS: [Spec; 12] = [
    Spec {
        name: "HELLO",
        arity: -1,
        syntax: "[protover [AUTH app key] [SETNAME name]]",
        summary: "Chooses RESP2 or RESP3, and may authenticate and name the connection.",
        details: "The app `default` stands for the app of the key.",
        reply: "Map: `server`, `version`, `proto`, `id`, `mode`, `role`, `modules`, \
                `kidoku_version`.",
        example: "HELLO 3",
        parse: Parse::Plain(hello),
        ..CONNECTION
    },
    Spec {
        name: "AUTH",
        arity: -2,
        syntax: "[app] key",
        summary: "Gives the key of an app.",
        details: "The app `default` stands for the app of the key.",
        reply: "Status: OK.",
        example: "AUTH default kd_secret",
        parse: Parse::Plain(auth),
        ..CONNECTION
    },
    Spec {
        name: "PING",
        arity: -1,
        syntax: "[message]",
        summary: "Answers PONG, or the message.",
        reply: "Status: PONG, or the message as a string.",
        example: "PING",
        parse: Parse::Plain(ping),
        ..CONNECTION
    },
    Spec {
        name: "ECHO",
        arity: 2,
        syntax: "message",
        summary: "Answers the message.",
        reply: "String: the message.",
        example: "ECHO hello",
        parse: Parse::Plain(|mut arguments| arguments.required().map(Command::Echo)),
        ..CONNECTION
    },
    Spec {
        name: "SELECT",
        arity: 2,
        syntax: "index",
        summary: "Accepts the only database, 0.",
        reply: "Status: OK.",
        example: "SELECT 0",
        parse: Parse::Plain(select),
        ..CONNECTION
    },
    Spec {
        name: "CLIENT",
        arity: -2,
        syntax: "subcommand [argument ...]",
        summary: "Names the connection, or answers what is known of it.",
        details: "`ID`, `GETNAME`, `SETNAME name`, `SETINFO LIB-NAME|LIB-VER value`, `INFO`, `LIST` \
                  (this connection), `NO-EVICT ON|OFF`, `NO-TOUCH ON|OFF`, `REPLY ON`, `HELP`.",
        reply: "By the subcommand: integer, string, or status OK.",
        example: "CLIENT SETINFO LIB-NAME redis-py",
        parse: Parse::Plain(client::parse),
        ..CONNECTION
    },
    Spec {
        name: "COMMAND",
        arity: -1,
        syntax: "[COUNT|LIST|DOCS|INFO] [name ...]",
        summary: "Answers what commands there are.",
        complexity: "O(N), N = commands",
        reply: "By the subcommand: array, map or integer, as Redis answers it.",
        example: "COMMAND DOCS KD.ACK",
        parse: Parse::Plain(introspect::parse),
        ..CONNECTION
    },
    Spec {
        name: "RESET",
        arity: 1,
        summary: "Forgets key, name and watches, and goes back to RESP2.",
        reply: "Status: RESET.",
        example: "RESET",
        parse: Parse::Plain(|_| Ok(Command::Reset)),
        ..CONNECTION
    },
    Spec {
        name: "QUIT",
        arity: -1,
        summary: "Closes the connection after the answers so far.",
        reply: "Status: OK.",
        example: "QUIT",
        parse: Parse::Plain(|_| Ok(Command::Quit)),
        ..CONNECTION
    },
    Spec {
        name: "INFO",
        arity: -1,
        syntax: "[section ...]",
        summary: "Answers facts about the server, a line each.",
        reply: "String: sections of `name:value` lines.",
        example: "INFO server",
        parse: Parse::Plain(|arguments| Ok(Command::Info(Names::new(arguments.all(), 1)))),
        ..SERVER
    },
    Spec {
        name: "CONFIG",
        arity: -3,
        syntax: "GET pattern [pattern ...]",
        summary: "Answers the few settings that Redis clients look for.",
        details: "Kidoku is configured by its file, environment and flags, never by a client.",
        reply: "Map: name and value of each setting that a pattern matches.",
        example: "CONFIG GET save",
        parse: Parse::Plain(config::parse),
        ..SERVER
    },
    Spec {
        name: "ACL",
        arity: 2,
        syntax: "WHOAMI",
        summary: "Answers the app of this connection.",
        reply: "String: the app.",
        example: "ACL WHOAMI",
        parse: Parse::Plain(acl),
        ..SERVER
    },
];

/// What a caller says to be let in. Never shown, not even in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The app asked for; `None` = the app of the key. Clients that are given only a password say
    /// the user `default`, so that one means none too.
    pub app: Option<App>,
    /// The key.
    pub key: &'a [u8],
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}

/// What `HELLO` asks for. When the credentials are refused, nothing of it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// `None` = as it is.
    pub protocol: Option<Protocol>,
    /// `None` = none given.
    pub credentials: Option<Credentials<'a>>,
    /// Name of the connection, `None` = as it is.
    pub name: Option<&'a [u8]>,
}

#[derive(Clone, Copy)]
enum HelloOption {
    Auth,
    SetName,
}

fn hello(mut arguments: Arguments<'_>) -> Result<Command<'_>, CommandError> {
    let mut hello = Hello {
        protocol: None,
        credentials: None,
        name: None,
    };
    let Some(version) = arguments.next() else {
        return Ok(Command::Hello(hello));
    };
    hello.protocol = Some(protocol(version).ok_or_else(CommandError::no_protocol)?);
    let options = [
        ("AUTH", HelloOption::Auth),
        ("SETNAME", HelloOption::SetName),
    ];
    while let Some(option) = arguments.keyword(&options)? {
        match option {
            HelloOption::Auth => {
                let app = Some(arguments.required()?);
                hello.credentials = Some(credentials(app, arguments.required()?)?);
            }
            HelloOption::SetName => hello.name = Some(client::check_text(arguments.required()?)?),
        }
    }
    Ok(Command::Hello(hello))
}

fn auth(mut arguments: Arguments<'_>) -> Result<Command<'_>, CommandError> {
    let first = arguments.required()?;
    let credentials = match arguments.next() {
        None => credentials(None, first)?,
        Some(key) => credentials(Some(first), key)?,
    };
    if arguments.left() > 0 {
        return Err(arguments.usage("wrong number of arguments"));
    }
    Ok(Command::Auth(credentials))
}

fn credentials<'a>(app: Option<&[u8]>, key: &'a [u8]) -> Result<Credentials<'a>, CommandError> {
    let app = match app {
        None | Some(b"default") => None,
        // A bad name and an unknown app are not told apart before authentication.
        Some(name) => Some(
            std::str::from_utf8(name)
                .ok()
                .and_then(|name| App::new(name).ok())
                .ok_or_else(CommandError::wrong_key)?,
        ),
    };
    Ok(Credentials { app, key })
}

fn ping(mut arguments: Arguments<'_>) -> Result<Command<'_>, CommandError> {
    let message = arguments.next();
    arguments.end()?;
    Ok(Command::Ping(message))
}

fn select(mut arguments: Arguments<'_>) -> Result<Command<'_>, CommandError> {
    match arguments.required()? {
        b"0" => Ok(Command::Select),
        _ => Err(CommandError::redis(
            "DB index is out of range, there is only 0",
        )),
    }
}

fn acl(mut arguments: Arguments<'_>) -> Result<Command<'_>, CommandError> {
    let subcommand = arguments.required()?;
    if subcommand.eq_ignore_ascii_case(b"WHOAMI") {
        Ok(Command::WhoAmI)
    } else {
        Err(unknown_subcommand("ACL", subcommand))
    }
}

/// Characters of a name, and of the arguments behind it, in the error of an unknown command.
const SHOWN_CHARS_MAX: usize = crate::error::ESCAPED_CHARS_MAX / 2;

/// The error of a command that does not exist, in the words of Redis.
pub(super) fn unknown(args: Args<'_>) -> CommandError {
    let name = escape_max(args.name(), SHOWN_CHARS_MAX);
    let mut text = format!("unknown command '{name}', with args beginning with:");
    let mut left = SHOWN_CHARS_MAX;
    for arg in args.iter_from(1) {
        let shown = escape_max(arg, left);
        left = left.saturating_sub(shown.len().max(1));
        text.push_str(" '");
        text.push_str(&shown);
        text.push('\'');
        if left == 0 {
            break;
        }
    }
    CommandError::redis(text)
}

/// The error of a subcommand that does not exist, in the words of Redis.
pub(super) fn unknown_subcommand(command: &str, subcommand: &[u8]) -> CommandError {
    let shown = crate::error::escape(subcommand);
    CommandError::redis(format!(
        "unknown subcommand '{shown}'. Try COMMAND DOCS {command}."
    ))
}

/// What the answer to `HELLO` tells of the server and the connection.
#[derive(Clone, Copy, Debug)]
pub struct HelloFacts {
    /// Number of the connection.
    pub connection_id: u64,
    /// Version of the server.
    pub kidoku_version: &'static str,
}

/// Answers `HELLO`; the writer is already of the version that was asked for.
pub fn write_hello(writer: &mut Writer<'_>, facts: &HelloFacts) {
    writer.map(8);
    for (name, value) in [("server", "kidoku"), ("version", REDIS_VERSION)] {
        writer.text(name);
        writer.text(value);
    }
    writer.text("proto");
    writer.number(writer.protocol().number());
    writer.text("id");
    writer.number(facts.connection_id);
    let same_for_all = [
        ("mode", "standalone"),
        ("role", "master"),
        ("kidoku_version", facts.kidoku_version),
    ];
    for (name, value) in same_for_all {
        writer.text(name);
        writer.text(value);
    }
    writer.text("modules");
    writer.array(0);
}
