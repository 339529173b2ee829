//! What must hold: of every reply, of every load, of every start, and when all is quiet.

use super::overlap::Span;
use super::plan::Mode;
use super::process::Process;
use super::rot::Damage;
use super::run::{Call, World};
use super::told;
use crate::backing::same_load;
use crate::cluster::latest_clock;
use crate::history::difference;
use crate::model::Model;
use crate::workload;
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::effect::{Load, LoadFailed, Loaded};
use kidoku_core::error::Error;
use kidoku_core::fact::Fact;
use kidoku_core::id::NameKind;
use kidoku_core::reply::Reply;
use kidoku_core::request::{Page, Request};

/// A reply, or why there is none.
pub(super) type Answer = Result<Reply, Error>;

/// The request under way, when there is one at a time.
#[derive(Debug)]
struct Executing {
    id: u64,
    request: Request,
    /// How many facts had been emitted when it began.
    emitted: usize,
}

/// What the checks remember.
#[derive(Debug)]
pub(super) struct Checks {
    mode: Mode,
    /// With one request at a time: what each request has done, by the independent model.
    pub(super) model: Model,
    executing: Option<Executing>,
    /// A request failed half-way: what it did is read from the facts as soon as all is quiet.
    unsure: bool,
    acked: Vec<Request>,
    /// Something was erased or dropped, which takes away what was acknowledged before.
    pub(super) gone: bool,
    /// A record has rotted, which takes away what was acknowledged too.
    rotten: bool,
}

impl Checks {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            model: Model::new(),
            executing: None,
            unsure: false,
            acked: Vec::new(),
            gone: false,
            rotten: false,
        }
    }

    /// True when a request may begin.
    pub(super) fn may_begin(&self) -> bool {
        self.mode != Mode::OneAtATime || (self.executing.is_none() && !self.unsure)
    }

    pub(super) fn begin(&mut self, id: u64, request: Request, emitted: usize) {
        self.gone |= matches!(request, Request::Erase { .. } | Request::Drop { .. });
        if self.mode == Mode::OneAtATime {
            self.executing = Some(Executing {
                id,
                request,
                emitted,
            });
        }
    }

    /// The model knows what the server knows.
    pub(super) fn is_sure(&self) -> bool {
        self.mode == Mode::OneAtATime && self.executing.is_none() && !self.unsure
    }

    /// A request failed half-way.
    pub(super) fn is_not_sure(&mut self) {
        self.unsure = true;
    }

    /// A process has ended, and with it what it was doing.
    pub(super) fn ended(&mut self) {
        self.executing = None;
        self.unsure = false;
    }

    /// A client was told that its request is done.
    pub(super) fn acked(&mut self, request: Request) {
        self.acked.push(request);
    }
}

impl World {
    /// Before anything new: takes the time, and where it was not sure what a request did, looks.
    pub(super) fn look_again(&mut self) {
        if self.checks.executing.is_none() {
            self.now = self.clock;
        }
        if self.checks.unsure
            && let Some(life) = self.lives.first().and_then(Option::as_ref)
            && life.is_quiet()
        {
            self.checks.model = Model::of_facts(life.facts());
            self.checks.unsure = false;
        }
    }

    /// Every answer of a shard, as it is given.
    pub(super) fn check_answers(&mut self, owner: usize) -> Result<(), String> {
        let Some(life) = self.lives.get_mut(owner).and_then(Option::as_mut) else {
            return Ok(());
        };
        let answers = std::mem::take(&mut life.answered);
        for answered in answers {
            let (id, came) = (answered.call, answered.result);
            self.note(format_args!("{id} answers {came:?}"));
            let damage = self.damage();
            self.check_refusal(&damage, id, &came)?;
            match self.checks.mode {
                Mode::OneAtATime => self.check_answer(&damage, id, &came)?,
                Mode::Overlapping => {
                    let Some(call) = self.calls.get(&id) else {
                        continue;
                    };
                    let (request, begun, known) = (call.request.clone(), call.begun, call.known);
                    let span = Span {
                        begun,
                        known,
                        answered: answered.emitted,
                    };
                    self.check_needed(&damage, &request, &came)?;
                    self.check_overlapping(&damage, &request, span, &came)?;
                }
                Mode::TwoOwners => {}
            }
        }
        Ok(())
    }

    fn check_answer(&mut self, damage: &Damage, id: u64, came: &Answer) -> Result<(), String> {
        let Some(executing) = self.checks.executing.take() else {
            return Err(format!("an answer that nobody waits for: {came:?}"));
        };
        let request = &executing.request;
        if executing.id != id {
            return Err(format!(
                "the answer of another call to {request:?}: {came:?}"
            ));
        }
        if is_failure(came) && damage.is_none() {
            self.checks.unsure = true;
            return Ok(());
        }
        let Some(life) = self.lives.first().and_then(Option::as_ref) else {
            return Ok(());
        };
        let said = life.emitted.get(executing.emitted..).unwrap_or_default();
        let model = &mut self.checks.model;
        if let Some(clock) = new_clock(request, came, said)? {
            check_era_rises(model, self.now, request, clock)?;
            model.set_next_clock(clock);
        }
        if !damage.is_none() {
            return self.check_beside(damage, request, came);
        }
        if let Some(due) = model.apply(self.now, request) {
            self.totals.replies_checked += 1;
            compare(request, due, came)?;
        }
        Ok(())
    }

    /// Every answer that leaves: no cursor and no revision in it goes back.
    pub(super) fn check_told(
        &mut self,
        owner: usize,
        id: u64,
        reply: &Reply,
        is_certain: bool,
    ) -> Result<(), String> {
        let Some(Call { request, floor, .. }) = self.calls.get(&id) else {
            return Ok(());
        };
        let wrong = |text| format!("{request:?} answers {reply:?}: {text}");
        if let Some((user, rev)) = told::revision(request, reply) {
            self.book.rev(owner, floor, user, rev).map_err(wrong)?;
        }
        // Of two owners the other one's erasure comes when it likes.
        if self.checks.mode == Mode::TwoOwners && self.checks.gone {
            return Ok(());
        }
        for place in told::states(request, reply) {
            self.totals.cursors_checked += 1;
            let checked = self.book.state(owner, floor, place, is_certain);
            checked.map_err(wrong)?;
        }
        Ok(())
    }

    /// Every load, against a fold of all facts that are merged.
    pub(super) fn check_load(
        &mut self,
        owner: usize,
        load: &Load,
        data: Result<Loaded, LoadFailed>,
    ) -> Result<(), String> {
        let damage = self.damage();
        let is_checked = self.plan.loads_checked || !damage.is_none();
        if !is_checked || self.plan.mode == Mode::TwoOwners {
            return Ok(());
        }
        let Some(life) = self.lives.get(owner).and_then(Option::as_ref) else {
            return Ok(());
        };
        let facts: Vec<Fact> = life.facts_up_to(life.merged()).cloned().collect();
        let named = match &data {
            Err(LoadFailed::Damaged(named)) => Some(&**named),
            Err(LoadFailed::Unreadable) | Ok(_) => None,
        };
        if !damage.is_none() && !matches!(data, Err(LoadFailed::Unreadable)) {
            self.check_load_beside(&damage, (load, &facts), named)?;
        }
        match data {
            Ok(data) => {
                self.totals.loads_checked += 1;
                same_load(load, &data, &facts)
            }
            Err(LoadFailed::Unreadable) if self.plan.store.read > 0 => Ok(()),
            Err(LoadFailed::Damaged(_)) if !damage.is_none() => Ok(()),
            Err(LoadFailed::Unreadable | LoadFailed::Damaged(_)) => {
                Err(format!("{load:?} failed without a fault of the store"))
            }
        }
    }

    /// A start has found everything that was promised, and where all was quiet nothing else.
    pub(super) fn check_start(&mut self, owner: usize) -> Result<(), String> {
        let left = std::mem::take(&mut self.left[owner]);
        // A bit that is taken back stays flipped in the file, where a later one may meet it.
        self.left[owner].flips = left.flips;
        let Some(life) = self.lives.get(owner).and_then(Option::as_ref) else {
            return Ok(());
        };
        let found = Model::of_facts(&life.base);
        let promised = || left.promised.iter().chain(&left.pushed);
        let due = Model::of_facts(life.base.iter().chain(promised()));
        // Another owner's flush takes away what an erasure or a drop outdates before it writes the mark
        // of that, and may be broken off in between; its own log brings the mark. So between owners
        // this is compared at rest only, once anything was erased or dropped.
        let halfway = self.checks.mode == Mode::TwoOwners && self.checks.gone;
        if found != due && !halfway {
            let lost = lost_facts(life, promised(), &found);
            self.totals.records_rotten += lost.len() as u64;
            self.checks.rotten = true;
            self.book.lost();
            if lost.len() as u64 > left.flips {
                let whose = if lost.iter().all(|fact| left.promised.contains(fact)) {
                    "acknowledged facts"
                } else {
                    "facts that a device was told of"
                };
                return Err(format!(
                    "{whose} are gone after a start ({} bits flipped): {lost:?}",
                    left.flips
                ));
            }
            let recovery = &life.recovery;
            if recovery.damage_count == 0 && recovery.torn.is_none() {
                return Err(format!("a record rotted away unnoticed: {lost:?}"));
            }
        }
        if !halfway {
            self.book.kept(owner, self.now, &found)?;
        }
        // An owner may start on what another one has half written, and sees its clocks when it loads
        // that.
        if self.checks.mode != Mode::TwoOwners || self.exchanged {
            let highest = life.base.iter().map(latest_clock).max();
            if highest.is_some_and(|highest| highest > life.clock_seen) {
                return Err(format!(
                    "a start begins at clock {:?}, and knows facts of {highest:?}",
                    life.clock_seen
                ));
            }
        }
        if self.checks.mode == Mode::OneAtATime {
            if left.settled && left.flips == 0 {
                let mut found = found.clone();
                for question in questions(2) {
                    let due = self.checks.model.apply(self.now, &question);
                    let came = found.apply(self.now, &question);
                    if let (Some(due), Some(came)) = (due, came) {
                        compare(&question, due, &came)
                            .map_err(|text| format!("after a start at rest: {text}"))?;
                    }
                }
            }
            self.checks.model = found;
        }
        Ok(())
    }

    /// Every number, at every owner, against a count of all facts.
    pub(super) fn count_everything(&mut self) -> Result<(), String> {
        let mut facts: Vec<Fact> = Vec::new();
        for life in self.lives.iter().flatten() {
            facts.extend(life.facts().cloned());
        }
        let mut model = Model::of_facts(&facts);
        if !self.checks.gone && !self.checks.rotten {
            let lacking = self
                .checks
                .acked
                .iter()
                .find_map(|request| model.lacks(request));
            if let Some(lacking) = lacking {
                return Err(lacking);
            }
        }
        for owner in 0..self.lives.len() {
            let damage = self.damage();
            let more = if damage.is_none() {
                Vec::new()
            } else {
                questions_beside()
            };
            for question in questions(3).into_iter().chain(more) {
                let came = self.ask(owner, &question)?;
                self.totals.counts_at_rest += 1;
                self.check_devices(owner, &question, &came, &model)
                    .map_err(|text| format!("at rest: {text}"))?;
                let due = model.apply(self.now, &question);
                self.check_at_rest(&damage, &model, (&question, due), &came)
                    .map_err(|text| format!("at rest, owner {owner}: {text}"))?;
            }
        }
        self.calls.clear();
        Ok(())
    }

    /// Asks and waits, while there are no faults.
    fn ask(&mut self, owner: usize, question: &Request) -> Result<Answer, String> {
        let id = self.call(owner, question.clone());
        for _ in 0..STEPS_PER_QUESTION_MAX {
            self.step()?;
            let result = self.calls.get(&id).and_then(|call| call.result.clone());
            if let Some(result) = result {
                self.calls.remove(&id);
                return Ok(result);
            }
        }
        Err(format!("no answer to {question:?}"))
    }
}

/// Steps after which a question counts as never answered.
const STEPS_PER_QUESTION_MAX: u32 = 5_000;

/// The clock of an era or a floor that a request has made.
fn new_clock(request: &Request, came: &Answer, said: &[Fact]) -> Result<Option<Clock>, String> {
    match (request, came) {
        (Request::MarkUnread { .. }, Ok(Reply::ReadState(state))) => Ok(Some(state.era)),
        (Request::AckAll { user: asked, .. }, Ok(_)) => {
            let floor = said.iter().rev().find_map(|fact| match fact {
                Fact::Floor { user, floor, .. } if user == asked => floor.entries().first(),
                _ => None,
            });
            match floor {
                Some(entry) => Ok(Some(entry.clock)),
                None => Err(format!("{request:?} has left no floor")),
            }
        }
        _ => Ok(None),
    }
}

fn check_era_rises(
    model: &mut Model,
    now: Millis,
    request: &Request,
    clock: Clock,
) -> Result<(), String> {
    let Request::MarkUnread { user, channel, .. } = request else {
        return Ok(());
    };
    let count = Request::Count {
        user: user.clone(),
        channels: vec![channel.clone()],
    };
    let Some(Ok(Reply::ReadStates(states))) = model.apply(now, &count) else {
        return Ok(());
    };
    match states.first() {
        Some(before) if before.era >= clock => Err(format!(
            "{request:?}: its era {clock:?} is not above {:?}",
            before.era
        )),
        Some(_) | None => Ok(()),
    }
}

/// The store could not be read, or what it has is damaged.
pub(super) fn is_failure(answer: &Answer) -> bool {
    matches!(answer, Err(Error::Storage | Error::Damaged(_)))
}

/// Those of the promised facts that are not there.
fn lost_facts<'a>(
    life: &Process,
    promised: impl Iterator<Item = &'a Fact>,
    found: &Model,
) -> Vec<Fact> {
    let mut lost: Vec<Fact> = Vec::new();
    for fact in promised {
        let with = Model::of_facts(life.base.iter().chain([fact]));
        if with != *found && !lost.contains(fact) {
            lost.push(fact.clone());
        }
    }
    lost
}

pub(super) fn compare(request: &Request, due: Answer, came: &Answer) -> Result<(), String> {
    let due = align(due, came);
    if due == *came {
        return Ok(());
    }
    Err(format!("{request:?}{}", difference(&due, came)))
}

/// Takes over from what came what no model knows: revisions, times, and how much an erasure took.
fn align(due: Answer, came: &Answer) -> Answer {
    let mut due = due?;
    let Ok(came) = came else {
        return Ok(due);
    };
    match (&mut due, came) {
        (Reply::State { rev, .. }, Reply::State { rev: real, .. }) => *rev = *real,
        (Reply::Badge(badge), Reply::Badge(real)) => badge.rev = real.rev,
        (Reply::Explanation(due), Reply::Explanation(real)) => {
            due.set_at = real.set_at;
            if !due.state.member {
                due.line = real.line;
                due.part = real.part;
                due.floor = real.floor;
                due.join = real.join;
                due.trim = real.trim;
            }
        }
        (Reply::Erased { .. }, Reply::Erased { .. }) => due = came.clone(),
        _ => {}
    }
    Ok(due)
}

/// What is asked beyond that while something is damaged: each thing apart.
fn questions_beside() -> Vec<Request> {
    let mut questions = Vec::new();
    for user in workload::users() {
        questions.push(Request::State {
            user: user.clone(),
            since: None,
            page: Page::default(),
        });
        for channel in workload::channels() {
            questions.push(Request::Count {
                user: user.clone(),
                channels: vec![channel.clone()],
            });
            questions.push(Request::Explain {
                user: user.clone(),
                channel,
                page: Page::default(),
            });
        }
    }
    questions
}

/// What is asked to compare everything; `seen` = messages per channel whose receipts are asked for.
fn questions(seen: u64) -> Vec<Request> {
    let mut questions = Vec::new();
    for user in workload::users() {
        questions.push(Request::Count {
            user: user.clone(),
            channels: workload::channels(),
        });
        questions.push(Request::Badge {
            user: user.clone(),
            space: None,
        });
        questions.push(Request::Badge {
            user,
            space: Some(workload::name(NameKind::Space, "s0")),
        });
    }
    for channel in workload::channels() {
        for n in 1..=seen {
            questions.push(Request::Seen {
                channel: channel.clone(),
                id: workload::id(n * 3),
                list: Some(Page::default()),
            });
        }
    }
    questions
}
