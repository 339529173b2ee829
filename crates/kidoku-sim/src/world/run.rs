//! The state of a world, and what each event does to it.

use super::check::Checks;
use super::devices::Device;
use super::disk::{DiskFaults, SimDisk};
use super::plan::{Act, End, Event, Mode, Plan};
use super::process::{Home, Process, WRITES};
use super::store::{SimStore, StoreFaults};
use super::told::{Book, Floor};
use super::totals::Totals;
use crate::random::Random;
use crate::workload::{EraPick, Op};
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::error::Error;
use kidoku_core::fact::{Era, Fact};
use kidoku_core::id::UserKey;
use kidoku_core::reply::Reply;
use kidoku_core::request::{Page, Request};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// What a client waits for.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) owner: usize,
    pub(super) request: Request,
    pub(super) attempts: u32,
    /// Packets of it on the way.
    pub(super) flying: u32,
    /// Copies of it in the server.
    pub(super) serving: u32,
    pub(super) result: Option<Result<Reply, Error>>,
    /// What its answer must not fall below.
    pub(super) floor: Floor,
    /// How many facts had been emitted when the server got it.
    pub(super) begun: usize,
    /// The same of the oldest write that was under way then.
    pub(super) known: usize,
}

/// What is on the way between client and server.
#[derive(Debug)]
pub(super) enum Packet {
    Request(u64),
    Reply(u64, Result<Reply, Error>),
}

/// What a process that has ended leaves to be checked at the next start.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Facts that may not be gone: those behind answers.
    pub(super) promised: Vec<Fact>,
    /// The same of those behind events.
    pub(super) pushed: Vec<Fact>,
    /// Bits flipped so far.
    pub(super) flips: u64,
    /// Everything the server did was acknowledged, so that nothing may be missing or new.
    pub(super) settled: bool,
}

/// The highest lsns behind what has left a process.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Promised {
    pub(super) answered: u64,
    pub(super) pushed: u64,
}

/// See the module.
pub struct World {
    pub(super) plan: Plan,
    pub(super) random: Random,
    /// Wall time at the servers.
    pub(super) now: Millis,
    /// Wall time to come when nothing is being done that looks at it.
    pub(super) clock: Millis,
    jump: (u64, u64),
    pub(super) homes: Vec<Home>,
    pub(super) lives: Vec<Option<Process>>,
    pub(super) left: Vec<Left>,
    /// Of each process.
    pub(super) promised: Vec<Promised>,
    pub(super) calls: BTreeMap<u64, Call>,
    last_call: u64,
    pub(super) net: Vec<Packet>,
    pub(super) healed: bool,
    /// The store has everything of everyone.
    pub(super) exchanged: bool,
    /// A process ends after so many steps.
    end_in: Option<(u32, usize, End)>,
    pub(super) checks: Checks,
    pub(super) devices: Vec<Device>,
    /// Decides what devices do.
    pub(super) dice: Random,
    /// Events that devices got.
    pub(super) pushed: u64,
    pub(super) book: Book,
    made: BTreeMap<UserKey, Vec<Era>>,
    pub(super) totals: Totals,
    event: usize,
    trace: Trace,
    notes: Option<String>,
}

/// FNV-1a, fed like text.
#[derive(Debug)]
struct Trace(u64);

impl fmt::Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

/// Times a client sends a request before it gives up.
const ATTEMPTS_MAX: u32 = 4;

/// Steps after which a world counts as one that never comes to rest.
const REST_STEPS_MAX: u32 = 60_000;

impl World {
    /// Nothing has happened yet.
    pub fn new(plan: &Plan, noted: bool) -> Self {
        let owners = if plan.mode == Mode::TwoOwners { 2 } else { 1 };
        let store = Arc::new(SimStore::new());
        if owners > 1 {
            store.share();
        }
        if plan.rot > 0 {
            store.lose_all_or_nothing();
        }
        let home = |_| Home {
            disk: SimDisk::new(),
            store: Arc::clone(&store),
        };
        Self {
            plan: *plan,
            random: Random::new(plan.seed),
            now: Millis(0),
            clock: Millis(0),
            jump: (0, 0),
            homes: (0..owners).map(home).collect(),
            lives: (0..owners).map(|_| None).collect(),
            left: (0..owners).map(|_| Left::default()).collect(),
            promised: vec![Promised::default(); owners],
            calls: BTreeMap::new(),
            last_call: 0,
            net: Vec::new(),
            healed: true,
            exchanged: false,
            end_in: None,
            checks: Checks::new(plan.mode),
            devices: Device::draw(plan.devices, owners, &mut Random::new(plan.seed)),
            dice: Random::new(plan.seed),
            pushed: 0,
            book: Book::new(owners),
            made: BTreeMap::new(),
            totals: Totals::default(),
            event: 0,
            trace: Trace(0xcbf2_9ce4_8422_2325),
            notes: noted.then(String::new),
        }
    }

    /// The event under way.
    pub fn event(&self) -> usize {
        self.event
    }

    /// A hash over everything so far.
    pub fn trace(&self) -> u64 {
        self.trace.0
    }

    /// What happened, as text.
    pub fn take_notes(&mut self) -> String {
        self.notes.take().unwrap_or_default()
    }

    /// What happened, counted.
    pub fn totals(&self) -> Totals {
        let mut totals = self.totals;
        for home in &self.homes {
            totals.disk += home.disk.totals();
        }
        if let Some(home) = self.homes.first() {
            totals.store += home.store.totals();
            totals.worlds_with_rot = u64::from(totals.store.rotten_rows > 0);
        }
        for life in self.lives.iter().flatten() {
            totals.evictions += life.evictions();
        }
        totals
    }

    pub(super) fn note(&mut self, what: fmt::Arguments<'_>) {
        // Neither a hash nor a string refuses text.
        self.trace.write_fmt(what).unwrap_or_default();
        if let Some(notes) = &mut self.notes {
            writeln!(notes, "{what}").unwrap_or_default();
        }
    }

    /// Does the events, and counts everything at the end, before and after a start from cold.
    ///
    /// # Errors
    /// What is wrong.
    pub fn run(&mut self, events: &[Event]) -> Result<(), String> {
        for (at, event) in events.iter().enumerate() {
            self.event = at;
            self.happen(event)?;
        }
        self.event = events.len();
        self.rest()?;
        for owner in 0..self.lives.len() {
            self.end(owner, End::Power)?;
        }
        self.rest()
    }

    fn happen(&mut self, event: &Event) -> Result<(), String> {
        self.random = Random::new(event.dice);
        self.dice = Random::new(!event.dice);
        for home in &self.homes {
            home.disk.reseed(self.random.next_u64());
            home.store.reseed(self.random.next_u64());
        }
        self.hurt();
        let (forward, back) = self.jump;
        self.clock = Millis((event.now.0 + forward).saturating_sub(back));
        self.note(format_args!("{event:?}"));
        let owner = event.owner % self.lives.len();
        match &event.act {
            Act::Op(op) => {
                if let Some(request) = self.request(op) {
                    self.call(owner, request);
                }
            }
            Act::End(end, 0) => self.end(owner, *end)?,
            Act::End(end, after) => self.end_in = Some((*after, owner, *end)),
            Act::Full(full) => self.homes[owner].disk.set_full(*full),
            Act::Jump(true, by) => self.jump.0 += by,
            Act::Jump(false, by) => self.jump.1 += by,
            Act::Rest => return self.rest(),
        }
        for _ in 0..self.random.below(self.plan.steps_max) {
            self.step()?;
        }
        Ok(())
    }

    /// The request of an operation; eras are those that the client was told.
    fn request(&self, op: &Op) -> Option<Request> {
        match op {
            Op::Ask(request) => Some(request.clone()),
            Op::AckIn {
                user,
                channel,
                id,
                pick,
                private,
                count,
            } => {
                let made = self.made.get(user);
                let era = match pick {
                    EraPick::First => None,
                    EraPick::Made(n) => made.and_then(|made| made.get(*n)).copied(),
                };
                Some(Request::Ack {
                    user: user.clone(),
                    channel: channel.clone(),
                    id: *id,
                    era: Some(era.unwrap_or(Clock::NEVER)),
                    private: *private,
                    count: *count,
                })
            }
            Op::Sync { user, limit } => Some(Request::State {
                user: user.clone(),
                since: None,
                page: Page {
                    limit: *limit,
                    after: None,
                },
            }),
            Op::Settle | Op::Restart => None,
        }
    }

    /// A client asks.
    pub(super) fn call(&mut self, owner: usize, request: Request) -> u64 {
        self.last_call += 1;
        let writes = if writes(&request) { WRITES } else { 0 };
        let id = self.last_call | writes;
        self.totals.requests += 1;
        let floor = self.book.floor(owner);
        self.calls.insert(
            id,
            Call {
                owner,
                request,
                attempts: 0,
                flying: 0,
                serving: 0,
                result: None,
                floor,
                begun: 0,
                known: 0,
            },
        );
        self.send_request(id);
        id
    }

    pub(super) fn send_request(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.attempts += 1;
        self.totals.resent += u64::from(call.attempts > 1);
        self.send(id, || Packet::Request(id));
    }

    /// Puts a packet on the way: once, twice or not at all.
    pub(super) fn send(&mut self, id: u64, packet: impl Fn() -> Packet) {
        let mut copies = 1;
        if !self.healed && self.random.chance(self.plan.net_drop) {
            copies = 0;
            self.totals.packets_lost += 1;
        } else if !self.healed && self.random.chance(self.plan.net_twice) {
            copies = 2;
            self.totals.packets_twice += 1;
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.flying += copies;
            for _ in 0..copies {
                self.net.push(packet());
            }
        }
    }

    /// A client is told.
    pub(super) fn told(&mut self, id: u64, result: Result<Reply, Error>) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.flying -= 1;
        if call.result.is_some() {
            return;
        }
        match &result {
            Err(Error::Busy | Error::DiskFull | Error::Storage) => {
                self.totals.refused += 1;
                if call.attempts < ATTEMPTS_MAX {
                    return self.send_request(id);
                }
                self.totals.given_up += 1;
            }
            Err(_) => {}
            Ok(reply) => {
                self.totals.acks += 1;
                let request = call.request.clone();
                if let (Request::MarkUnread { user, .. }, Reply::ReadState(state)) =
                    (&request, reply)
                {
                    self.made.entry(user.clone()).or_default().push(state.era);
                }
                self.checks.acked(request);
            }
        }
        call_result(&mut self.calls, id, result);
    }

    /// A client hears nothing and sends once more, or gives up.
    pub(super) fn time_out(&mut self, id: u64) {
        let attempts = self.calls.get(&id).map_or(0, |call| call.attempts);
        if attempts < ATTEMPTS_MAX || self.healed && attempts < 2 * ATTEMPTS_MAX {
            return self.send_request(id);
        }
        self.totals.given_up += 1;
        call_result(&mut self.calls, id, Err(Error::Busy));
    }

    /// Ends what has an end that is due.
    pub(super) fn end_when_due(&mut self) -> Result<(), String> {
        let Some((left, owner, end)) = self.end_in else {
            return Ok(());
        };
        self.end_in = left.checked_sub(1).map(|left| (left, owner, end));
        if left == 0 {
            return self.end(owner, end);
        }
        Ok(())
    }

    /// A process ends; it is started again when the scheduler comes to it.
    pub(super) fn end(&mut self, owner: usize, end: End) -> Result<(), String> {
        let Some(life) = self.lives.get_mut(owner).and_then(Option::take) else {
            return Ok(());
        };
        let home = self.homes[owner].clone();
        let left = &mut self.left[owner];
        let promised = self.promised[owner];
        left.promised = life.facts_up_to(promised.answered).cloned().collect();
        left.pushed = life.facts_up_to(promised.pushed).cloned().collect();
        left.settled =
            self.checks.is_sure() && life.is_quiet() && life.durable() >= life.appended();
        self.totals.evictions += life.evictions();
        if end == End::Stop {
            self.totals.stops += 1;
            left.settled &= life.stop().is_ok();
        } else {
            drop(life);
        }
        match end {
            End::Power => {
                self.totals.power_cuts += 1;
                home.disk.cut_power();
                if self.homes.len() == 1 {
                    home.store.cut_power();
                }
                if !self.healed && self.random.chance(self.plan.rot) {
                    left.flips += u64::from(home.disk.flip_bit(&mut self.random));
                }
            }
            End::Kill => {
                self.totals.kills += 1;
                home.disk.kill();
            }
            End::Stop => home.disk.kill(),
        }
        if !self.healed && self.dice.chance(self.plan.row_rot) {
            home.store.rot(&mut self.dice);
        }
        for call in self.calls.values_mut().filter(|call| call.owner == owner) {
            call.serving = 0;
        }
        self.checks.ended();
        self.book.ended(owner);
        for device in &mut self.devices {
            device.cut_off(owner);
        }
        self.note(format_args!("{end:?} of {owner}"));
        Ok(())
    }

    /// Faults happen again.
    fn hurt(&mut self) {
        self.healed = false;
        for home in &self.homes {
            home.disk.set_faults(self.plan.disk);
            home.store.set_faults(self.plan.store);
        }
    }

    fn heal(&mut self) {
        self.healed = true;
        for home in &self.homes {
            home.disk.set_faults(DiskFaults::default());
            home.disk.set_full(false);
            home.store.set_faults(StoreFaults::default());
        }
    }

    /// All faults end, everything comes to its end, and every number is counted.
    fn rest(&mut self) -> Result<(), String> {
        self.heal();
        self.end_in = None;
        self.settle()?;
        if self.plan.mode == Mode::TwoOwners {
            self.exchange()?;
        }
        self.settle_devices()?;
        self.count_everything()
    }

    /// Steps until nothing is under way.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        for _ in 0..REST_STEPS_MAX {
            let quiet = |life: &Option<Process>| life.as_ref().is_some_and(Process::is_quiet);
            if !self.step()? && self.lives.iter().all(quiet) {
                self.calls.clear();
                return Ok(());
            }
        }
        Err("it never comes to rest".to_owned())
    }

    /// Both owners write everything to the store and begin again with empty memories: the moment at
    /// which they have to agree.
    fn exchange(&mut self) -> Result<(), String> {
        for owner in 0..self.lives.len() {
            if let Some(life) = &mut self.lives[owner] {
                while life.can_commit() {
                    life.commit();
                }
                while life.can_merge() {
                    life.merge();
                }
                // One overlay may be frozen already.
                for _ in 0..2 {
                    life.flush()?;
                    life.freeze();
                }
                life.flush()?;
            }
        }
        for owner in 0..self.lives.len() {
            self.end(owner, End::Kill)?;
        }
        self.exchanged = true;
        let settled = self.settle();
        self.exchanged = false;
        self.book.exchanged();
        settled
    }
}

fn call_result(calls: &mut BTreeMap<u64, Call>, id: u64, result: Result<Reply, Error>) {
    if let Some(call) = calls.get_mut(&id) {
        call.result = Some(result);
    }
}

/// True when the request can emit facts.
fn writes(request: &Request) -> bool {
    match request {
        Request::Channel {
            space,
            parent,
            receipts,
            ..
        } => space.is_some() || parent.is_some() || receipts.is_some(),
        Request::Count { .. }
        | Request::State { .. }
        | Request::Badge { .. }
        | Request::Seen { .. }
        | Request::Explain { .. }
        | Request::Watch { .. }
        | Request::Unwatch { .. }
        | Request::Names { .. } => false,
        _ => true,
    }
}
