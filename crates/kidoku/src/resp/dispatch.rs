//! From arguments to a request at its owner, or to what the connection answers itself.

use super::connection::{Connection, State, Step};
use super::slots::WEIGHT_MAX;
use super::tasks::Task;
use crate::config::IdMode;
use crate::engine::shared::writes;
use crate::engine::ticket::Waiter;
use kidoku_core::error::Error;
use kidoku_core::request::Request;
use kidoku_proto::command::table::Access;
use kidoku_proto::command::{self, Command, Context};
use kidoku_proto::error::CommandError;
use kidoku_proto::ids::{IdSource, NumericIds, OpaqueIds, SnowflakeIds};
use kidoku_proto::resp::decode::encode_command;
use kidoku_proto::resp::parse::Args;

/// What has to wait until the requests before it are applied, or fewer are out.
pub(super) enum Deferred {
    /// For a shard.
    Request(Request),
    /// In several steps.
    Task(Task),
}

/// How many entries the answer to a request may have, which bounds how many of them are out.
fn weight(request: &Request) -> usize {
    let entries = match request {
        Request::State { page, .. } => page.limit,
        Request::Explain { page, .. } => page.limit,
        Request::Seen {
            list: Some(page), ..
        } => page.limit,
        Request::Count { channels, .. } => channels.len(),
        Request::AckMany { acks, .. } => acks.len(),
        Request::Join { users, .. }
        | Request::Leave { users, .. }
        | Request::Role { users, .. } => users.len(),
        Request::Delete { ids, .. } | Request::Names { ids, .. } => ids.len(),
        Request::Resolve { texts, .. } => texts.len(),
        Request::Post { post, .. } => post.mentions.users.len(),
        Request::Edit { mentions, .. } => mentions.users.len(),
        Request::Ack { .. }
        | Request::AckAll { .. }
        | Request::MarkUnread { .. }
        | Request::Mute { .. }
        | Request::Badge { .. }
        | Request::Seen { list: None, .. }
        | Request::Channel { .. }
        | Request::Follow { .. }
        | Request::Trim { .. }
        | Request::Erase { .. }
        | Request::Drop { .. }
        | Request::Merge { .. }
        | Request::Watch { .. }
        | Request::Unwatch { .. } => 1,
    };
    entries.clamp(1, WEIGHT_MAX)
}

impl Connection {
    /// Runs one command, or puts it off.
    pub(super) fn command(&self, state: &mut State, args: Args<'_>) {
        match self.parse_command(state, args) {
            Ok(Some(command)) => self.run(state, command),
            Ok(None) => {
                let args: Vec<&[u8]> = args.iter_from(0).collect();
                let mut bytes = Vec::new();
                encode_command(&mut bytes, &args);
                self.put_off_task(state, Task::Opaque { bytes });
            }
            Err(error) => self.answer(state, |writer| writer.error(&error)),
        }
    }

    /// `None` = a request of an app whose ids have to be asked for.
    fn parse_command<'a>(
        &self,
        state: &mut State,
        args: Args<'a>,
    ) -> Result<Option<Command<'a>>, CommandError> {
        if !self.keep_or_refuse(state) {
            return Err(CommandError::key_ended());
        }
        let spec = command::find(args)?;
        let Some(grant) = &state.session.grant else {
            return command::parse(spec, args, None).map(Some);
        };
        let now = self.core.now();
        let (mut numeric, mut snowflake, mut opaque);
        let ids: &mut dyn IdSource = match state.session.ids {
            IdMode::Numeric => {
                numeric = NumericIds;
                &mut numeric
            }
            IdMode::Snowflake { epoch_ms } => {
                snowflake = SnowflakeIds { epoch_ms, now };
                &mut snowflake
            }
            IdMode::Opaque => {
                opaque = OpaqueIds::default();
                &mut opaque
            }
        };
        let mut context = Context {
            app: &grant.app,
            ids,
            now,
        };
        let command = command::parse(spec, args, Some(&mut context))?;
        let asks = state.session.is_opaque() && spec.access == Access::App;
        if asks && matches!(command, Command::Request(_)) {
            return Ok(None);
        }
        Ok(Some(command))
    }

    fn run(&self, state: &mut State, command: Command<'_>) {
        match command {
            Command::Request(request) => self.request(state, request),
            Command::Watch(users) => self.watch(state, users),
            Command::Unwatch(users) => self.put_off_task(state, Task::Unwatch { users }),
            Command::Check => self.put_off_task(state, Task::Check),
            Command::Ping(None) => self.answer(state, |writer| writer.status("PONG")),
            Command::Ping(Some(bytes)) | Command::Echo(bytes) => {
                self.answer(state, |writer| writer.bulk(bytes));
            }
            Command::Hello(hello) => self.hello(state, &hello),
            Command::Auth(credentials) => self.auth(state, &credentials),
            Command::Client(client) => self.client(state, &client),
            Command::Info(asked) => self.info(state, &asked),
            Command::Introspect(query) => {
                self.answer(state, |writer| command::introspect::answer(writer, &query));
            }
            Command::ConfigGet(patterns) => self.config_get(state, &patterns),
            Command::WhoAmI => {
                let app = state.session.grant.as_ref().map(|grant| grant.app.clone());
                let name = app.as_ref().map_or("", kidoku_core::id::App::as_str);
                self.answer(state, |writer| writer.text(name));
            }
            Command::Select => self.answer(state, |writer| writer.status("OK")),
            Command::Quit => self.quit(state),
            Command::Reset => self.reset(state),
        }
    }

    fn request(&self, state: &mut State, request: Request) {
        if state.may_send(&request) {
            self.send_request(state, request);
        } else {
            state.deferred = Some(Deferred::Request(request));
        }
    }

    fn send_request(&self, state: &mut State, request: Request) {
        let shared = &self.core.shared;
        if !state.slots.has_memory() {
            state.slots.give_memory(self.io.take_slots());
        }
        state.class = Some(request.class());
        let writes = writes(&request);
        let sequence = state
            .slots
            .open(weight(&request), writes, state.session.protocol);
        let owner = request.owner(&shared.placement);
        let admitted = if self.core.pressure.is_full() {
            Err(Error::Busy)
        } else {
            shared.admit(owner, writes)
        };
        if let Err(error) = admitted {
            if error == Error::Busy {
                shared.resp_metrics.note_busy();
            }
            state.slots.answer(sequence, Err(error), 0);
            self.core.mark_dirty(self.place());
            return;
        }
        let ticket = Waiter::Asker {
            place: self.place(),
            sequence,
        }
        .ticket(self.core.id);
        if self.core.submit(owner, ticket, request) {
            state.slots.note_applied(sequence);
        }
    }

    /// Runs a task once all requests before it are applied.
    pub(super) fn put_off_task(&self, state: &mut State, task: Task) {
        state.deferred = Some(Deferred::Task(task));
    }

    /// Runs what was put off, if it may run by now.
    pub(super) fn resume(&self, state: &mut State) -> Step {
        match state.deferred.take() {
            Some(Deferred::Request(request)) if state.may_send(&request) => {
                self.send_request(state, request);
            }
            Some(Deferred::Task(task)) if state.slots.all_applied() && !state.task_runs => {
                self.start_task(state, task);
            }
            None => {}
            waiting => {
                state.deferred = waiting;
                return state.wait();
            }
        }
        Step::Again
    }
}

impl State {
    /// True when a request has the effect of coming after all before it if it is sent now, and is
    /// not one too many.
    fn may_send(&self, request: &Request) -> bool {
        let in_order = self.class == Some(request.class()) || self.slots.all_applied();
        in_order && !self.task_runs && self.slots.has_room(weight(request))
    }
}
