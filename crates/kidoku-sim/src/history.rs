//! Runs a history on the shards and on the model side by side, and says where they part.

use crate::cluster::{Cluster, ClusterConfig, Stuck};
use crate::model::Model;
use crate::random::Random;
use crate::workload::{self, EraPick, Op, Step};
use kidoku_core::clock::{Clock, Millis};
use kidoku_core::error::Error;
use kidoku_core::fact::{Era, MuteLevel};
use kidoku_core::id::{ChannelKey, Name, NameKind, UserKey};
use kidoku_core::reply::{Badge, ReadState, Reply};
use kidoku_core::request::{Page, Request};
use std::collections::BTreeMap;

/// Where the shards and the model part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which step; the number of steps stands for the recount at the end.
    pub step: usize,
    /// What was asked, what was due and what came.
    pub text: String,
}

/// A reply, or why there is none.
pub type Answer = Result<Reply, Error>;

/// What a device of a user knows.
#[derive(Clone, Debug, Default)]
struct Mirror {
    rev: Option<Clock>,
    channels: BTreeMap<ChannelKey, ReadState>,
}

/// A history under way.
#[derive(Debug)]
pub struct Run {
    cluster: Cluster,
    model: Model,
    now: Millis,
    /// The highest wall time so far.
    latest: Millis,
    /// Wall time does not go back beyond the last restart: what is not stored, like revisions,
    /// rises over a restart only with it.
    earliest: Millis,
    /// The clock of each era by the model's ordinal.
    eras: BTreeMap<u64, Era>,
    /// The ordinals of the eras that each user's mark unreads have opened.
    made: BTreeMap<UserKey, Vec<u64>>,
    mirrors: BTreeMap<UserKey, Mirror>,
    /// The latest badge of each user.
    badges: BTreeMap<UserKey, Badge>,
    revs: BTreeMap<UserKey, Clock>,
    random: Random,
}

/// Message ids asked about in a recount, of each channel.
const RECOUNTED_IDS: usize = 6;
/// Pages after which a listing counts as endless.
const PAGES_MAX: usize = 1_000;

impl Run {
    /// Nothing has happened yet.
    pub fn new(config: ClusterConfig) -> Self {
        Self {
            cluster: Cluster::new(config),
            model: Model::new(),
            now: Millis(0),
            latest: Millis(0),
            earliest: Millis(0),
            eras: BTreeMap::from([(0, Clock::NEVER)]),
            made: BTreeMap::new(),
            mirrors: BTreeMap::new(),
            badges: BTreeMap::new(),
            revs: BTreeMap::new(),
            random: Random::new(config.seed),
        }
    }

    /// The shards.
    pub fn cluster(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// Does the steps, and then recounts everything before and after a restart.
    ///
    /// # Errors
    /// The first difference.
    pub fn history(&mut self, steps: &[Step]) -> Result<(), Failure> {
        for (at, step) in steps.iter().enumerate() {
            self.step(step).map_err(|text| Failure { step: at, text })?;
        }
        let end = |text| Failure {
            step: steps.len(),
            text,
        };
        self.recount()
            .map_err(|text| end(format!("in the recount: {text}")))?;
        self.restart();
        self.recount()
            .map_err(|text| end(format!("in the recount after a restart: {text}")))
    }

    /// Asks both, at a wall time, and gives their common answer. An era in `request` is an ordinal:
    /// mark unreads and ack-alls are numbered from 1 on.
    ///
    /// # Errors
    /// The difference.
    pub fn check(&mut self, now: Millis, request: &Request) -> Result<Answer, String> {
        self.now = now.max(self.earliest);
        self.latest = self.latest.max(self.now);
        self.ask(request)
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        self.now = step.now.max(self.earliest);
        self.latest = self.latest.max(self.now);
        match &step.op {
            Op::Ask(request) => self.ask(request).map(|_| ()),
            Op::AckIn {
                user,
                channel,
                id,
                pick,
                private,
                count,
            } => {
                let era = Some(Clock(self.ordinal(user, *pick)));
                self.ask(&Request::Ack {
                    user: user.clone(),
                    channel: channel.clone(),
                    id: *id,
                    era,
                    private: *private,
                    count: *count,
                })
                .map(|_| ())
            }
            Op::Sync { user, limit } => self.sync(user, *limit),
            Op::Settle => {
                self.cluster.drain(self.now).map_err(|Stuck(text)| text)?;
                self.cluster.tick(self.now);
                Ok(())
            }
            Op::Restart => {
                self.restart();
                Ok(())
            }
        }
    }

    fn restart(&mut self) {
        self.cluster.restart();
        self.latest = Millis(self.latest.0 + 1);
        self.earliest = self.latest;
        self.now = self.latest;
    }

    fn ordinal(&self, user: &UserKey, pick: EraPick) -> u64 {
        match pick {
            EraPick::First => 0,
            EraPick::Made(n) => self
                .made
                .get(user)
                .and_then(|made| made.get(n))
                .copied()
                .unwrap_or_default(),
        }
    }

    fn call(&mut self, request: Request) -> Result<Answer, String> {
        self.cluster
            .call(self.now, request)
            .map_err(|Stuck(text)| text)
    }

    /// Asks both and compares; eras in `request` are ordinals.
    fn ask(&mut self, request: &Request) -> Result<Answer, String> {
        let due = self.model.apply(self.now, request);
        let mut real = request.clone();
        if let Request::Ack { era: Some(era), .. } = &mut real {
            *era = self.eras.get(&era.0).copied().unwrap_or_default();
        }
        let came = self.call(real)?;
        if let Request::MarkUnread { user, .. } = request {
            self.bind(user, &came)?;
        }
        if let Request::Erase { user } = request {
            self.mirrors.remove(user);
        }
        if let Some(due) = due {
            let due = self.translate(due, &came);
            if due != came {
                return Err(format!("{request:?}{}", difference(&due, &came)));
            }
        }
        self.check_rev(request, &came)?;
        Ok(came)
    }

    /// Notes the clock of the era that a mark unread has opened.
    fn bind(&mut self, user: &UserKey, came: &Answer) -> Result<(), String> {
        let Ok(Reply::ReadState(state)) = came else {
            return Err(format!("a mark unread answered {came:?}"));
        };
        let made = self.made.entry(user.clone()).or_default();
        let latest = made
            .last()
            .and_then(|ordinal| self.eras.get(ordinal))
            .copied();
        if state.era <= latest.unwrap_or_default() {
            return Err(format!(
                "{user:?}: era {:?} is not above {latest:?}",
                state.era
            ));
        }
        let ordinal = self.model.last_ordinal().0;
        made.push(ordinal);
        self.eras.insert(ordinal, state.era);
        Ok(())
    }

    fn translate_state(&self, state: &mut ReadState) {
        state.era = self.eras.get(&state.era.0).copied().unwrap_or_default();
    }

    /// Turns the model's answer into what shards say: eras by their clocks, and what is not
    /// modelled as it came.
    fn translate(&self, due: Answer, came: &Answer) -> Answer {
        let mut due = due?;
        match (&mut due, came) {
            (Reply::ReadState(state), _) => self.translate_state(state),
            (Reply::ReadStates(states), _) => {
                states
                    .iter_mut()
                    .for_each(|state| self.translate_state(state));
            }
            (Reply::State { rev, channels, .. }, came) => {
                channels
                    .iter_mut()
                    .for_each(|(_, state)| self.translate_state(state));
                if let Ok(Reply::State { rev: real, .. }) = came {
                    *rev = *real;
                }
            }
            (Reply::Badge(badge), Ok(Reply::Badge(real))) => badge.rev = real.rev,
            (Reply::Explanation(due), Ok(Reply::Explanation(real))) => {
                self.translate_state(&mut due.state);
                due.set_at = real.set_at;
                if !due.state.member {
                    due.line = real.line;
                    due.part = real.part;
                    due.floor = real.floor;
                    due.join = real.join;
                    due.trim = real.trim;
                }
            }
            (
                Reply::Erased {
                    clock,
                    channels,
                    mentions,
                    messages,
                },
                Ok(Reply::Erased {
                    clock: real_clock,
                    channels: real_channels,
                    mentions: real_mentions,
                    messages: real_messages,
                }),
            ) => {
                *clock = *real_clock;
                *mentions = *real_mentions;
                *messages = *real_messages;
                // Rows of mentions only, and what a drop leaves behind, may be counted or not.
                *channels = (*channels).max(*real_channels);
            }
            _ => {}
        }
        Ok(due)
    }

    /// A revision never goes back, and two different badges never have the same one.
    fn check_rev(&mut self, request: &Request, came: &Answer) -> Result<(), String> {
        let (user, rev, badge) = match (request, came) {
            (Request::Badge { user, space: None }, Ok(Reply::Badge(badge))) => {
                (user, badge.rev, Some(**badge))
            }
            (
                Request::Badge { user, .. } | Request::AckAll { user, .. },
                Ok(Reply::Badge(badge)),
            ) => (user, badge.rev, None),
            // A part of the channels may have an earlier revision than all of them.
            (
                Request::State {
                    user,
                    page: Page { after: None, .. },
                    ..
                },
                Ok(Reply::State {
                    rev, next: None, ..
                }),
            ) => (user, *rev, None),
            _ => return Ok(()),
        };
        let known = self.revs.entry(user.clone()).or_default();
        if rev < *known {
            return Err(format!(
                "{request:?}: the rev went back from {known:?} to {rev:?}"
            ));
        }
        *known = rev;
        let Some(badge) = badge else { return Ok(()) };
        let before = self.badges.insert(user.clone(), badge);
        let timed = workload::channels()
            .iter()
            .any(|channel| self.model.mute_ends(user, channel).is_some());
        match before {
            Some(before) if before.rev == rev && before != badge && !timed => {
                Err(format!("{user:?}: {before:?} and {badge:?} have one rev"))
            }
            _ => Ok(()),
        }
    }

    /// A device takes what changed and must then know what a full listing says.
    fn sync(&mut self, user: &UserKey, limit: usize) -> Result<(), String> {
        let mut mirror = self.mirrors.remove(user).unwrap_or_default();
        let since = mirror.rev;
        let mut after: Option<Name> = None;
        for page in 0..=PAGES_MAX {
            let request = Request::State {
                user: user.clone(),
                since,
                page: Page {
                    limit,
                    after: after.take(),
                },
            };
            let came = self.call(request.clone())?;
            self.check_rev(&request, &came)?;
            let Ok(Reply::State {
                rev,
                channels,
                next,
                ..
            }) = came
            else {
                return Err(format!("{request:?} answered {came:?}"));
            };
            if channels.len() > limit || page == PAGES_MAX {
                return Err(format!(
                    "{request:?}: too much: {channels:?}, next {next:?}"
                ));
            }
            if page == 0 {
                mirror.rev = Some(rev);
            }
            for (channel, state) in channels {
                if state.member {
                    mirror.channels.insert(channel, state);
                } else {
                    mirror.channels.remove(&channel);
                }
            }
            after = next;
            if after.is_none() {
                break;
            }
        }
        let page = Page {
            limit: 10_000,
            after: None,
        };
        let came = self.ask(&Request::State {
            user: user.clone(),
            since: None,
            page,
        })?;
        let Ok(Reply::State { channels, .. }) = came else {
            return Err(format!("a full state answered {came:?}"));
        };
        let full: BTreeMap<ChannelKey, ReadState> = channels.into_iter().collect();
        if self.timeless(user, &mirror.channels) != self.timeless(user, &full) {
            let as_reply = |channels: BTreeMap<ChannelKey, ReadState>| {
                Ok(Reply::State {
                    rev: Clock::NEVER,
                    channels: channels.into_iter().collect(),
                    damaged: Vec::new(),
                    next: None,
                })
            };
            let difference = difference(&as_reply(full), &as_reply(mirror.channels));
            return Err(format!("sync of {user:?} since {since:?}{difference}"));
        }
        self.mirrors.insert(user.clone(), mirror);
        Ok(())
    }

    /// Without mutes that end by themselves, of which no revision tells.
    fn timeless(
        &self,
        user: &UserKey,
        channels: &BTreeMap<ChannelKey, ReadState>,
    ) -> BTreeMap<ChannelKey, ReadState> {
        let mut channels = channels.clone();
        for (channel, state) in &mut channels {
            if self.model.mute_ends(user, channel).is_some() {
                state.muted = MuteLevel::None;
            }
        }
        channels
    }

    /// Every number, and the receipts of some messages.
    fn recount(&mut self) -> Result<(), String> {
        for request in self.questions() {
            self.ask(&request).map(|_| ())?;
        }
        Ok(())
    }

    fn questions(&mut self) -> Vec<Request> {
        let mut questions = Vec::new();
        for user in workload::users() {
            let channels = workload::channels();
            questions.push(Request::Count {
                user: user.clone(),
                channels,
            });
            let spaces = [None, Some("s0"), Some("s1")];
            for space in spaces {
                let space = space.map(|space| workload::name(NameKind::Space, space));
                questions.push(Request::Badge {
                    user: user.clone(),
                    space,
                });
            }
            let page = Page::default();
            questions.push(Request::State {
                user: user.clone(),
                since: None,
                page,
            });
            if let Some(channel) = self.random.pick(&workload::channels()).cloned() {
                questions.push(Request::Explain {
                    user,
                    channel,
                    page: Page::default(),
                });
            }
        }
        for channel in workload::channels() {
            let ids = self.model.ids(&channel);
            for _ in 0..RECOUNTED_IDS {
                let drawn = self.random.pick(&ids).copied();
                let id = drawn.unwrap_or_else(|| workload::id(1));
                let list = self.random.chance(50).then(Page::default);
                questions.push(Request::Seen {
                    channel: channel.clone(),
                    id,
                    list,
                });
            }
        }
        questions
    }

    /// Gives the facts of this history to fresh shards, in another order and some of them twice,
    /// and compares every number.
    ///
    /// # Errors
    /// The first difference.
    pub fn check_any_order(&mut self, config: ClusterConfig) -> Result<(), String> {
        let mut facts = self.cluster.facts().to_vec();
        for fact in self.cluster.facts() {
            if self.random.chance(20) {
                facts.push(fact.clone());
            }
        }
        self.random.shuffle(&mut facts);
        let mut other = Cluster::new(config);
        for fact in &facts {
            let request = Request::Merge { fact: fact.clone() };
            let came = other.call(self.now, request).map_err(|Stuck(text)| text)?;
            if !matches!(came, Ok(Reply::Number(0 | 1))) {
                return Err(format!("a merge of {fact:?} answered {came:?}"));
            }
        }
        for request in self.questions() {
            let due = self.call(request.clone())?;
            let came = other
                .call(self.now, request.clone())
                .map_err(|Stuck(text)| text)?;
            if without_rev(due.clone()) != without_rev(came.clone()) {
                let difference = difference(&due, &came);
                return Err(format!("merged in another order: {request:?}{difference}"));
            }
        }
        Ok(())
    }
}

/// Two answers, of lists only the entries that differ.
pub(crate) fn difference(due: &Answer, came: &Answer) -> String {
    let (mut due, mut came) = (due.clone(), came.clone());
    match (&mut due, &mut came) {
        (Ok(Reply::ReadStates(due)), Ok(Reply::ReadStates(came))) if due.len() == came.len() => {
            let pairs = due.iter().zip(came.iter()).map(|(due, came)| due == came);
            let same: Vec<bool> = pairs.collect();
            let mut flags = same.iter();
            due.retain(|_| flags.next() == Some(&false));
            let mut flags = same.iter();
            came.retain(|_| flags.next() == Some(&false));
        }
        (Ok(Reply::State { channels: due, .. }), Ok(Reply::State { channels: came, .. })) => {
            let all = due.clone();
            due.retain(|entry| !came.contains(entry));
            came.retain(|entry| !all.contains(entry));
        }
        _ => {}
    }
    format!("\n  due  {due:?}\n  came {came:?}")
}

/// Revisions are for synchronizing with one server, so two servers may differ in them.
fn without_rev(answer: Answer) -> Answer {
    let mut reply = answer?;
    match &mut reply {
        Reply::Badge(badge) => badge.rev = Clock::NEVER,
        Reply::State { rev, .. } => *rev = Clock::NEVER,
        _ => {}
    }
    Ok(reply)
}
