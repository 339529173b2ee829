//! `COMMAND` and its subcommands: the table as Redis clients read it.

use super::arguments::Arguments;
use super::connection::unknown_subcommand;
use super::syntax::{self, Argument};
use super::table::{COMMANDS, Spec, lookup};
use super::{Command, Names};
use crate::error::CommandError;
use crate::resp::write::Writer;

/// What is asked of the table.
#[derive(Clone, Copy, Debug)]
pub enum Query<'a> {
    /// `COMMAND`, or `COMMAND INFO` with names: arity, flags and keys.
    Info(Names<'a>),
    /// `COMMAND COUNT`.
    Count,
    /// `COMMAND LIST`.
    List,
    /// `COMMAND DOCS`: of all commands, or of those named.
    Docs(Names<'a>),
}

#[derive(Clone, Copy)]
enum Subcommand {
    Count,
    Docs,
    Info,
    List,
}

pub(super) fn parse(mut arguments: Arguments<'_>) -> Result<Command<'_>, CommandError> {
    let names = Names::new(arguments.all(), 2);
    let Some(word) = arguments.next() else {
        return Ok(Command::Introspect(Query::Info(names)));
    };
    let known = [
        ("COUNT", Subcommand::Count),
        ("DOCS", Subcommand::Docs),
        ("INFO", Subcommand::Info),
        ("LIST", Subcommand::List),
    ];
    let found = known
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    let query = match found.map(|(_, subcommand)| subcommand) {
        None => return Err(unknown_subcommand("COMMAND", word)),
        Some(Subcommand::Docs) => return Ok(Command::Introspect(Query::Docs(names))),
        Some(Subcommand::Info) => return Ok(Command::Introspect(Query::Info(names))),
        Some(Subcommand::Count) => Query::Count,
        Some(Subcommand::List) => Query::List,
    };
    arguments.end()?;
    Ok(Command::Introspect(query))
}

/// Answers what was asked.
pub fn answer(writer: &mut Writer<'_>, query: &Query<'_>) {
    match query {
        Query::Count => writer.number(u64::try_from(COMMANDS.len()).unwrap_or_default()),
        Query::List => {
            writer.array(COMMANDS.len());
            COMMANDS.iter().for_each(|spec| name(writer, spec));
        }
        Query::Info(names) if names.is_empty() => {
            writer.array(COMMANDS.len());
            COMMANDS.iter().for_each(|spec| info(writer, spec));
        }
        Query::Info(names) => {
            writer.array(names.len());
            for asked in names.iter() {
                match lookup(asked) {
                    Some(spec) => info(writer, spec),
                    None => writer.null(),
                }
            }
        }
        Query::Docs(names) if names.is_empty() => {
            writer.map(COMMANDS.len());
            COMMANDS.iter().for_each(|spec| docs(writer, spec));
        }
        Query::Docs(names) => {
            let found: Vec<_> = names.iter().filter_map(lookup).collect();
            writer.map(found.len());
            found.into_iter().for_each(|spec| docs(writer, spec));
        }
    }
}

fn name(writer: &mut Writer<'_>, spec: &Spec) {
    writer.text(&spec.name.to_ascii_lowercase());
}

/// The ten values of Redis: name, arity, flags, keys, categories, tips, key specs, subcommands.
fn info(writer: &mut Writer<'_>, spec: &Spec) {
    writer.array(10);
    name(writer, spec);
    writer.integer(i64::from(spec.arity));
    let flags = spec.class.redis_flags();
    writer.set(flags.len());
    flags.iter().for_each(|flag| writer.status(flag));
    for place in [spec.keys.first, spec.keys.last, spec.keys.step] {
        writer.integer(i64::from(place));
    }
    writer.set(1);
    writer.status(spec.class.redis_category());
    for _ in ["tips", "key specs", "subcommands"] {
        writer.array(0);
    }
}

fn docs(writer: &mut Writer<'_>, spec: &Spec) {
    let arguments = syntax::arguments(spec.syntax);
    name(writer, spec);
    writer.map(if arguments.is_empty() { 4 } else { 5 });
    let texts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.as_str()),
        ("complexity", spec.complexity),
    ];
    for (name, value) in texts {
        writer.text(name);
        writer.text(value);
    }
    if !arguments.is_empty() {
        writer.text("arguments");
        list(writer, &arguments);
    }
}

fn list(writer: &mut Writer<'_>, arguments: &[Argument]) {
    writer.array(arguments.len());
    for argument in arguments {
        let mut flags = Vec::new();
        flags.extend(argument.optional.then_some("optional"));
        flags.extend(argument.multiple.then_some("multiple"));
        let optional_fields = [
            argument.token.is_some(),
            !flags.is_empty(),
            !argument.children.is_empty(),
        ];
        writer.map(
            2 + optional_fields
                .into_iter()
                .filter(|is_there| *is_there)
                .count(),
        );
        writer.text("name");
        writer.text(argument.name);
        writer.text("type");
        writer.text(argument.kind.as_str());
        if let Some(token) = argument.token {
            writer.text("token");
            writer.text(token);
        }
        if !flags.is_empty() {
            writer.text("flags");
            writer.set(flags.len());
            flags.into_iter().for_each(|flag| writer.status(flag));
        }
        if !argument.children.is_empty() {
            writer.text("arguments");
            list(writer, &argument.children);
        }
    }
}
