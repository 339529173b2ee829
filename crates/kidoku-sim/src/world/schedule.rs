//! What happens next: everything that could is listed, and one of it is drawn.

use super::process::Process;
use super::run::{Packet, Promised, World};
use kidoku_core::id::ShardId;

/// Something that can happen.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Start(usize),
    Turn(usize, u16),
    Commit(usize),
    Merge(usize),
    Load(usize),
    Release(usize),
    Retry(usize),
    Deliver(usize),
    TimeOut(u64),
}

impl World {
    /// One thing happens. False when nothing is under way; something in the background may have
    /// happened all the same.
    pub(super) fn step(&mut self) -> Result<bool, String> {
        self.totals.steps += 1;
        self.end_when_due()?;
        self.look_again();
        for owner in 0..self.lives.len() {
            self.book.time(owner, self.now);
        }
        self.devices_step();
        if self.random.chance(self.plan.background) {
            self.background()?;
        }
        let choices = self.choices();
        let Some(choice) = self.random.pick(&choices).copied() else {
            return Ok(false);
        };
        self.note(format_args!("{choice:?}"));
        self.choose(choice)?;
        Ok(true)
    }

    fn choices(&self) -> Vec<Choice> {
        let mut choices = Vec::with_capacity(16);
        let mut busy = Vec::new();
        for (owner, life) in self.lives.iter().enumerate() {
            let Some(life) = life else {
                choices.push(Choice::Start(owner));
                continue;
            };
            life.busy_cores(&mut busy);
            choices.extend(busy.iter().map(|core| Choice::Turn(owner, *core)));
            let more = [
                (life.can_commit(), Choice::Commit(owner)),
                (life.can_merge(), Choice::Merge(owner)),
                (life.can_load(), Choice::Load(owner)),
                (life.can_release(), Choice::Release(owner)),
                (self.healed && life.is_failing(), Choice::Retry(owner)),
            ];
            choices.extend(more.into_iter().filter(|(can, _)| *can).map(|(_, it)| it));
        }
        for (at, packet) in self.net.iter().enumerate() {
            if self.may_deliver(packet) {
                choices.push(Choice::Deliver(at));
            }
        }
        for (id, call) in &self.calls {
            if call.flying == 0 && call.serving == 0 && call.result.is_none() {
                choices.push(Choice::TimeOut(*id));
            }
        }
        choices
    }

    fn may_deliver(&self, packet: &Packet) -> bool {
        match packet {
            Packet::Reply(..) => true,
            Packet::Request(_) => self.checks.may_begin(),
        }
    }

    fn life(&mut self, owner: usize) -> Option<&mut Process> {
        self.lives.get_mut(owner).and_then(Option::as_mut)
    }

    /// What may happen at any moment without anybody having asked for it.
    fn background(&mut self) -> Result<(), String> {
        let owner = self.random.place(self.lives.len());
        let what = self.random.below(8);
        let (now, draw) = (self.now, self.random.next_u64());
        let Some(life) = self.life(owner) else {
            return Ok(());
        };
        let mut happened = true;
        match what {
            0 | 1 => {
                let core = draw % u64::from(life.cores());
                life.tick(now, u16::try_from(core).unwrap_or_default());
            }
            2 => happened = life.freeze(),
            3 | 4 => {
                happened = life.flush()?;
                self.totals.flushes += u64::from(happened);
            }
            // The log tries again after a pause, in which much may happen.
            5 => {
                happened = life.is_failing();
                life.retry();
            }
            _ => {
                happened = life.cut();
                self.totals.cuts += u64::from(happened);
            }
        }
        if happened {
            self.note(format_args!("background {what} at {owner}"));
        }
        Ok(())
    }

    fn choose(&mut self, choice: Choice) -> Result<(), String> {
        let now = self.now;
        match choice {
            Choice::Start(owner) => self.start(owner)?,
            Choice::Turn(owner, core) => {
                let count = 1 + self.random.place(4);
                let mut random = self.random.clone();
                if let Some(life) = self.life(owner) {
                    life.turn(now, core, count, |choices| random.place(choices));
                }
                self.random = random;
                self.check_answers(owner)?;
            }
            Choice::Commit(owner) => {
                if let Some(life) = self.life(owner) {
                    life.commit();
                }
            }
            Choice::Merge(owner) => {
                if let Some(life) = self.life(owner) {
                    life.merge();
                }
            }
            Choice::Load(owner) => {
                let place = self.random.place(8);
                let loaded = self.life(owner).and_then(|life| life.load(place));
                if let Some((load, data)) = loaded {
                    self.check_load(owner, &load, data)?;
                }
            }
            Choice::Retry(owner) => {
                if let Some(life) = self.life(owner) {
                    life.retry();
                }
            }
            Choice::Release(owner) => {
                self.release(owner)?;
                self.tell_devices(owner)?;
            }
            Choice::Deliver(at) => self.deliver(at),
            Choice::TimeOut(call) => self.time_out(call),
        }
        Ok(())
    }

    fn start(&mut self, owner: usize) -> Result<(), String> {
        let mut setup = self.plan.setup;
        setup.owner = u16::try_from(owner).unwrap_or_default();
        // Another number of cores after a start is allowed.
        let cores = if self.random.chance(30) {
            1 + self.random.below(3)
        } else {
            u64::from(setup.cores)
        };
        setup.cores = u16::try_from(cores).unwrap_or(1);
        match Process::start(&self.homes[owner], &setup) {
            Ok(life) => {
                self.note(format_args!("started at lsn {}", life.first_lsn));
                self.promised[owner] = Promised {
                    answered: life.first_lsn - 1,
                    pushed: life.first_lsn - 1,
                };
                self.lives[owner] = Some(life);
                self.book.begun(owner, self.now);
                self.check_start(owner)
            }
            Err(text) if text.starts_with("fault") || self.healed => {
                Err(format!("it does not start: {text}"))
            }
            Err(_) => {
                self.totals.starts_refused += 1;
                Ok(())
            }
        }
    }

    fn release(&mut self, owner: usize) -> Result<(), String> {
        let released = self.life(owner).map(Process::release).unwrap_or_default();
        for released in released {
            if let Some(lsn) = released.promises {
                let promised = &mut self.promised[owner].answered;
                *promised = (*promised).max(lsn);
            }
            let (id, result) = (released.call, released.result);
            self.note(format_args!("{id} is told {result:?}"));
            self.book.answered(owner, id);
            if let Some(call) = self.calls.get_mut(&id) {
                call.serving = call.serving.saturating_sub(1);
            }
            if let Ok(reply) = &result {
                self.check_told(owner, id, reply, released.promises.is_some())?;
            }
            self.send(id, || Packet::Reply(id, result.clone()));
        }
        Ok(())
    }

    /// The first copy of a request has come.
    fn begin_span(&mut self, id: u64, emitted: usize) {
        let writing = self.calls.iter().filter(|(other, call)| {
            **other != id && call.serving > 0 && **other & super::process::WRITES != 0
        });
        let oldest = writing.map(|(_, call)| call.begun).min();
        if let Some(call) = self.calls.get_mut(&id) {
            call.begun = emitted;
            call.known = oldest.unwrap_or(emitted).min(emitted);
        }
    }

    fn deliver(&mut self, at: usize) {
        match self.net.swap_remove(at) {
            Packet::Reply(id, result) => self.told(id, result),
            Packet::Request(id) => {
                let cores = self.random.next_u64();
                let Some(call) = self.calls.get_mut(&id) else {
                    return;
                };
                call.flying -= 1;
                let (owner, request) = (call.owner, call.request.clone());
                let Some(life) = self.lives.get_mut(owner).and_then(Option::as_mut) else {
                    return;
                };
                if let Err(error) = life.admit(id & super::process::WRITES != 0) {
                    return self.send(id, || Packet::Reply(id, Err(error.clone())));
                }
                let is_first = call.serving == 0;
                call.serving += 1;
                let home = cores % u64::from(life.cores());
                let emitted = life.emitted.len();
                let home = ShardId(u16::try_from(home).unwrap_or_default());
                life.submit(home, id, request.clone());
                self.book.submitted(owner, id, &request);
                if is_first {
                    self.begin_span(id, emitted);
                }
                self.checks.begin(id, request, emitted);
            }
        }
    }
}
