//! Commands that take several steps. One runs at a time on a connection, after all requests before
//! it are applied; those behind it wait.

use super::connection::{Connection, State};
use crate::engine::Engine;
use crate::engine::opaque::{names_of_event, names_of_reply, resolve};
use crate::engine::ticket::Waiter;
use kidoku_core::clock::Millis;
use kidoku_core::error::Error;
use kidoku_core::id::{App, UserKey};
use kidoku_core::limits::WATCHED_USERS_MAX;
use kidoku_core::reply::Event;
use kidoku_core::request::{Request, Ticket};
use kidoku_proto::command::{self, Command, Context};
use kidoku_proto::error::CommandError;
use kidoku_proto::ids::OpaqueIds;
use kidoku_proto::resp::Protocol;
use kidoku_proto::resp::parse::{Limits, Parsed, Parser};
use kidoku_proto::resp::reply::{IdNames, ReplyContext, channels_asked, write_result};
use kidoku_proto::resp::write::Writer;
use std::sync::Arc;
use tokio::task::spawn_local;

/// A command that takes several steps.
pub(super) enum Task {
    /// A request of an app whose message ids are strings, as it came.
    Opaque {
        /// The command, an array of bulk strings.
        bytes: Vec<u8>,
    },
    /// `KD.WATCH`.
    Watch {
        /// Whom.
        users: Vec<UserKey>,
    },
    /// `KD.UNWATCH`.
    Unwatch {
        /// Whom; none = all.
        users: Vec<UserKey>,
    },
    /// `KD.CHECK`.
    Check,
}

impl Connection {
    /// Starts a task; its answer takes the place of its command.
    pub(super) fn start_task(&self, state: &mut State, task: Task) {
        let (Some(me), Some(grant)) = (self.shared(), state.session.grant.as_ref()) else {
            return;
        };
        let app = grant.app.clone();
        let protocol = state.session.protocol;
        // Whatever it writes is durable before it answers, so its slot needs no gate.
        let sequence = state.slots.open(1, false, protocol);
        state.class = None;
        state.task_runs = true;
        drop(spawn_local(async move {
            let mut bytes = Vec::new();
            me.run_task(task, app, &mut Writer::new(&mut bytes, protocol))
                .await;
            me.update(|state| {
                state.slots.write(sequence, bytes);
                state.task_runs = false;
            });
            me.core.mark_dirty(me.place());
        }));
    }

    async fn run_task(&self, task: Task, app: App, writer: &mut Writer<'_>) {
        let engine = &self.server.engine;
        let result = match task {
            Task::Opaque { bytes } => {
                run_opaque(engine, &app, self.core.now(), &bytes, writer).await
            }
            Task::Watch { users } => self.run_watch(users).await.map(|()| writer.status("OK")),
            Task::Unwatch { users } => {
                self.update(|state| self.unwatch(state, &users));
                writer.status("OK");
                Ok(())
            }
            Task::Check => {
                super::check::run(engine, app, writer).await;
                Ok(())
            }
        };
        if let Err(error) = result {
            writer.error(&error);
        }
    }

    /// `KD.WATCH`.
    pub(super) fn watch(&self, state: &mut State, users: Vec<UserKey>) {
        let session = &state.session;
        let new = users
            .iter()
            .filter(|user| !session.watched.contains(*user))
            .count();
        if session.protocol != Protocol::Resp3 {
            self.answer(state, |writer| {
                writer.error(&CommandError::push_needs_resp3())
            });
        } else if session.watched.len() + new > WATCHED_USERS_MAX {
            let error = CommandError::limit(format!(
                "a connection watches at most {WATCHED_USERS_MAX} users (watched_users_max)"
            ));
            self.answer(state, |writer| writer.error(&error));
        } else {
            self.put_off_task(state, Task::Watch { users });
        }
    }

    async fn run_watch(&self, users: Vec<UserKey>) -> Result<(), CommandError> {
        let watcher = self.watcher();
        let request = |user: &UserKey| Request::Watch {
            user: user.clone(),
            watcher,
        };
        let requests = users.iter().map(request).collect();
        // Before the first event can come, so that it is not dropped.
        self.update(|state| state.session.watched.extend(users));
        for result in self.server.engine.call_many(requests).await {
            result?;
        }
        Ok(())
    }

    fn watcher(&self) -> Ticket {
        Waiter::Asker {
            place: self.place(),
            sequence: 0,
        }
        .ticket(self.core.id)
    }

    fn unwatch(&self, state: &mut State, users: &[UserKey]) {
        if users.is_empty() {
            return self.unwatch_all(state);
        }
        for user in users {
            if state.session.watched.remove(user) {
                self.send_unwatch(user.clone());
            }
        }
    }

    /// Ends all watches. Nobody waits for the answers: events still on the way are dropped here.
    pub(super) fn unwatch_all(&self, state: &mut State) {
        for user in std::mem::take(&mut state.session.watched) {
            self.send_unwatch(user);
        }
    }

    fn send_unwatch(&self, user: UserKey) {
        let owner = self.core.shared.placement.of_user(&user);
        let nobody = Waiter::Nobody.ticket(self.core.id);
        self.core.submit(
            owner,
            nobody,
            Request::Unwatch {
                user,
                watcher: self.watcher(),
            },
        );
    }

    /// Sends events whose ids have to be looked up, one after the other.
    pub(super) fn start_events(&self, state: &mut State) {
        let Some(me) = self.shared() else { return };
        if std::mem::replace(&mut state.events_run, true) {
            return;
        }
        drop(spawn_local(async move {
            while let Some(event) = me.next_event() {
                // An event without its ids is of no use; the next one has the numbers again.
                if let Ok(names) = names_of_event(&me.server.engine, &event).await {
                    me.update(|state| me.write_event(state, &event, Some(&names)));
                    me.core.mark_dirty(me.place());
                }
            }
        }));
    }

    fn next_event(&self) -> Option<Arc<Event>> {
        self.update(|state| {
            let event = state.events.pop();
            state.events_run = event.is_some();
            event
        })
    }
}

/// Parses a command until all its ids are known, runs it, and writes the reply with the ids it has.
async fn run_opaque(
    engine: &Engine,
    app: &App,
    now: Millis,
    bytes: &[u8],
    writer: &mut Writer<'_>,
) -> Result<(), CommandError> {
    let mut ids = OpaqueIds::default();
    let mut request = parse_opaque(app, now, bytes, &mut ids)?;
    if !ids.is_complete() {
        resolve(engine, &mut ids).await?;
        request = parse_opaque(app, now, bytes, &mut ids)?;
    }
    let channels = channels_asked(&request);
    let reply = engine.call(request).await?;
    let names = names_of_reply(engine, &reply, &channels).await?;
    let names: &dyn IdNames = &names;
    let context = ReplyContext {
        channels: &channels,
        names: Some(names),
    };
    write_result(writer, &Ok(reply), &context);
    Ok(())
}

fn parse_opaque(
    app: &App,
    now: Millis,
    bytes: &[u8],
    ids: &mut OpaqueIds,
) -> Result<Request, CommandError> {
    let mut parser = Parser::new();
    let parsed = parser
        .parse(bytes, &Limits::AFTER_AUTH)
        .map_err(|error| error.error())?;
    let Parsed::Command { args, .. } = parsed else {
        return Err(Error::Storage.into());
    };
    let mut context = Context { app, ids, now };
    match command::parse(command::find(args)?, args, Some(&mut context))? {
        Command::Request(request) => Ok(request),
        // Only requests are put off.
        _ => Err(Error::Storage.into()),
    }
}
