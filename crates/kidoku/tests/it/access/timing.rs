//! How long a refusal takes says no more than its words: medians of interleaved samples over one
//! connection, so that whatever else the machine does meets both alike. A difference has to show in
//! every one of several measurements to count; a control with more work shows that one would.

use super::Scene;
use kidoku_torture::wire::{Client, encode};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// Samples of each of the two in one measurement.
const SAMPLES: usize = 600;
/// Measurements at most; one without a difference is enough.
const MEASUREMENTS: usize = 8;
/// Medians may differ by this factor, the noise of a busy machine.
const RATIO_MAX: f64 = 1.15;

/// The ratio of the medians of two questions asked in turn: 1 or more.
fn ratio(mut one: impl FnMut(usize) -> u64, mut two: impl FnMut(usize) -> u64) -> f64 {
    let (mut ones, mut twos) = (Vec::new(), Vec::new());
    for sample in 0..SAMPLES {
        // In changing order: the second of a pair finds warmer caches.
        if sample % 2 == 0 {
            ones.push(one(sample));
            twos.push(two(sample));
        } else {
            twos.push(two(sample));
            ones.push(one(sample));
        }
    }
    let median = |samples: &mut Vec<u64>| {
        samples.sort_unstable();
        samples[samples.len() / 2].max(1)
    };
    let (one, two) = (median(&mut ones), median(&mut twos));
    let (low, high) = (one.min(two), one.max(two));
    f64::from(u32::try_from(high).unwrap()) / f64::from(u32::try_from(low).unwrap())
}

/// The lowest ratio of a few measurements.
fn lowest(mut measure: impl FnMut() -> f64) -> f64 {
    let mut lowest = f64::MAX;
    for _ in 0..MEASUREMENTS {
        lowest = lowest.min(measure());
        if lowest <= RATIO_MAX {
            break;
        }
    }
    lowest
}

fn nanos(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap()
}

fn command(client: &mut Client, words: &[&str]) -> u64 {
    let bytes = encode(words);
    let begun = Instant::now();
    client.send(&bytes);
    client.receive();
    nanos(begun)
}

#[test]
fn a_wrong_key_takes_as_long_whatever_is_wrong_with_it() {
    let scene = Scene::new();
    let mut client = scene.client_of(&scene.mail);
    let wrong = String::from_utf8(scene.credential(super::Has::WrongSecret).unwrap()).unwrap();
    let unknown = String::from_utf8(scene.credential(super::Has::UnknownKey).unwrap()).unwrap();
    let near = format!("{}0", super::but_last(&scene.chat));
    for (what, one, two) in [
        (
            "an unknown key and a wrong secret",
            ["AUTH", "chat", &unknown],
            ["AUTH", "chat", &wrong],
        ),
        (
            "a secret wrong at its end and a revoked key",
            ["AUTH", "chat", &near],
            ["AUTH", "chat", &scene.revoked],
        ),
        (
            "an app that exists and one that does not",
            ["AUTH", "chat", &scene.mail],
            ["AUTH", "nope", &scene.mail],
        ),
    ] {
        let client = std::cell::RefCell::new(&mut client);
        let found = lowest(|| {
            ratio(
                |_| command(&mut client.borrow_mut(), &one),
                |_| command(&mut client.borrow_mut(), &two),
            )
        });
        println!("{what}: {found:.3}");
        assert!(found <= RATIO_MAX, "{what}: {found}");
    }
}

#[test]
fn users_and_channels_of_another_app_take_as_long_as_those_of_nobody() {
    let scene = Scene::new();
    let mut chat = scene.client_of(&scene.chat);
    // Each is asked for once or twice only, so that what is in memory does not hide what is stored.
    for number in 0..SAMPLES {
        chat.say(&format!("KD.JOIN c{number:04} u{number:04} AT START"));
        chat.say(&format!("KD.POST c{number:04} 1"));
    }
    let client = std::cell::RefCell::new(scene.client_of(&scene.mail));
    let count = |kind: &str, number: usize| {
        let (user, channel) = (format!("{kind}{number:04}"), format!("c{number:04}"));
        command(&mut client.borrow_mut(), &["KD.COUNT", &user, &channel])
    };
    let found = lowest(|| ratio(|n| count("u", n), |n| count("x", n)));
    println!("a user of another app and of nobody: {found:.3}");
    assert!(found <= RATIO_MAX, "{found}");
    let seen = |kind: &str, number: usize| {
        let channel = format!("{kind}{number:04}");
        command(&mut client.borrow_mut(), &["KD.SEEN", &channel, "1"])
    };
    let found = lowest(|| ratio(|n| seen("c", n), |n| seen("y", n)));
    println!("a channel of another app and of nobody: {found:.3}");
    assert!(found <= RATIO_MAX, "{found}");
}

#[test]
fn a_difference_would_be_seen() {
    let scene = Scene::new();
    let mut chat = scene.client_of(&scene.chat);
    let channels: Vec<String> = (0..300).map(|n| format!("c{n}")).collect();
    for channel in &channels {
        chat.command(&["KD.JOIN", channel, "busy"]);
    }
    let chat = std::cell::RefCell::new(chat);
    let state = |user: &str| command(&mut chat.borrow_mut(), &["KD.STATE", user]);
    let found = ratio(|_| state("busy"), |_| state("nobody"));
    println!("a user of 300 channels and of none: {found:.3}");
    assert!(found > 2.0 * RATIO_MAX, "{found}");
}

/// Requests over one connection that is kept.
struct Kept(TcpStream);

impl Kept {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let patience = Some(kidoku_torture::server::PATIENCE);
        stream.set_read_timeout(patience).unwrap();
        Self(stream)
    }

    fn get(&mut self, path: &str, bearer: &str) -> u64 {
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: kidoku\r\nauthorization: Bearer {bearer}\r\n\r\n"
        );
        let begun = Instant::now();
        self.0.write_all(head.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let mut piece = [0; 4_096];
        // Every answer here is an object of JSON, whole when its last brace is there.
        while !bytes.ends_with(b"}") {
            let read = self.0.read(&mut piece).unwrap();
            assert!(read > 0, "the server hung up");
            bytes.extend_from_slice(&piece[..read]);
        }
        nanos(begun)
    }
}

#[test]
fn over_http_too_a_refusal_takes_as_long_whatever_it_is_about() {
    let scene = Scene::new();
    let wrong = String::from_utf8(scene.credential(super::Has::WrongSecret).unwrap()).unwrap();
    let unknown = String::from_utf8(scene.credential(super::Has::UnknownKey).unwrap()).unwrap();
    let later = super::now_s() + 3_600;
    let forged = super::token(super::MAIL_SECRET, "chat", "quagga", later);
    let nowhere = super::token(super::MAIL_SECRET, "nope", "quagga", later);
    let kept = std::cell::RefCell::new(Kept::connect(scene.server.http_address()));
    let get = |path: &str, bearer: &str| kept.borrow_mut().get(path, bearer);
    // A different user each time: on which core one is makes a difference of its own.
    let mut chat = scene.client_of(&scene.chat);
    for number in 0..SAMPLES {
        chat.say(&format!("KD.JOIN c u{number:04}"));
    }
    let badge = |kind: &str, number: usize| format!("/v1/users/{kind}{number:04}/badge");
    let own = |_: &str, _: usize| "/v1/me/badge".to_owned();
    type Path<'a> = &'a dyn Fn(&str, usize) -> String;
    for (what, path, one, two) in [
        (
            "an unknown key and a wrong secret",
            &badge as Path<'_>,
            ("u", &unknown),
            ("u", &wrong),
        ),
        (
            "a user of another app and of nobody",
            &badge,
            ("u", &scene.mail),
            ("x", &scene.mail),
        ),
        (
            "a token of an app with keys and of none",
            &own,
            ("", &forged),
            ("", &nowhere),
        ),
    ] {
        let found = lowest(|| {
            ratio(
                |n| get(&path(one.0, n), one.1),
                |n| get(&path(two.0, n), two.1),
            )
        });
        println!("{what}: {found:.3}");
        assert!(found <= RATIO_MAX, "{what}: {found}");
    }
}
