//! Devices that watch: each takes the events of one user over a connection to one process, keeps
//! what a device keeps, and at rest must know what whoever asks is told.

use super::plan::Mode;
use super::process::{DEVICE, Told};
use super::run::World;
use super::told::Floor;
use crate::model::Model;
use crate::random::Random;
use crate::workload;
use kidoku_core::clock::Clock;
use kidoku_core::error::Error;
use kidoku_core::fact::MuteLevel;
use kidoku_core::id::{ChannelKey, ShardId, UserKey};
use kidoku_core::reply::{Badge, ReadState, Reply};
use kidoku_core::request::{Request, Ticket};
use std::collections::BTreeMap;

/// Somebody who watches a user.
#[derive(Debug)]
pub(super) struct Device {
    user: UserKey,
    owner: usize,
    link: Option<Link>,
    links: u64,
}

/// A connection, and what has come over it.
#[derive(Debug)]
struct Link {
    watcher: Ticket,
    floor: Floor,
    /// The event that holds everything has come.
    whole: bool,
    /// The revision of the last event, taken or not.
    last: Clock,
    rev: Clock,
    channels: BTreeMap<ChannelKey, ReadState>,
    badge: Badge,
    /// Channels that are left out, for damage.
    damaged: Vec<ChannelKey>,
}

/// Rounds of ticks after which events count as never ending.
const TICKS_MAX: u32 = 3_000;

/// Ticks without an event after which nothing more is to come, where the store could be read.
const QUIET_TICKS: u32 = 2;

/// The same where it could not: a shard waits for 100 ticks before it tries again.
const QUIET_TICKS_AFTER_FAILURE: u32 = 110;

impl Device {
    /// Devices of an owner's processes.
    pub(super) fn draw(count: usize, owners: usize, random: &mut Random) -> Vec<Self> {
        let device = |_| Self {
            user: workload::user(random.place(workload::USERS)),
            owner: random.place(owners),
            link: None,
            links: 0,
        };
        (0..count).map(device).collect()
    }

    /// Its process has ended, and the connection with it.
    pub(super) fn cut_off(&mut self, owner: usize) {
        if self.owner == owner {
            self.link = None;
        }
    }

    fn is_whole(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.whole)
    }
}

impl World {
    /// Devices come and go, and time passes for those that are there. Decided by dice of their own,
    /// so that what else happens is the same with them and without.
    pub(super) fn devices_step(&mut self) {
        for (owner, life) in self.lives.iter_mut().enumerate() {
            let refused = life.as_mut().map(|life| std::mem::take(&mut life.refused));
            for watcher in refused.unwrap_or_default() {
                for device in &mut self.devices {
                    let link = device.link.as_ref();
                    if link.is_some_and(|link| link.watcher.id == watcher) && device.owner == owner
                    {
                        device.link = None;
                    }
                }
            }
        }
        for at in 0..self.devices.len() {
            let (comes, goes) = (self.dice.chance(15), self.dice.chance(1));
            let device = &self.devices[at];
            if self.lives[device.owner].is_none() {
                continue;
            }
            match device.link {
                // It would be refused again and again.
                None if self.healed && self.may_be_untold(&device.user) => {}
                None if comes || self.healed => self.connect(at),
                Some(_) if goes && !self.healed => self.leave(at),
                Some(_) | None => {}
            }
        }
        if !self.devices.is_empty() && self.dice.chance(25) {
            let owner = self.dice.place(self.lives.len());
            let core = self.dice.next_u64();
            let now = self.now;
            if let Some(life) = self.lives[owner].as_mut() {
                let core = core % u64::from(life.cores());
                life.tick(now, u16::try_from(core).unwrap_or_default());
            }
        }
    }

    fn connect(&mut self, at: usize) {
        let home = self.dice.next_u64();
        let device = &mut self.devices[at];
        let Some(life) = self.lives[device.owner].as_mut() else {
            return;
        };
        device.links += 1;
        let home = ShardId(u16::try_from(home % u64::from(life.cores())).unwrap_or_default());
        let number = u64::try_from(at).unwrap_or_default();
        let watcher = Ticket {
            core: home,
            id: DEVICE | device.links << 8 | number,
        };
        device.link = Some(Link {
            watcher,
            floor: self.book.floor(device.owner),
            whole: false,
            last: Clock::NEVER,
            rev: Clock::NEVER,
            channels: BTreeMap::new(),
            badge: Badge::default(),
            damaged: Vec::new(),
        });
        let user = device.user.clone();
        life.submit(home, watcher.id, Request::Watch { user, watcher });
        self.note(format_args!("device {at} watches"));
    }

    fn leave(&mut self, at: usize) {
        let device = &mut self.devices[at];
        let Some(link) = device.link.take() else {
            return;
        };
        let (user, watcher) = (device.user.clone(), link.watcher);
        if let Some(life) = self.lives[device.owner].as_mut() {
            life.submit(watcher.core, watcher.id, Request::Unwatch { user, watcher });
        }
        self.note(format_args!("device {at} leaves"));
    }

    /// Gives the events that have left the gate to their devices.
    pub(super) fn tell_devices(&mut self, owner: usize) -> Result<(), String> {
        let told = self.lives[owner]
            .as_mut()
            .map(|life| life.release_events())
            .unwrap_or_default();
        for told in told {
            let pushed = &mut self.promised[owner].pushed;
            *pushed = (*pushed).max(told.promises.unwrap_or_default());
            let device = self.devices.iter().position(|device| {
                let link = device.link.as_ref();
                link.is_some_and(|link| link.watcher.id == told.device && device.owner == owner)
            });
            if let Some(at) = device {
                self.note(format_args!("device {at} is told {:?}", told.event));
                self.pushed += 1;
                self.take_event(at, owner, &told)
                    .map_err(|text| format!("an event: {text}; {:?}", told.event))?;
            }
        }
        Ok(())
    }

    fn take_event(&mut self, at: usize, owner: usize, told: &Told) -> Result<(), String> {
        let event = &told.event;
        self.totals.events += 1;
        if self.plan.mode != Mode::TwoOwners {
            self.check_event_beside(event)?;
        }
        let Some(link) = &mut self.devices[at].link else {
            return Ok(());
        };
        if event.rev < link.last {
            return Err(format!("it comes after one of rev {:?}", link.last));
        }
        link.last = event.rev;
        self.book.rev(owner, &link.floor, &event.user, event.rev)?;
        if !(self.plan.mode == Mode::TwoOwners && self.checks.gone) {
            for (channel, state) in &event.channels {
                let place = (&event.user, channel, state);
                self.book
                    .state(owner, &link.floor, place, told.promises.is_some())?;
                let known = link.channels.get(channel);
                let before = known.map(|known| (known.era, known.cursor));
                let is_back = before.is_some_and(|before| (state.era, state.cursor) < before);
                if is_back && !self.book.is_reset(owner, &link.floor, &event.user, channel) {
                    return Err(format!(
                        "the cursor in {channel:?} went back from {before:?}"
                    ));
                }
            }
        }
        // As a device does it: the first event that holds everything counts, whatever its revision,
        // and of those after it the ones that are newer.
        if !link.whole && !event.all || link.whole && event.rev <= link.rev {
            return Ok(());
        }
        if event.all {
            link.channels.clear();
        }
        link.whole = true;
        link.rev = event.rev;
        link.damaged.clone_from(&event.damaged);
        // Without one, for damage, a device keeps the last.
        link.badge = event.badge.unwrap_or(link.badge);
        for (channel, state) in &event.channels {
            if state.member {
                link.channels.insert(channel.clone(), state.clone());
            } else {
                link.channels.remove(channel);
            }
        }
        Ok(())
    }

    /// Time passes until there is nothing more to tell.
    pub(super) fn settle_devices(&mut self) -> Result<(), String> {
        let wanted = if self.plan.store.read > 0 {
            QUIET_TICKS_AFTER_FAILURE
        } else {
            QUIET_TICKS
        };
        let mut quiet = 0;
        for _ in 0..TICKS_MAX {
            if self.devices.is_empty() || quiet == wanted {
                return Ok(());
            }
            let before = self.pushed;
            let now = self.now;
            for life in self.lives.iter_mut().flatten() {
                for core in 0..life.cores() {
                    life.tick(now, core);
                }
            }
            self.settle()?;
            let mut devices = self.devices.iter();
            let told = devices.all(|device| device.is_whole() || self.may_be_untold(&device.user));
            quiet = if told && self.pushed == before {
                quiet + 1
            } else {
                0
            };
        }
        Err("a device is not told everything, or there is no end to it".to_owned())
    }

    /// Nothing can be said of a user while a row of it is damaged.
    fn may_be_untold(&self, user: &UserKey) -> bool {
        self.damage().users.contains(user)
    }

    /// What a device knows is what whoever asks at rest is told.
    pub(super) fn check_devices(
        &mut self,
        owner: usize,
        question: &Request,
        came: &Result<Reply, Error>,
        model: &Model,
    ) -> Result<(), String> {
        for (at, device) in self.devices.iter().enumerate() {
            let Some(link) = device.link.as_ref().filter(|_| device.owner == owner) else {
                continue;
            };
            match (question, came) {
                (Request::Count { user, channels }, Ok(Reply::ReadStates(states)))
                    if *user == device.user =>
                {
                    self.totals.events_compared += 1;
                    for (channel, due) in channels.iter().zip(states) {
                        let timed = model.mute_ends(user, channel).is_some();
                        let due = Some(due).filter(|due| due.member);
                        let due = due.map(|due| timeless(due, timed));
                        let known = link.channels.get(channel);
                        let known = known.map(|known| timeless(known, timed));
                        if known != due {
                            return Err(format!(
                                "device {at} of {user:?} has another state of {channel:?}\n  \
                                 due  {due:?}\n  came {known:?}"
                            ));
                        }
                    }
                }
                // Beside damage, where not all can be counted at once.
                (
                    Request::State { user, .. },
                    Ok(Reply::State {
                        channels, damaged, ..
                    }),
                ) if *user == device.user => {
                    self.totals.events_compared += 1;
                    let timeless = |channel: &ChannelKey, state: &ReadState| {
                        let timed = model.mute_ends(user, channel).is_some();
                        (channel.clone(), timeless(state, timed))
                    };
                    let due = channels
                        .iter()
                        .map(|(channel, state)| timeless(channel, state));
                    let known = link.channels.iter();
                    let known = known.map(|(channel, state)| timeless(channel, state));
                    let (due, known): (Vec<_>, Vec<_>) = (due.collect(), known.collect());
                    if due != known || *damaged != link.damaged {
                        return Err(format!(
                            "device {at} of {user:?} has other states beside damage\n  \
                             due  {due:?}, without {damaged:?}\n  came {known:?}, without {:?}",
                            link.damaged
                        ));
                    }
                }
                (Request::Badge { user, space: None }, Ok(Reply::Badge(due)))
                    if *user == device.user =>
                {
                    let timed = workload::channels()
                        .iter()
                        .any(|channel| model.mute_ends(user, channel).is_some());
                    let (due, known) = (totals(due, timed), totals(&link.badge, timed));
                    if due != known {
                        return Err(format!(
                            "device {at} of {user:?} has another badge\n  due  {due:?}\n  came {known:?}"
                        ));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Without a mute that ends by itself, of which no event tells.
fn timeless(state: &ReadState, timed: bool) -> ReadState {
    let mut state = state.clone();
    if timed {
        state.muted = MuteLevel::None;
    }
    state
}

/// As [`timeless`], and without the revision, which rises for reasons that change no number.
fn totals(badge: &Badge, timed: bool) -> Badge {
    let mut badge = *badge;
    badge.rev = Clock::NEVER;
    if timed {
        badge.unmuted_unread = 0;
        badge.unmuted_mentions = 0;
        badge.unmuted_channels = 0;
    }
    badge
}
