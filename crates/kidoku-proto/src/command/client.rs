//! `CLIENT`: what a connection says of itself, and what is known of it.

use super::Command;
use super::arguments::Arguments;
use super::connection::unknown_subcommand;
use crate::error::CommandError;
use crate::resp::Protocol;
use crate::resp::write::Writer;
use kidoku_core::id::App;
use kidoku_core::limits::NAME_BYTES_MAX;

/// A subcommand of `CLIENT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCommand<'a> {
    /// Answers the number of the connection.
    Id,
    /// Answers its name, or nothing.
    GetName,
    /// Sets its name; empty = none.
    SetName(&'a [u8]),
    /// Sets the name of the client library.
    SetLibraryName(&'a [u8]),
    /// Sets the version of the client library.
    SetLibraryVersion(&'a [u8]),
    /// Answers one line about the connection; `LIST` does too, others are not shown.
    Info,
    /// Asks for what is so anyway. Answers OK.
    Accepted,
    /// Answers the subcommands.
    Help,
}

/// What is known of a connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Its number.
    pub id: u64,
    /// Address and port of the other side.
    pub peer: String,
    /// Address and port of this side.
    pub local: String,
    /// What it calls itself; empty = nothing.
    pub name: String,
    /// Its client library; empty = not said.
    pub library_name: String,
    /// The version of that; empty = not said.
    pub library_version: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// The app of its key.
    pub app: Option<App>,
    /// Seconds since it was accepted.
    pub age_s: u64,
}

const HELP: &[&str] = &[
    "CLIENT ID | GETNAME | INFO | LIST | HELP",
    "CLIENT SETNAME name",
    "CLIENT SETINFO LIB-NAME|LIB-VER value",
    "CLIENT NO-EVICT|NO-TOUCH ON|OFF",
    "CLIENT REPLY ON",
];

#[derive(Clone, Copy)]
enum Subcommand {
    Id,
    GetName,
    SetName,
    SetInfo,
    Info,
    Switch,
    Reply,
    Help,
}

const SUBCOMMANDS: [(&str, Subcommand); 10] = [
    ("SETINFO", Subcommand::SetInfo),
    ("SETNAME", Subcommand::SetName),
    ("GETNAME", Subcommand::GetName),
    ("ID", Subcommand::Id),
    ("INFO", Subcommand::Info),
    ("LIST", Subcommand::Info),
    ("NO-EVICT", Subcommand::Switch),
    ("NO-TOUCH", Subcommand::Switch),
    ("REPLY", Subcommand::Reply),
    ("HELP", Subcommand::Help),
];

pub(super) fn parse(mut arguments: Arguments<'_>) -> Result<Command<'_>, CommandError> {
    let word = arguments.required()?;
    let known = SUBCOMMANDS
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    let Some((_, subcommand)) = known else {
        return Err(unknown_subcommand("CLIENT", word));
    };
    let command = match subcommand {
        Subcommand::Id => ClientCommand::Id,
        Subcommand::GetName => ClientCommand::GetName,
        Subcommand::SetName => ClientCommand::SetName(check_text(arguments.required()?)?),
        Subcommand::SetInfo => {
            let is_name = arguments.one_of(&[("LIB-NAME", true), ("LIB-VER", false)])?;
            let value = check_text(arguments.required()?)?;
            if is_name {
                ClientCommand::SetLibraryName(value)
            } else {
                ClientCommand::SetLibraryVersion(value)
            }
        }
        // LIST may be given filters; the one line fits them or is more than was asked.
        Subcommand::Info => return Ok(Command::Client(ClientCommand::Info)),
        Subcommand::Switch => {
            arguments.one_of(&[("ON", ()), ("OFF", ())])?;
            ClientCommand::Accepted
        }
        Subcommand::Reply => {
            arguments.one_of(&[("ON", ())])?;
            ClientCommand::Accepted
        }
        Subcommand::Help => ClientCommand::Help,
    };
    arguments.end()?;
    Ok(Command::Client(command))
}

/// Names end up in a line of words, so they are printable ASCII without blanks.
pub(super) fn check_text(text: &[u8]) -> Result<&[u8], CommandError> {
    if text.len() > NAME_BYTES_MAX {
        return Err(CommandError::limit(format!(
            "a name of a connection has {} bytes, at most {NAME_BYTES_MAX} are allowed",
            text.len()
        )));
    }
    if text.iter().all(u8::is_ascii_graphic) {
        Ok(text)
    } else {
        Err(CommandError::redis(
            "Client names cannot contain spaces, newlines or special characters.",
        ))
    }
}

/// Does a subcommand and answers it.
pub fn answer(writer: &mut Writer<'_>, command: &ClientCommand<'_>, info: &mut ConnectionInfo) {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match command {
        ClientCommand::Id => return writer.number(info.id),
        ClientCommand::GetName if info.name.is_empty() => return writer.null(),
        ClientCommand::GetName => return writer.text(&info.name),
        ClientCommand::Info => return writer.text(&info.line()),
        ClientCommand::Help => {
            writer.array(HELP.len());
            HELP.iter().for_each(|line| writer.status(line));
            return;
        }
        ClientCommand::SetName(name) => info.name = text(name),
        ClientCommand::SetLibraryName(name) => info.library_name = text(name),
        ClientCommand::SetLibraryVersion(version) => info.library_version = text(version),
        ClientCommand::Accepted => {}
    }
    writer.status("OK");
}

impl ConnectionInfo {
    /// The line that `CLIENT INFO` answers.
    fn line(&self) -> String {
        let Self {
            id,
            peer,
            local,
            name,
            library_name,
            library_version,
            age_s,
            ..
        } = self;
        let app = self.app.as_ref().map_or("", App::as_str);
        let resp = self.protocol.number();
        format!(
            "id={id} addr={peer} laddr={local} name={name} age={age_s} idle=0 flags=N db=0 cmd=client \
             user={app} lib-name={library_name} lib-ver={library_version} resp={resp}\n"
        )
    }
}
