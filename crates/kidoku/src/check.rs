//! Recounts every number of an app from its facts, without the index, and compares the answers.
//!
//! `naive` holds what is deliberately simple: sorted lists and sets, built from scanned facts by
//! the rules of the README and sharing no code with the shards. Here is what walks the facts, asks
//! the engine and judges. Reads go on while others write, so a difference is only called a mismatch
//! when it stands while the engine's own answer did not change around a second look.

mod naive;

#[cfg(test)]
mod tests;

use crate::engine::Engine;
use kidoku_core::error::Error;
use kidoku_core::fact::{Fact, Partition};
use kidoku_core::id::{App, ChannelKey, UserKey};
use kidoku_core::limits::CHANNELS_PER_COMMAND_MAX;
use kidoku_core::reply::Reply;
use kidoku_core::request::Request;
use kidoku_store::Skipped;
pub use naive::Numbers;
use naive::{Channels, User};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

/// Mismatches listed in a report; all are counted.
pub const MISMATCHES_LISTED_MAX: usize = 100;

/// Damaged users, channels and stretches listed in a report; all are counted.
pub const DAMAGED_LISTED_MAX: usize = 100;

/// Differences that get the second look; in a sound server there are none but those that writes
/// going on make, and these are few. What is over is counted as it stands.
const SUSPECTS_MAX: usize = 10_000;

/// Steps of simple work between two yields. A step is well below 100 ns, so that a slice stays far
/// below 1 ms.
const SLICE_STEPS: usize = 2_000;

/// Requests in flight.
const REQUESTS_MAX: usize = 64;

/// One read state whose stored facts and whose answer differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Who.
    #[serde(serialize_with = "user_name")]
    pub user: UserKey,
    /// Where.
    #[serde(serialize_with = "channel_name")]
    pub channel: ChannelKey,
    /// What the facts give.
    pub expected: Numbers,
    /// What the engine answers.
    pub answered: Numbers,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize)]
pub struct CheckReport {
    /// Users seen.
    pub users: u64,
    /// Channels seen.
    pub channels: u64,
    /// Read states of members, each compared.
    pub read_states: u64,
    /// Live messages seen.
    pub messages: u64,
    /// The first [`MISMATCHES_LISTED_MAX`] mismatches, in the order of users.
    pub mismatches: Vec<Mismatch>,
    /// All mismatches.
    pub mismatch_count: u64,
    /// Read states that changed while they were looked at, so that nothing can be said of them.
    pub unsettled: u64,
    /// The first [`DAMAGED_LISTED_MAX`] of what can not be read.
    pub damaged: Vec<DamagedOwner>,
    /// All of that.
    pub damaged_count: u64,
    /// Read states of sound users that need something damaged: not compared.
    pub damaged_states: u64,
}

/// Something that can not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DamagedOwner {
    /// `user`, `channel`, or `stretch` for all that lie between two places.
    pub kind: &'static str,
    /// Which one; of a stretch, from where to where.
    pub name: String,
    /// Which row.
    pub row: String,
}

impl From<Skipped> for DamagedOwner {
    fn from(skipped: Skipped) -> Self {
        match skipped {
            Skipped::Owner(damaged) => Self {
                kind: damaged.owner_kind(),
                name: damaged.owner_name().to_owned(),
                row: damaged.row.into(),
            },
            Skipped::Stretch { from, to } => Self {
                kind: "stretch",
                name: format!("from {from} to {to}"),
                row: "everything between".to_owned(),
            },
        }
    }
}

fn user_name<S: Serializer>(user: &UserKey, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(user.name())
}

fn channel_name<S: Serializer>(channel: &ChannelKey, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(channel.name())
}

/// Recounts all of an app. `progress` is called after each page of facts.
///
/// Memory: 8 bytes for each live countable message of the app, more for those that name a role or
/// everyone or that were edited, and one page of users.
///
/// # Errors
/// When the store can not be read, or the engine refuses to answer.
pub async fn check_app(
    engine: &Engine,
    app: App,
    progress: &(dyn Fn(&CheckReport) + Sync),
) -> Result<CheckReport, Error> {
    let mut walk = Walk {
        engine,
        app,
        progress,
        report: CheckReport::default(),
        holes: Holes::default(),
        steps: 0,
    };
    let channels = walk.channels(None).await?;
    walk.report.channels = channels.len();
    walk.report.messages = channels.messages();
    let suspects = walk.compare_all(&channels).await?;
    drop(channels);
    walk.look_again(suspects).await?;
    Ok(walk.report)
}

/// Which channels the recount does not have.
#[derive(Default)]
struct Holes {
    channels: BTreeSet<ChannelKey>,
    /// Others may be missing too.
    more: bool,
}

/// A read state whose first comparison failed.
type Place = (UserKey, ChannelKey);

struct Walk<'a> {
    engine: &'a Engine,
    app: App,
    progress: &'a (dyn Fn(&CheckReport) + Sync),
    report: CheckReport,
    holes: Holes,
    steps: usize,
}

impl Walk<'_> {
    /// Lets others run when the slice is used up.
    async fn step(&mut self, steps: usize) {
        self.steps += steps;
        if self.steps >= SLICE_STEPS {
            self.steps = 0;
            tokio::task::yield_now().await;
        }
    }

    /// All channels, or only some of them.
    async fn channels(&mut self, only: Option<&BTreeSet<ChannelKey>>) -> Result<Channels, Error> {
        let mut channels = Channels::default();
        let mut after = None;
        loop {
            let page = self.engine.scan(self.app.clone(), after).await?;
            if only.is_none() {
                self.note_skipped(page.skipped);
            }
            for fact in page.facts {
                let cost = match fact.partition() {
                    Partition::Channel(channel) => {
                        if only.is_none_or(|only| only.contains(&channel)) {
                            channels.take(channel, fact)
                        } else {
                            1
                        }
                    }
                    Partition::User(_) => 1,
                };
                self.step(cost).await;
            }
            (self.progress)(&self.report);
            after = page.next;
            if after.is_none() {
                return Ok(channels);
            }
        }
    }

    fn note_skipped(&mut self, skipped: Vec<Skipped>) {
        for skipped in skipped {
            match &skipped {
                Skipped::Owner(damaged) => {
                    if let Partition::Channel(channel) = &damaged.owner {
                        self.holes.channels.insert(channel.clone());
                    }
                }
                Skipped::Stretch { .. } => self.holes.more = true,
            }
            self.report.damaged_count += 1;
            if self.report.damaged.len() < DAMAGED_LISTED_MAX {
                self.report.damaged.push(skipped.into());
            }
        }
    }

    /// Of a channel that could not be read the engine may have all in memory, and a recount nothing.
    fn leave_holes_out(&mut self, channels: &Channels, expected: &mut Vec<(Place, Numbers)>) {
        let before = expected.len();
        expected.retain(|((_, channel), _)| {
            let may_be_missing = self.holes.more && !channels.knows(channel);
            !may_be_missing && !self.holes.channels.contains(channel)
        });
        let left_out = before - expected.len();
        self.report.damaged_states += u64::try_from(left_out).unwrap_or(u64::MAX);
    }

    /// Compares every member state once.
    async fn compare_all(&mut self, channels: &Channels) -> Result<Vec<Place>, Error> {
        let mut suspects = Vec::new();
        let mut after = None;
        loop {
            let page = self.engine.scan(self.app.clone(), after).await?;
            let users = self.users(page.facts, None).await;
            self.report.users += u64::try_from(users.len()).unwrap_or(u64::MAX);
            let mut expected = Vec::new();
            for (key, user) in &users {
                let counted = self.count_user(channels, key, user).await;
                expected.extend(counted);
            }
            self.leave_holes_out(channels, &mut expected);
            let answered = self.answers(&expected).await?;
            for ((place, expected), answered) in expected.into_iter().zip(answered) {
                let Some(answered) = answered else {
                    self.report.damaged_states += 1;
                    continue;
                };
                self.report.read_states += 1;
                if expected == answered {
                    continue;
                }
                if suspects.len() < SUSPECTS_MAX {
                    suspects.push(place);
                } else {
                    self.report.mismatch_count += 1;
                }
            }
            (self.progress)(&self.report);
            after = page.next;
            if after.is_none() {
                return Ok(suspects);
            }
        }
    }

    /// The users of a page, or only some of them.
    async fn users(
        &mut self,
        facts: Vec<Fact>,
        only: Option<&BTreeSet<UserKey>>,
    ) -> BTreeMap<UserKey, User> {
        let mut users: BTreeMap<UserKey, User> = BTreeMap::new();
        for fact in facts {
            if let Partition::User(user) = fact.partition()
                && only.is_none_or(|only| only.contains(&user))
            {
                users.entry(user).or_default().take(fact);
            }
            self.step(1).await;
        }
        users
    }

    /// What the facts give for each channel the user is a member of.
    async fn count_user(
        &mut self,
        channels: &Channels,
        key: &UserKey,
        user: &User,
    ) -> Vec<(Place, Numbers)> {
        let mut counted = Vec::new();
        for channel in user.member_of() {
            let (numbers, cost) = channels.count(key, user, channel);
            counted.push(((key.clone(), channel.clone()), numbers));
            self.step(cost).await;
        }
        counted
    }

    /// What the engine answers for the same places; `None` = something it needs is damaged.
    async fn answers(&mut self, asked: &[(Place, Numbers)]) -> Result<Vec<Option<Numbers>>, Error> {
        let mut answers = Vec::with_capacity(asked.len());
        let mut requests = Vec::new();
        for run in asked.chunk_by(|left, right| left.0.0 == right.0.0) {
            for part in run.chunks(CHANNELS_PER_COMMAND_MAX) {
                let Some(((user, _), _)) = part.first() else {
                    continue;
                };
                let channels = part
                    .iter()
                    .map(|((_, channel), _)| channel.clone())
                    .collect();
                requests.push((user.clone(), channels));
                if requests.len() == REQUESTS_MAX {
                    self.ask(mem::take(&mut requests), &mut answers).await?;
                }
            }
        }
        self.ask(requests, &mut answers).await?;
        if answers.len() == asked.len() {
            Ok(answers)
        } else {
            Err(Error::Storage)
        }
    }

    async fn ask(
        &self,
        asked: Vec<(UserKey, Vec<ChannelKey>)>,
        to: &mut Vec<Option<Numbers>>,
    ) -> Result<(), Error> {
        let requests: Vec<Request> = asked
            .iter()
            .map(|(user, channels)| Request::Count {
                user: user.clone(),
                channels: channels.clone(),
            })
            .collect();
        if requests.is_empty() {
            return Ok(());
        }
        let replies = self.engine.call_many(requests).await;
        for ((user, channels), reply) in asked.into_iter().zip(replies) {
            match reply {
                Ok(reply) => take_numbers(&reply, to),
                Err(Error::Damaged(_)) => self.ask_each(&user, channels, to).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Asks for channels one by one, as one of them is damaged.
    async fn ask_each(
        &self,
        user: &UserKey,
        channels: Vec<ChannelKey>,
        to: &mut Vec<Option<Numbers>>,
    ) -> Result<(), Error> {
        for channel in channels {
            let request = Request::Count {
                user: user.clone(),
                channels: vec![channel],
            };
            match self.engine.call(request).await {
                Ok(reply) => take_numbers(&reply, to),
                Err(Error::Damaged(_)) => to.push(None),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Judges the suspects: the answer before, the facts again, the answer after. Only when both
    /// answers agree and the facts between them do not is something wrong.
    async fn look_again(&mut self, suspects: Vec<Place>) -> Result<(), Error> {
        if suspects.is_empty() {
            return Ok(());
        }
        let asked: Vec<(Place, Numbers)> = suspects
            .into_iter()
            .map(|place| (place, Numbers::default()))
            .collect();
        let before = self.answers(&asked).await?;
        let expected = self.recount(&asked).await?;
        let after = self.answers(&asked).await?;
        for (((place, _), before), after) in asked.into_iter().zip(before).zip(after) {
            let (Some(before), Some(after)) = (before, after) else {
                self.report.damaged_states += 1;
                continue;
            };
            // No entry: the user has left the channel meanwhile, and a non-member's numbers are 0.
            let expected = expected.get(&place).copied().unwrap_or_default();
            if before != after {
                self.report.unsettled += 1;
            } else if expected != after {
                self.report.mismatch_count += 1;
                if self.report.mismatches.len() < MISMATCHES_LISTED_MAX {
                    let (user, channel) = place;
                    let found = Mismatch {
                        user,
                        channel,
                        expected,
                        answered: after,
                    };
                    self.report.mismatches.push(found);
                }
            }
        }
        Ok(())
    }

    async fn recount(
        &mut self,
        asked: &[(Place, Numbers)],
    ) -> Result<BTreeMap<Place, Numbers>, Error> {
        let wanted: BTreeSet<&Place> = asked.iter().map(|(place, _)| place).collect();
        let users: BTreeSet<UserKey> = wanted.iter().map(|(user, _)| user.clone()).collect();
        let only: BTreeSet<ChannelKey> =
            wanted.iter().map(|(_, channel)| channel.clone()).collect();
        let channels = self.channels(Some(&only)).await?;
        let mut counted = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.engine.scan(self.app.clone(), after).await?;
            for (key, user) in self.users(page.facts, Some(&users)).await {
                let all = self.count_user(&channels, &key, &user).await;
                counted.extend(all.into_iter().filter(|(place, _)| wanted.contains(place)));
            }
            after = page.next;
            if after.is_none() {
                return Ok(counted);
            }
        }
    }
}

fn take_numbers(reply: &Reply, to: &mut Vec<Option<Numbers>>) {
    if let Reply::ReadStates(states) = reply {
        to.extend(states.iter().map(|state| {
            Some(Numbers {
                unread: state.unread,
                mentions: state.mentions,
            })
        }));
    }
}
