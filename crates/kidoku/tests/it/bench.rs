//! `kidoku bench`, with a real Redis beside it: that its figures come from somewhere, that it leaves
//! nothing behind, and what it refuses.

use crate::chat::in_ci;
use kidoku_torture::server::{PATIENCE, Server, TempDir, kidoku};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// As short as a bench can be and still measure something.
const TINY: [&str; 6] = ["--rounds", "2", "--seconds", "0.3", "--warm-up", "0.1"];

fn bench(words: &[&str], data: &Path) -> Output {
    let data = data.to_str().unwrap();
    let words = [&["bench"], words, &TINY, &["--data", data]].concat();
    kidoku(&words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn redis_is_here() -> bool {
    let version = Command::new("redis-server").arg("--version").output();
    if version.is_ok_and(|output| output.status.success()) {
        return true;
    }
    assert!(!in_ci(), "redis-server is not installed");
    println!("not tried: redis-server is not installed (apt-get install redis-server)");
    false
}

#[test]
fn a_tiny_bench_measures_both_and_leaves_nothing_behind() {
    if !redis_is_here() {
        return;
    }
    let (data, out) = (TempDir::new(), TempDir::new());
    let out_words = [
        "post",
        "--beside",
        "redis",
        "--out",
        out.path().to_str().unwrap(),
    ];
    let output = bench(&out_words, data.path());
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(
        said.contains("kidoku sync") && said.contains("redis naive script"),
        "{said}"
    );
    assert_eq!(names(data.path()), Vec::<String>::new());

    let figures = fs::read(out.file("figures.json")).unwrap();
    let figures: Value = serde_json::from_slice(&figures).unwrap();
    let servers = figures["rows"][0]["contests"][0]["servers"]
        .as_array()
        .unwrap();
    assert_eq!(servers.len(), 5, "{figures}");
    for server in servers {
        let rounds = server["rounds"].as_array().unwrap();
        assert_eq!(rounds.len(), 2);
        for round in rounds {
            for figure in ["answers_per_second", "cpu_us", "cpu_whole_us"] {
                assert!(round[figure].as_f64().unwrap() > 0.0, "{server}");
            }
            assert!(
                round["latency_ms"]["p50"].as_f64().unwrap() > 0.0,
                "{server}"
            );
        }
    }
    // Ten thousand counters cost more than one fact, by orders of magnitude and on any machine.
    let rate = |index: usize| {
        servers[index]["rounds"][0]["answers_per_second"]
            .as_f64()
            .unwrap()
    };
    assert!(rate(0) > rate(3) * 10.0, "{said}");
    let page = fs::read_to_string(out.file("report.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("<script"));
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "something from elsewhere"
    );
    assert_eq!(names(&out.file("hdr")).len(), 10);
}

#[test]
fn what_is_not_of_this_machine_is_not_loaded_unless_it_is_owned() {
    let data = TempDir::new();
    let output = bench(&["ack", "--against", "192.0.2.1:7400"], data.path());
    assert_eq!(output.status.code(), Some(64));
    let complained = text(&output.stderr);
    assert!(complained.contains("--yes-i-own-this"), "{complained}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_server_that_runs_is_measured_and_keeps_what_it_had() {
    let server = Server::dev();
    let mut client = server.client();
    client.say("KD.JOIN general ada bob");
    client.say("KD.POST general 7 BY bob MENTIONS 1 ada");
    let before = client.say("KD.COUNT ada general");
    let data = TempDir::new();
    let address = server.resp_address().to_string();
    let output = bench(&["post", "--against", &address], data.path());
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.contains("kidoku, as given"), "{said}");
    assert_eq!(client.say("KD.COUNT ada general"), before);
    let report = client.say("KD.CHECK");
    assert_eq!(report.get("channels").number(), 1, "{report:?}");
    assert_eq!(report.get("messages").number(), 1, "{report:?}");
    assert_eq!(report.get("mismatch_count").number(), 0, "{report:?}");
}

#[test]
fn a_bench_that_is_stopped_takes_its_servers_with_it() {
    let data = TempDir::new();
    let path = data.path().to_str().unwrap();
    let mut running = kidoku(&["bench", "ack", "--beside", "none", "--data", path])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let wait = |what: &str, is_so: &mut dyn FnMut() -> bool| {
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}");
            sleep(Duration::from_millis(20));
        }
    };
    wait("no server was started", &mut || {
        !names(data.path()).is_empty()
    });
    let pid = running.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let mut status = None;
    wait("it does not stop", &mut || {
        status = running.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(130));
    assert_eq!(names(data.path()), Vec::<String>::new());
}
