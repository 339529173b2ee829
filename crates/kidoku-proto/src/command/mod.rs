//! Commands: one table that says what there is, and the parsers that turn arguments into requests.
//!
//! Each file of a family holds its rows of the table and, beside them, their parsers. `table` joins
//! the rows; `introspect` and `markdown` are views of it. What a connection answers by itself
//! (`HELLO`, `CLIENT`, `COMMAND`, `CONFIG`, `INFO`) is answered here, so that its code only
//! dispatches. Nothing here asks a shard.

mod admin;
mod arguments;
mod channel;
pub mod client;
pub mod config;
mod connection;
pub mod info;
pub mod introspect;
mod markdown;
mod member;
mod message;
mod numbers;
mod push;
mod reading;
mod syntax;
pub mod table;

use crate::error::CommandError;
use crate::ids::IdSource;
use crate::resp::Protocol;
use crate::resp::parse::Args;
use arguments::Arguments;
pub use connection::{Credentials, Hello, HelloFacts, REDIS_VERSION, write_hello};
use kidoku_core::clock::Millis;
use kidoku_core::id::{App, UserKey};
use kidoku_core::request::Request;
pub use markdown::commands_markdown;
use std::fmt;
pub use table::{COMMANDS, Spec, lookup};

/// What a parse knows besides the arguments, on a connection that has given a key.
pub struct Context<'a> {
    /// The app of the key.
    pub app: &'a App,
    /// How message ids are read.
    pub ids: &'a mut dyn IdSource,
    /// The server's clock.
    pub now: Millis,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("app", self.app)
            .field("now", &self.now)
            .finish()
    }
}

/// A command, checked: what is left is to do it.
#[derive(Clone, Debug)]
pub enum Command<'a> {
    /// For a shard; answered with [`write_result`](crate::resp::reply::write_result).
    Request(Request),
    /// Push device events of these users to this connection; needs RESP3. Answers OK.
    Watch(Vec<UserKey>),
    /// Stop that; none named = all. Answers OK.
    Unwatch(Vec<UserKey>),
    /// Recount the app by brute force and report.
    Check,
    /// Answers the message, or `PONG`.
    Ping(Option<&'a [u8]>),
    /// Answers the message.
    Echo(&'a [u8]),
    /// Change the protocol, maybe authenticate, maybe name the connection, then [`write_hello`].
    Hello(Hello<'a>),
    /// Answers OK or [`CommandError::wrong_key`].
    Auth(Credentials<'a>),
    /// Answered by [`client::answer`].
    Client(client::ClientCommand<'a>),
    /// Answered by [`info::text`] with the sections asked for.
    Info(Names<'a>),
    /// Answered by [`introspect::answer`].
    Introspect(introspect::Query<'a>),
    /// Answered by [`config::answer`].
    ConfigGet(Names<'a>),
    /// Answers the app's name.
    WhoAmI,
    /// There is one database, and it is selected. Answers OK.
    Select,
    /// Answers OK, then the connection closes.
    Quit,
    /// Forget key, name, watches and go back to RESP2. Answers the status `RESET`.
    Reset,
}

/// Arguments that are names or patterns to choose by; may be none.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    args: Args<'a>,
    start: usize,
}

impl<'a> Names<'a> {
    /// The arguments from an index on.
    pub(crate) fn new(args: Args<'a>, start: usize) -> Self {
        Self { args, start }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.args.len().saturating_sub(self.start)
    }

    /// True when none was named, which most commands take for "all".
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        self.args.iter_from(self.start)
    }
}

/// The row of the command that arguments name.
///
/// # Errors
/// `ERR unknown command ...`, as Redis clients expect it.
pub fn find(args: Args<'_>) -> Result<&'static Spec, CommandError> {
    lookup(args.name()).ok_or_else(|| connection::unknown(args))
}

/// Turns arguments into a command. `session` is `None` while the connection has given no key; then
/// only commands of [`Access::Public`](table::Access::Public) are allowed.
///
/// # Errors
/// With the command's usage when its form is wrong, with argument and limit when a value is.
pub fn parse<'a>(
    spec: &'static Spec,
    args: Args<'a>,
    session: Option<&mut Context<'_>>,
) -> Result<Command<'a>, CommandError> {
    if session.is_none() && spec.access == table::Access::App {
        return Err(CommandError::no_auth());
    }
    let arguments = Arguments::new(spec, args)?;
    match (spec.parse, session) {
        (table::Parse::Plain(parse), _) => parse(arguments),
        (table::Parse::InApp(parse), Some(context)) => parse(arguments, context),
        (table::Parse::InApp(_), None) => Err(CommandError::no_auth()),
    }
}

/// Reads the version that `HELLO` names.
fn protocol(number: &[u8]) -> Option<Protocol> {
    match number {
        b"2" => Some(Protocol::Resp2),
        b"3" => Some(Protocol::Resp3),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
