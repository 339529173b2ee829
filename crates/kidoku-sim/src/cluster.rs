//! Runs real shards in one thread: mailboxes between them, loads answered from the facts they
//! emitted, and a seeded scheduler that picks what is delivered next.
//!
//! Between two shards messages stay in order; everything else may happen in any order. A load
//! sees at least the facts emitted before it was asked for, and perhaps some of the later ones.

use crate::backing::Backing;
use crate::random::Random;
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::effect::{Effects, Input, Load};
use kidoku_core::error::Error;
use kidoku_core::fact::Fact;
use kidoku_core::id::ShardId;
use kidoku_core::placement::Placement;
use kidoku_core::reply::{Event, Reply};
use kidoku_core::request::{Request, Ticket};
use kidoku_core::shard::{PeerMessage, Shard, ShardConfig, Stats};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

/// How a cluster is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// 1 to 4.
    pub shards: u16,
    /// What each shard may keep in memory; a small value evicts all the time.
    pub memory_bytes_max: usize,
    /// Decides the order of deliveries.
    pub seed: u64,
    /// Keeps a line of text for everything that happens.
    pub traced: bool,
}

/// Nothing is under way and a request has no answer, or there is no end of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck(pub String);

/// Deliveries and ticks after which a request counts as never answered.
const STEPS_PER_CALL_MAX: u32 = 20_000;
/// Ticks in which nothing else happens, after which a request counts as stuck.
const IDLE_TICKS_MAX: u32 = 50;

#[derive(Debug)]
struct Asked {
    load: Load,
    /// How many facts had been emitted when it was asked for.
    facts: usize,
}

/// Shards with everything between them.
#[derive(Debug)]
pub struct Cluster {
    config: ClusterConfig,
    placement: Placement,
    shards: Vec<Shard>,
    /// One queue for each ordered pair: sender, then receiver.
    mail: BTreeMap<(u16, u16), VecDeque<PeerMessage>>,
    loads: BTreeMap<u16, VecDeque<Asked>>,
    backing: Backing,
    /// What is wrong with a load; the call under way fails with it.
    broken: Option<String>,
    replies: BTreeMap<u64, Result<Reply, Error>>,
    pushes: Vec<(Ticket, Arc<Event>)>,
    random: Random,
    tickets: u64,
    trace: String,
}

/// What can be delivered next.
#[derive(Clone, Copy, Debug)]
enum Delivery {
    Mail(u16, u16),
    Load(u16),
}

impl Cluster {
    /// Empty shards over an empty store.
    pub fn new(config: ClusterConfig) -> Self {
        let mut cluster = Self {
            config,
            placement: Placement::new(config.shards),
            shards: Vec::new(),
            mail: BTreeMap::new(),
            loads: BTreeMap::new(),
            backing: Backing::new(config.seed),
            broken: None,
            replies: BTreeMap::new(),
            pushes: Vec::new(),
            random: Random::new(config.seed),
            tickets: 0,
            trace: String::new(),
        };
        cluster.start(true);
        cluster
    }

    fn start(&mut self, fresh: bool) {
        let clock_seen = self
            .facts()
            .iter()
            .map(latest_clock)
            .max()
            .unwrap_or_default();
        self.shards = self
            .placement
            .all()
            .map(|id| {
                Shard::new(ShardConfig {
                    id,
                    placement: self.placement,
                    hash_seed: self.config.seed,
                    memory_bytes_max: self.config.memory_bytes_max,
                    fresh,
                    clock_seen,
                    clock_owner: id,
                })
            })
            .collect();
    }

    /// Kills all shards and starts new ones on the facts; what was under way is lost.
    pub fn restart(&mut self) {
        self.mail.clear();
        self.loads.clear();
        self.replies.clear();
        self.backing.restart();
        self.note(|| "restart".to_owned());
        self.start(false);
    }

    /// Every fact emitted so far, in order.
    pub fn facts(&self) -> &[Fact] {
        self.backing.facts()
    }

    /// What happened, one line each; empty unless `traced`.
    pub fn trace(&self) -> &str {
        &self.trace
    }

    /// The events pushed since the last call.
    pub fn take_pushes(&mut self) -> Vec<(Ticket, Arc<Event>)> {
        std::mem::take(&mut self.pushes)
    }

    /// The counters of every shard.
    pub fn stats(&self) -> Vec<Stats> {
        self.shards.iter().map(Shard::stats).collect()
    }

    /// Asks, and delivers until the answer is there. Whatever else is under way then stays so.
    ///
    /// # Errors
    /// [`Stuck`] when no answer comes.
    pub fn call(&mut self, now: Millis, request: Request) -> Result<Result<Reply, Error>, Stuck> {
        let asked = format!("{request:?}");
        let ticket = self.start_call(now, request);
        self.finish_call(now, ticket)
            .map_err(|stuck| Stuck(format!("{asked}: {}", stuck.0)))
    }

    /// Hands a request to its owner and returns what [`Self::finish_call`] wants.
    pub fn start_call(&mut self, now: Millis, request: Request) -> u64 {
        self.tickets += 1;
        let id = self.tickets;
        let owner = request.owner(&self.placement);
        let ticket = Ticket {
            core: ShardId(0),
            id,
        };
        self.apply(now, owner, Input::Request { ticket, request });
        id
    }

    /// Delivers in random order until a call is answered.
    ///
    /// # Errors
    /// [`Stuck`] when no answer comes.
    pub fn finish_call(&mut self, now: Millis, ticket: u64) -> Result<Result<Reply, Error>, Stuck> {
        let mut idle_ticks = 0;
        for _ in 0..STEPS_PER_CALL_MAX {
            if let Some(reply) = self.replies.remove(&ticket) {
                return Ok(reply);
            }
            if let Some(text) = self.broken.take() {
                return Err(Stuck(text));
            }
            if self.step(now) {
                idle_ticks = 0;
            } else {
                idle_ticks += 1;
                self.tick(now);
            }
            if idle_ticks > IDLE_TICKS_MAX {
                return Err(Stuck(
                    "nothing is under way and there is no answer".to_owned(),
                ));
            }
        }
        Err(Stuck(format!(
            "no answer after {STEPS_PER_CALL_MAX} deliveries"
        )))
    }

    /// Delivers everything that is under way.
    ///
    /// # Errors
    /// [`Stuck`] when there is no end of it.
    pub fn drain(&mut self, now: Millis) -> Result<(), Stuck> {
        for _ in 0..STEPS_PER_CALL_MAX {
            if !self.step(now) {
                return Ok(());
            }
        }
        Err(Stuck("messages and loads never come to rest".to_owned()))
    }

    /// Lets time pass on every shard, which evicts and pushes.
    pub fn tick(&mut self, now: Millis) {
        for id in self.placement.all() {
            self.apply(now, id, Input::Tick);
        }
    }

    /// One delivery, or now and then a tick. False when nothing is under way.
    pub fn step(&mut self, now: Millis) -> bool {
        if self.random.chance(5) {
            let count = u64::from(self.placement.shards());
            let id = u16::try_from(self.random.below(count)).unwrap_or_default();
            self.apply(now, ShardId(id), Input::Tick);
        }
        let mail = self.mail.iter().filter(|(_, queue)| !queue.is_empty());
        let mut ready: Vec<Delivery> = mail
            .map(|(pair, _)| Delivery::Mail(pair.0, pair.1))
            .collect();
        let loads = self.loads.iter().filter(|(_, queue)| !queue.is_empty());
        ready.extend(loads.map(|(shard, _)| Delivery::Load(*shard)));
        match self.random.pick(&ready).copied() {
            Some(Delivery::Mail(from, to)) => {
                let message = self.mail.get_mut(&(from, to)).and_then(VecDeque::pop_front);
                if let Some(message) = message {
                    self.apply(
                        now,
                        ShardId(to),
                        Input::Peer {
                            from: ShardId(from),
                            message,
                        },
                    );
                }
                true
            }
            Some(Delivery::Load(shard)) => {
                self.answer_load(now, shard);
                true
            }
            None => false,
        }
    }

    fn answer_load(&mut self, now: Millis, shard: u16) {
        let Some(asked) = self.loads.get_mut(&shard).and_then(VecDeque::pop_front) else {
            return;
        };
        let data = match self.backing.load(&asked.load, asked.facts) {
            Ok(data) => Ok(data),
            Err(text) => {
                self.broken = Some(text);
                return;
            }
        };
        self.apply(
            now,
            ShardId(shard),
            Input::Loaded {
                load: asked.load,
                data,
            },
        );
    }

    fn apply(&mut self, now: Millis, id: ShardId, input: Input) {
        self.note(|| format!("{} {id:?} <- {input:?}", now.0));
        let Some(shard) = self.shards.get_mut(usize::from(id.0)) else {
            return;
        };
        let mut effects = Effects::default();
        shard.apply(now, input, &mut effects);
        if !effects.is_empty() {
            self.note(|| format!("{id:?} -> {effects:?}"));
        }
        self.backing.append(&mut effects.facts);
        for (to, message) in effects.messages {
            self.mail
                .entry((id.0, to.0))
                .or_default()
                .push_back(message);
        }
        for (ticket, reply) in effects.replies {
            self.replies.insert(ticket.id, reply);
        }
        self.pushes.append(&mut effects.pushes);
        let facts = self.facts().len();
        for load in effects.loads {
            self.loads
                .entry(id.0)
                .or_default()
                .push_back(Asked { load, facts });
        }
    }

    fn note(&mut self, line: impl Fn() -> String) {
        if self.config.traced {
            // Writing to a string never fails.
            writeln!(self.trace, "{}", line()).unwrap_or_default();
        }
    }
}

/// The highest clock in a fact: recovery starts clocks above it.
pub(crate) fn latest_clock(fact: &Fact) -> Clock {
    let inside = match fact {
        Fact::UserErased { clock, .. }
        | Fact::Role { clock, .. }
        | Fact::ChannelDropped { clock, .. }
        | Fact::Trim { clock, .. } => *clock,
        Fact::Floor { floor, .. } => floor
            .entries()
            .iter()
            .map(|entry| entry.clock)
            .max()
            .unwrap_or_default(),
        Fact::State { row, .. } => {
            let membership = row.membership.map(|membership| membership.clock);
            let preference = row.preference.map(|preference| preference.clock);
            row.cursor
                .era
                .max(membership.unwrap_or_default())
                .max(preference.unwrap_or_default())
        }
        Fact::Settings { settings, .. } => settings
            .space
            .clock
            .max(settings.parent.clock)
            .max(settings.receipts.clock),
        Fact::Mention { .. } | Fact::Own { .. } | Fact::Message { .. } | Fact::OpaqueId { .. } => {
            Clock::NEVER
        }
    };
    inside.max(fact.incarnation())
}
