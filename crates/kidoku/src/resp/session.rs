//! What a connection has said of itself, and the commands it answers without asking a shard.

use super::RespServer;
use super::connection::{Connection, Phase, State};
use super::limits::LOGIN_TIME_MAX;
use crate::auth::Grant;
use crate::config::{Durability, IdMode};
use kidoku_core::clock::Millis;
use kidoku_core::id::UserKey;
use kidoku_proto::command::client::{self, ClientCommand, ConnectionInfo};
use kidoku_proto::command::config::{self, ConfigFacts};
use kidoku_proto::command::info::{self, Section, ServerFacts};
use kidoku_proto::command::{Credentials, Hello, HelloFacts, Names, write_hello};
use kidoku_proto::error::CommandError;
use kidoku_proto::resp::Protocol;
use kidoku_proto::resp::write::Writer;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// How long a connection may go on with a key that was revoked, beside the second in which the
/// change of the key file is seen.
const GRANT_RECHECK_MS: u64 = 1_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    /// The connection's number in this process.
    pub(super) number: u64,
    pub(super) protocol: Protocol,
    /// What it may do; `None` = it has given no key.
    pub(super) grant: Option<Grant>,
    /// When it was last seen that the key behind the grant is still valid.
    grant_seen: Millis,
    /// What the message ids of its app are.
    pub(super) ids: IdMode,
    /// Until when it has to give a key.
    pub(super) login_until: Option<Instant>,
    /// Commands it has sent without having given a key.
    pub(super) commands_without_key: u32,
    /// Users whose events it gets.
    pub(super) watched: BTreeSet<UserKey>,
    accepted: Instant,
    peer: SocketAddr,
    /// Most connections say nothing of themselves; those that do pay for it.
    names: Option<Box<ClientNames>>,
}

#[derive(Debug, Default)]
struct ClientNames {
    name: String,
    library_name: String,
    library_version: String,
}

impl Session {
    /// The session of a connection just accepted.
    pub(super) fn new(server: &RespServer, number: u64, peer: SocketAddr) -> Self {
        let now = Instant::now();
        let mut session = Self {
            number,
            protocol: Protocol::Resp2,
            grant: None,
            grant_seen: Millis(0),
            ids: IdMode::Numeric,
            login_until: now.checked_add(LOGIN_TIME_MAX),
            commands_without_key: 0,
            watched: BTreeSet::new(),
            accepted: now,
            peer,
            names: None,
        };
        session.set_grant(server, server.keys.open());
        session
    }

    fn set_grant(&mut self, server: &RespServer, grant: Option<Grant>) {
        self.ids = grant
            .as_ref()
            .map_or(IdMode::Numeric, |grant| server.config.app(&grant.app).ids);
        self.grant = grant;
        self.grant_seen = Millis(0);
    }

    /// False when it was let in by a key that has been revoked or has expired since. The key is
    /// looked for once in [`GRANT_RECHECK_MS`]; in between this is a comparison.
    fn is_still_let_in(&mut self, server: &RespServer, now: Millis) -> bool {
        let Some(grant) = &self.grant else {
            return true;
        };
        if now.0.abs_diff(self.grant_seen.0) < GRANT_RECHECK_MS {
            return true;
        }
        self.grant_seen = now;
        server.keys.is_in_force(grant)
    }

    /// Counts a command of somebody who has given no key.
    pub(super) fn note_command(&mut self) {
        if self.grant.is_none() {
            self.commands_without_key += 1;
        }
    }

    /// True when message ids are the caller's own strings.
    pub(super) fn is_opaque(&self) -> bool {
        self.ids == IdMode::Opaque
    }

    /// Lets the caller in.
    fn log_in(
        &mut self,
        server: &RespServer,
        credentials: &Credentials<'_>,
    ) -> Result<(), CommandError> {
        let key = std::str::from_utf8(credentials.key).map_err(|_| CommandError::wrong_key())?;
        let app = credentials.app.as_ref().map(kidoku_core::id::App::as_str);
        let grant = server
            .keys
            .check(key, app)
            .ok_or_else(CommandError::wrong_key)?;
        self.set_grant(server, Some(grant));
        Ok(())
    }

    fn info(&self, server: &RespServer) -> ConnectionInfo {
        let names = self.names.as_deref();
        let text = |of: fn(&ClientNames) -> &String| names.map(of).cloned().unwrap_or_default();
        ConnectionInfo {
            id: self.number,
            peer: self.peer.to_string(),
            local: server.address.to_string(),
            name: text(|names| &names.name),
            library_name: text(|names| &names.library_name),
            library_version: text(|names| &names.library_version),
            protocol: self.protocol,
            app: self.grant.as_ref().map(|grant| grant.app.clone()),
            age_s: self.accepted.elapsed().as_secs(),
        }
    }

    fn set_name(&mut self, name: &[u8]) {
        self.names.get_or_insert_default().name = name.escape_ascii().to_string();
    }
}

impl Connection {
    /// False when the connection's key is not valid any more; it then ends, and gets no more events.
    pub(super) fn keep_or_refuse(&self, state: &mut State) -> bool {
        let now = self.core.now();
        if state.session.is_still_let_in(&self.server, now) {
            return true;
        }
        state.session.set_grant(&self.server, None);
        state.phase = Phase::Refused;
        self.wake();
        false
    }

    /// `HELLO`. When the key is wrong, nothing of it is done.
    pub(super) fn hello(&self, state: &mut State, hello: &Hello<'_>) {
        if let Some(credentials) = &hello.credentials
            && let Err(error) = self.log_in(state, credentials)
        {
            return self.answer(state, |writer| writer.error(&error));
        }
        if let Some(protocol) = hello.protocol {
            state.session.protocol = protocol;
        }
        if let Some(name) = hello.name {
            state.session.set_name(name);
        }
        let facts = HelloFacts {
            connection_id: state.session.number,
            kidoku_version: env!("CARGO_PKG_VERSION"),
        };
        self.answer(state, |writer| write_hello(writer, &facts));
    }

    /// `AUTH`.
    pub(super) fn auth(&self, state: &mut State, credentials: &Credentials<'_>) {
        match self.log_in(state, credentials) {
            Ok(()) => self.answer(state, |writer| writer.status("OK")),
            Err(error) => self.answer(state, |writer| writer.error(&error)),
        }
    }

    fn log_in(&self, state: &mut State, credentials: &Credentials<'_>) -> Result<(), CommandError> {
        let app = state.session.grant.as_ref().map(|grant| grant.app.clone());
        state.session.log_in(&self.server, credentials)?;
        self.set_deadline(state, None);
        if state.session.grant.as_ref().map(|grant| &grant.app) != app.as_ref() {
            self.unwatch_all(state);
        }
        Ok(())
    }

    /// `CLIENT`.
    pub(super) fn client(&self, state: &mut State, command: &ClientCommand<'_>) {
        let mut info = state.session.info(&self.server);
        self.answer(state, |writer| client::answer(writer, command, &mut info));
        match command {
            ClientCommand::SetName(_)
            | ClientCommand::SetLibraryName(_)
            | ClientCommand::SetLibraryVersion(_) => {
                let ConnectionInfo {
                    name,
                    library_name,
                    library_version,
                    ..
                } = info;
                let names = ClientNames {
                    name,
                    library_name,
                    library_version,
                };
                state.session.names = Some(Box::new(names));
            }
            ClientCommand::Id
            | ClientCommand::GetName
            | ClientCommand::Info
            | ClientCommand::Accepted
            | ClientCommand::Help => {}
        }
    }

    /// `INFO`.
    pub(super) fn info(&self, state: &mut State, asked: &Names<'_>) {
        let shared = &self.core.shared;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let facts = ServerFacts {
            kidoku_version: env!("CARGO_PKG_VERSION"),
            port: self.server.address.port(),
            uptime_s: self.server.started.elapsed().as_secs(),
            process_id: std::process::id(),
            connections: count(shared.resp_connections.load(Ordering::Relaxed)),
        };
        let journal = shared.journal.status();
        let waiting: usize = shared.mailboxes.iter().map(|mailbox| mailbox.len()).sum();
        let durability = self.server.config.durability.as_str();
        let lines = vec![
            ("cores", shared.placement.shards().to_string()),
            ("durability", durability.to_owned()),
            (
                "log_failing",
                u8::from(shared.gate.is_failing()).to_string(),
            ),
            ("appended_lsn", journal.appended_lsn.to_string()),
            ("durable_lsn", shared.gate.durable().to_string()),
            ("flushed_lsn", journal.flushed_lsn.to_string()),
            ("overlay_bytes", journal.overlay_bytes.to_string()),
            ("mailbox_length", waiting.to_string()),
            ("rot_repaired", journal.rot.repaired.to_string()),
            ("rot_lost", journal.rot.lost.to_string()),
        ];
        let text = info::text(
            &facts,
            &[Section {
                name: "Kidoku",
                lines,
            }],
            asked,
        );
        self.answer(state, |writer| writer.text(&text));
    }

    /// `CONFIG GET`.
    pub(super) fn config_get(&self, state: &mut State, patterns: &Names<'_>) {
        let config = &self.server.config;
        let facts = ConfigFacts {
            durable: config.durability == Durability::Sync,
            port: self.server.address.port(),
            memory_bytes_max: u64::try_from(config.memory_bytes).unwrap_or(u64::MAX),
        };
        self.answer(state, |writer| config::answer(writer, patterns, &facts));
    }

    /// `RESET`: as if just accepted.
    pub(super) fn reset(&self, state: &mut State) {
        self.unwatch_all(state);
        state.session.protocol = Protocol::Resp2;
        state.session.names = None;
        state
            .session
            .set_grant(&self.server, self.server.keys.open());
        if state.session.grant.is_none() {
            state.session.login_until = Instant::now().checked_add(LOGIN_TIME_MAX);
            self.set_deadline(state, state.session.login_until);
        }
        self.answer(state, |writer| writer.status("RESET"));
    }

    /// `QUIT`.
    pub(super) fn quit(&self, state: &mut State) {
        self.answer(state, |writer| writer.status("OK"));
        state.phase = Phase::Refused;
    }

    /// Answers at once, behind what is owed already.
    pub(super) fn answer(&self, state: &mut State, write: impl FnOnce(&mut Writer<'_>)) {
        let protocol = state.session.protocol;
        if state.slots.is_empty() {
            write(&mut Writer::new(state.output.buffer(&self.io), protocol));
        } else {
            let mut bytes = Vec::new();
            write(&mut Writer::new(&mut bytes, protocol));
            state.slots.push_written(bytes);
        }
        self.core.mark_dirty(self.place());
    }
}
