//! Walks over the arguments of one command and checks each value once.

use super::Context;
use super::table::Spec;
use crate::error::{CommandError, escape};
use crate::resp::parse::Args;
use kidoku_core::error::{Code, Error};
use kidoku_core::id::{ChannelKey, MessageId, Name, NameKind, UserKey, parse_decimal};
use kidoku_core::limits::{PAGE_ENTRIES_MAX, USERS_PER_COMMAND_MAX};

/// The arguments of one command, from the first after its name.
#[derive(Debug)]
pub(super) struct Arguments<'a> {
    spec: &'static Spec,
    args: Args<'a>,
    /// Index of the next one.
    at: usize,
    /// Which optional keywords were given, a bit each in the order of the command's list.
    keywords: u32,
}

/// Most items of a list, and the name of that limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) max: usize,
    pub(super) name: &'static str,
}

impl<'a> Arguments<'a> {
    /// Checks the number of arguments.
    pub(super) fn new(spec: &'static Spec, args: Args<'a>) -> Result<Self, CommandError> {
        let wanted = usize::from(spec.arity.unsigned_abs());
        let fits = if spec.arity < 0 {
            args.len() >= wanted
        } else {
            args.len() == wanted
        };
        let this = Self {
            spec,
            args,
            at: 1,
            keywords: 0,
        };
        if fits {
            Ok(this)
        } else {
            Err(this.usage("wrong number of arguments"))
        }
    }

    /// A syntax error with the command's usage behind it.
    pub(super) fn usage(&self, what: impl std::fmt::Display) -> CommandError {
        CommandError::syntax(format!("{what}, usage: {}", self.spec.usage()))
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.args.len().saturating_sub(self.at)
    }

    /// All arguments, the name included.
    pub(super) fn all(&self) -> Args<'a> {
        self.args
    }

    /// The argument `back` places from the end, 1 = the last one.
    pub(super) fn at_end(&self, back: usize) -> Option<&'a [u8]> {
        let index = self
            .args
            .len()
            .checked_sub(back)
            .filter(|index| *index >= self.at)?;
        self.args.get(index)
    }

    /// The next argument, if there is one.
    pub(super) fn next(&mut self) -> Option<&'a [u8]> {
        let value = self.args.get(self.at)?;
        self.at += 1;
        Some(value)
    }

    /// The next argument.
    pub(super) fn required(&mut self) -> Result<&'a [u8], CommandError> {
        self.next()
            .ok_or_else(|| self.usage("an argument is missing"))
    }

    /// Fails when something is left.
    pub(super) fn end(&mut self) -> Result<(), CommandError> {
        match self.next() {
            None => Ok(()),
            Some(value) => Err(self.unknown(value)),
        }
    }

    fn unknown(&self, value: &[u8]) -> CommandError {
        let index = self.at - 1;
        self.usage(format_args!(
            "argument {index} is not known: '{}'",
            escape(value)
        ))
    }

    /// An error about the argument just taken.
    pub(super) fn refuse(&self, error: impl Into<CommandError>, value: &[u8]) -> CommandError {
        error.into().at_argument(self.at - 1, value)
    }

    /// The next optional keyword, in any order and case.
    pub(super) fn keyword<T: Copy>(
        &mut self,
        known: &[(&'static str, T)],
    ) -> Result<Option<T>, CommandError> {
        let Some(value) = self.next() else {
            return Ok(None);
        };
        let mut bit = 1_u32;
        for (word, meaning) in known {
            if value.eq_ignore_ascii_case(word.as_bytes()) {
                if self.keywords & bit != 0 {
                    return Err(self.usage(format_args!("{word} is given twice")));
                }
                self.keywords |= bit;
                return Ok(Some(*meaning));
            }
            bit <<= 1;
        }
        Err(self.unknown(value))
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        known: &[(&'static str, T)],
    ) -> Result<T, CommandError> {
        let value = self.required()?;
        let found = known
            .iter()
            .find(|(word, _)| value.eq_ignore_ascii_case(word.as_bytes()));
        found
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| self.unknown(value))
    }

    fn utf8(&self, kind: NameKind, value: &'a [u8]) -> Result<&'a str, CommandError> {
        std::str::from_utf8(value).map_err(|_| {
            let text = format!("{} is not UTF-8", kind.as_str());
            self.refuse(CommandError::new(Code::BadId, text), value)
        })
    }

    /// A user.
    pub(super) fn user(&mut self, context: &Context<'_>) -> Result<UserKey, CommandError> {
        let value = self.required()?;
        let text = self.utf8(NameKind::User, value)?;
        UserKey::new(context.app, text).map_err(|error| self.refuse(error, value))
    }

    /// A channel or thread.
    pub(super) fn channel(&mut self, context: &Context<'_>) -> Result<ChannelKey, CommandError> {
        let value = self.required()?;
        let text = self.utf8(NameKind::Channel, value)?;
        ChannelKey::new(context.app, text).map_err(|error| self.refuse(error, value))
    }

    /// A space, role, or the name of a user or channel to begin a page after.
    pub(super) fn name(&mut self, kind: NameKind) -> Result<Name, CommandError> {
        let value = self.required()?;
        let text = self.utf8(kind, value)?;
        Name::new(kind, text).map_err(|error| self.refuse(error, value))
    }

    /// A name, or `""` for none.
    pub(super) fn name_or_none(&mut self, kind: NameKind) -> Result<Option<Name>, CommandError> {
        if self.args.get(self.at) == Some(b"") {
            self.at += 1;
            return Ok(None);
        }
        self.name(kind).map(Some)
    }

    /// A message id of a channel.
    pub(super) fn id(
        &mut self,
        channel: &ChannelKey,
        context: &mut Context<'_>,
    ) -> Result<MessageId, CommandError> {
        let value = self.required()?;
        context
            .ids
            .id(channel, value)
            .map_err(|error| self.refuse(error, value))
    }

    /// A message id that is a bound over many channels.
    pub(super) fn global_id(
        &mut self,
        context: &mut Context<'_>,
    ) -> Result<MessageId, CommandError> {
        let value = self.required()?;
        context
            .ids
            .global(value)
            .map_err(|error: Error| self.refuse(error, value))
    }

    /// A number of decimal digits, 0 to 2^64-1.
    pub(super) fn number(&mut self, what: &str) -> Result<u64, CommandError> {
        let value = self.required()?;
        parse_decimal(value).ok_or_else(|| {
            let text = format!("{what} is a whole number from 0 to 18446744073709551615");
            self.refuse(CommandError::syntax(text), value)
        })
    }

    /// `LIMIT n`: entries of a page.
    pub(super) fn page_limit(&mut self) -> Result<usize, CommandError> {
        let asked = self.number("LIMIT")?;
        match usize::try_from(asked) {
            Ok(0) => Err(self.usage(format_args!("LIMIT is 1 to {PAGE_ENTRIES_MAX}"))),
            Ok(limit) if limit <= PAGE_ENTRIES_MAX => Ok(limit),
            Ok(_) | Err(_) => Err(CommandError::limit(format!(
                "LIMIT is {asked}, at most {PAGE_ENTRIES_MAX} entries are allowed in one page \
                 (page_entries_max)"
            ))),
        }
    }

    /// Checks a number of items against its limit.
    pub(super) fn check_most(
        &self,
        what: &str,
        len: usize,
        most: Most,
    ) -> Result<(), CommandError> {
        if len <= most.max {
            return Ok(());
        }
        let Most { max, name } = most;
        Err(CommandError::limit(format!(
            "{len} {what}, at most {max} are allowed in one command ({name})"
        )))
    }

    /// `n` and then so many items, for lists in the middle of a command.
    pub(super) fn counted<T>(
        &mut self,
        what: &str,
        most: Most,
        mut item: impl FnMut(&mut Self) -> Result<T, CommandError>,
    ) -> Result<Vec<T>, CommandError> {
        let asked = self.number(&format!("the number of {what}"))?;
        let len = usize::try_from(asked).unwrap_or(usize::MAX);
        self.check_most(what, len, most)?;
        if len > self.left() {
            return Err(self.usage(format_args!(
                "{len} {what} are announced and {} arguments are left",
                self.left()
            )));
        }
        let mut items = Vec::with_capacity(len);
        for _ in 0..len {
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// All users up to the last `keep` arguments.
    pub(super) fn users(
        &mut self,
        keep: usize,
        context: &Context<'_>,
    ) -> Result<Vec<UserKey>, CommandError> {
        let most = Most {
            max: USERS_PER_COMMAND_MAX,
            name: "users_per_command_max",
        };
        let len = self.left().saturating_sub(keep);
        self.check_most("users", len, most)?;
        let mut users = Vec::with_capacity(len);
        for _ in 0..len {
            users.push(self.user(context)?);
        }
        Ok(users)
    }
}
