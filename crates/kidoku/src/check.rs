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
pub use naive::Numbers;
use naive::{Channels, User};
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::mem;

/// Mismatches listed in a report; all are counted.
pub const MISMATCHES_LISTED_MAX: usize = 100;

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

/// A read state whose first comparison failed.
type Place = (UserKey, ChannelKey);

struct Walk<'a> {
    engine: &'a Engine,
    app: App,
    progress: &'a (dyn Fn(&CheckReport) + Sync),
    report: CheckReport,
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
            let (facts, next) = self.engine.scan(self.app.clone(), after).await?;
            for fact in facts {
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
            after = next;
            if after.is_none() {
                return Ok(channels);
            }
        }
    }

    /// Compares every member state once.
    async fn compare_all(&mut self, channels: &Channels) -> Result<Vec<Place>, Error> {
        let mut suspects = Vec::new();
        let mut after = None;
        loop {
            let (facts, next) = self.engine.scan(self.app.clone(), after).await?;
            let users = self.users(facts, None).await;
            self.report.users += u64::try_from(users.len()).unwrap_or(u64::MAX);
            let mut expected = Vec::new();
            for (key, user) in &users {
                let counted = self.count_user(channels, key, user).await;
                expected.extend(counted);
            }
            self.report.read_states += u64::try_from(expected.len()).unwrap_or(u64::MAX);
            let answered = self.answers(&expected).await?;
            for ((place, expected), answered) in expected.into_iter().zip(answered) {
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
            after = next;
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

    /// What the engine answers for the same places.
    async fn answers(&mut self, asked: &[(Place, Numbers)]) -> Result<Vec<Numbers>, Error> {
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
                requests.push(Request::Count {
                    user: user.clone(),
                    channels,
                });
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

    async fn ask(&self, requests: Vec<Request>, to: &mut Vec<Numbers>) -> Result<(), Error> {
        if requests.is_empty() {
            return Ok(());
        }
        for reply in self.engine.call_many(requests).await {
            if let Reply::ReadStates(states) = reply? {
                let numbers = |state: &kidoku_core::reply::ReadState| Numbers {
                    unread: state.unread,
                    mentions: state.mentions,
                };
                to.extend(states.iter().map(numbers));
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
            let (facts, next) = self.engine.scan(self.app.clone(), after).await?;
            for (key, user) in self.users(facts, Some(&users)).await {
                let all = self.count_user(&channels, &key, &user).await;
                counted.extend(all.into_iter().filter(|(place, _)| wanted.contains(place)));
            }
            after = next;
            if after.is_none() {
                return Ok(counted);
            }
        }
    }
}
