//! Many callers at once, and devices that watch: what is in memory, what is in the store and what
//! devices were told come to be the same.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test"
)]

use kidoku_core::clock::{Clock, Millis};
use kidoku_core::error::Error;
use kidoku_core::id::{ChannelKey, ShardId, UserKey};
use kidoku_core::reply::{Badge, ReadState, Reply};
use kidoku_core::request::{Page, Request, Ticket};
use kidoku_sim::cluster::{Cluster, ClusterConfig};
use kidoku_sim::random::Random;
use kidoku_sim::shrink::shrink;
use kidoku_sim::workload::{Op, Step, channels, history, users};
use std::collections::BTreeMap;

const SEEDS: u64 = 1_000;
const OPS: usize = 60;
const SHRINK_TRIES_MAX: u32 = 1_500;
/// Later than everything in a history, so that no mute ends while numbers are compared.
const END: Millis = Millis(2_000_000);

fn config(seed: u64) -> ClusterConfig {
    let mut random = Random::new(!seed);
    let shards = u16::try_from(1 + random.below(4)).unwrap();
    let memory_bytes_max = *random.pick(&[1, 2_000, 20_000, 1 << 30]).unwrap();
    ClusterConfig {
        shards,
        memory_bytes_max,
        seed,
        traced: false,
    }
}

/// The requests of a history, but for those that name an era or restart the shards.
fn requests(steps: &[Step]) -> Vec<(Millis, Request)> {
    let requests = steps.iter().filter_map(|step| match &step.op {
        Op::Ask(request) => Some((step.now, request.clone())),
        Op::AckIn { .. } | Op::Sync { .. } | Op::Settle | Op::Restart => None,
    });
    requests.collect()
}

fn questions() -> Vec<Request> {
    let mut questions = Vec::new();
    for user in users() {
        let page = Page::default();
        questions.push(Request::Count {
            user: user.clone(),
            channels: channels(),
        });
        questions.push(Request::State {
            user: user.clone(),
            since: None,
            page,
        });
        questions.push(Request::Badge { user, space: None });
    }
    for channel in channels() {
        for n in 1..=12 {
            let id = kidoku_sim::workload::id(n);
            questions.push(Request::Seen {
                channel: channel.clone(),
                id,
                list: Some(Page::default()),
            });
        }
    }
    questions
}

fn without_rev(answer: Result<Reply, Error>) -> Result<Reply, Error> {
    let mut reply = answer?;
    match &mut reply {
        Reply::Badge(badge) => badge.rev = Clock::NEVER,
        Reply::State { rev, .. } => *rev = Clock::NEVER,
        _ => {}
    }
    Ok(reply)
}

fn settle(cluster: &mut Cluster, now: Millis) -> Result<(), String> {
    for _ in 0..20 {
        cluster.drain(now).map_err(|stuck| stuck.0)?;
        cluster.tick(now);
    }
    cluster.drain(now).map_err(|stuck| stuck.0)
}

/// Up to eight requests under way at once; then memory must say what the store says.
fn many_at_once(config: ClusterConfig, steps: &[Step]) -> Result<(), String> {
    let mut random = Random::new(config.seed);
    let mut cluster = Cluster::new(config);
    let mut open = Vec::new();
    for (now, request) in requests(steps) {
        open.push(cluster.start_call(now, request));
        for _ in 0..random.below(6) {
            cluster.step(now);
        }
        if open.len() >= 8 {
            for ticket in open.drain(..) {
                cluster
                    .finish_call(now, ticket)
                    .map_err(|stuck| stuck.0)?
                    .ok();
            }
        }
    }
    for ticket in open {
        cluster
            .finish_call(END, ticket)
            .map_err(|stuck| stuck.0)?
            .ok();
    }
    settle(&mut cluster, END)?;
    let mut before = Vec::new();
    for question in questions() {
        before.push(cluster.call(END, question).map_err(|stuck| stuck.0)?);
    }
    cluster.restart();
    for (question, before) in questions().into_iter().zip(before) {
        let after = cluster
            .call(END, question.clone())
            .map_err(|stuck| stuck.0)?;
        let (before, after) = (without_rev(before), without_rev(after));
        if before != after {
            return Err(format!(
                "{question:?}\n  memory {before:?}\n  store  {after:?}"
            ));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Device {
    rev: Clock,
    channels: BTreeMap<ChannelKey, ReadState>,
    badge: Badge,
}

fn deliver(cluster: &mut Cluster, devices: &mut BTreeMap<UserKey, Device>) {
    for (_, event) in cluster.take_pushes() {
        let device = devices.entry(event.user.clone()).or_default();
        if event.rev <= device.rev {
            continue;
        }
        device.rev = event.rev;
        device.badge = event.badge.unwrap();
        if event.all {
            device.channels.clear();
        }
        for (channel, state) in &event.channels {
            device.channels.insert(channel.clone(), state.clone());
        }
    }
}

/// A device of each user watches from the start, drops what is not newer, and must end up with
/// what a question answers.
fn devices(config: ClusterConfig, steps: &[Step]) -> Result<(), String> {
    let mut cluster = Cluster::new(config);
    let mut devices = BTreeMap::new();
    for (n, user) in (1..).zip(users()) {
        let watcher = Ticket {
            core: ShardId(0),
            id: n,
        };
        let request = Request::Watch { user, watcher };
        cluster
            .call(Millis(1), request)
            .map_err(|stuck| stuck.0)?
            .expect("a watch is OK");
    }
    for (now, request) in requests(steps) {
        // Mutes that end by themselves are seen when asked, not pushed at their end.
        if matches!(&request, Request::Mute { until, .. } if until.0 != 0) {
            continue;
        }
        cluster.call(now, request).map_err(|stuck| stuck.0)?.ok();
        deliver(&mut cluster, &mut devices);
    }
    settle(&mut cluster, END)?;
    deliver(&mut cluster, &mut devices);
    for user in users() {
        let device = devices.remove(&user).unwrap_or_default();
        let page = Page::default();
        let full = Request::State {
            user: user.clone(),
            since: None,
            page,
        };
        let Ok(Reply::State { channels, .. }) = cluster.call(END, full).map_err(|stuck| stuck.0)?
        else {
            return Err("no state".to_owned());
        };
        let due: BTreeMap<ChannelKey, ReadState> = channels.into_iter().collect();
        let mut told = device.channels;
        told.retain(|_, state| state.member);
        if told != due {
            let due: Vec<_> = due
                .iter()
                .filter(|(at, state)| told.get(*at) != Some(state))
                .collect();
            return Err(format!("{user:?}\n  due  {due:?}\n  told {told:?}"));
        }
        let badge = Request::Badge {
            user: user.clone(),
            space: None,
        };
        let Ok(Reply::Badge(due)) = cluster.call(END, badge).map_err(|stuck| stuck.0)? else {
            return Err("no badge".to_owned());
        };
        let due = Badge {
            rev: device.badge.rev,
            ..*due
        };
        if due != device.badge {
            return Err(format!(
                "{user:?}\n  due  {due:?}\n  told {:?}",
                device.badge
            ));
        }
    }
    Ok(())
}

fn check(check: fn(ClusterConfig, &[Step]) -> Result<(), String>) {
    let fails: Vec<u64> = (0..SEEDS)
        .filter(|seed| check(config(*seed), &history(*seed, OPS)).is_err())
        .collect();
    let Some(seed) = fails.first().copied() else {
        return;
    };
    let steps = shrink(&history(seed, OPS), SHRINK_TRIES_MAX, |steps| {
        check(config(seed), steps).is_err()
    });
    let list: String = steps.iter().map(|step| format!("  {step:?}\n")).collect();
    let text = check(config(seed), &steps).unwrap_err();
    panic!(
        "{} of {SEEDS} seeds fail\nseed {seed} {:?}\n{list}{text}",
        fails.len(),
        config(seed)
    );
}

#[test]
fn after_many_callers_at_once_memory_says_what_the_store_says() {
    check(many_at_once);
}

#[test]
fn a_watching_device_ends_up_with_what_a_question_answers() {
    check(devices);
}
