//! A refusal does the same work whatever it is about: as many requests of shards, loads from the store
//! and messages between shards. Unlike a clock, this is the same on every machine.

use super::Scene;
use kidoku_torture::web::Web;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

/// Users and channels that are asked for.
const NAMES: usize = 100;

/// What is counted of the server's work.
const COUNTED: [&str; 5] = [
    "kidoku_requests_total",
    "kidoku_loads_total",
    "kidoku_peer_messages_total",
    "kidoku_facts_total",
    "kidoku_log_written_bytes_total",
];

fn counts(scene: &Scene) -> BTreeMap<&'static str, u64> {
    let text = Web::new(scene.server.admin_address()).get("/metrics").body;
    let count = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let line = line.unwrap_or_else(|| panic!("no {name} in the metrics"));
        line.trim().parse().unwrap()
    };
    COUNTED.iter().map(|name| (*name, count(name))).collect()
}

/// The same once nothing is under way any more.
fn settled(scene: &Scene) -> BTreeMap<&'static str, u64> {
    let mut before = counts(scene);
    loop {
        sleep(Duration::from_millis(200));
        let now = counts(scene);
        if now == before {
            return now;
        }
        before = now;
    }
}

/// What it costs app `mail` to ask for users and channels, when app `chat` has such with this prefix.
fn work(prefix: &str) -> BTreeMap<&'static str, u64> {
    let scene = Scene::new();
    let mut chat = scene.client_of(&scene.chat);
    for number in 0..NAMES {
        let (user, channel) = (format!("{prefix}u{number}"), format!("{prefix}c{number}"));
        for line in [
            format!("KD.JOIN {channel} {user} AT START"),
            format!("KD.POST {channel} 1"),
        ] {
            assert_eq!(chat.say(&line).number(), 1, "{line}");
        }
    }
    let mut mail = scene.client_of(&scene.mail);
    let web = scene.web().bearer(&scene.mail);
    let before = settled(&scene);
    for number in 0..NAMES {
        let (user, channel) = (format!("asked-u{number}"), format!("asked-c{number}"));
        for line in [
            format!("KD.COUNT {user} {channel}"),
            format!("KD.STATE {user}"),
            format!("KD.BADGE {user}"),
            format!("KD.SEEN {channel} 1"),
            format!("KD.CHANNEL {channel}"),
        ] {
            // What it says is compared elsewhere.
            mail.say(&line);
        }
        web.get(&format!("/v1/users/{user}/badge"));
        web.get(&format!("/v1/channels/{channel}"));
    }
    let after = settled(&scene);
    let done = COUNTED
        .iter()
        .map(|name| (*name, after[name] - before[name]));
    done.collect()
}

#[test]
fn what_is_somebody_elses_costs_the_server_the_same_work_as_what_is_nobodys() {
    let (theirs, nobodys) = (work("asked-"), work("other-"));
    println!("{theirs:?}");
    assert_eq!(theirs, nobodys);
    assert!(theirs["kidoku_requests_total"] >= 5 * u64::try_from(NAMES).unwrap());
    assert!(theirs["kidoku_loads_total"] > 0);
    assert_eq!(theirs["kidoku_facts_total"], 0);
}
