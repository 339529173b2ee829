//! One scenario, run by the client libraries people use, as they are.

use crate::chat::{in_ci, repository};
use kidoku_torture::server::{PATIENCE, Server};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A step: what is sent, what must come back the first time, and the second time when that differs.
struct Step {
    command: Value,
    reply: Value,
    again: Value,
}

fn scenario() -> Vec<Step> {
    let text = std::fs::read_to_string(repository().join("tests/clients/scenario.json")).unwrap();
    let steps: Vec<Value> = serde_json::from_str(&text).unwrap();
    steps
        .into_iter()
        .map(|step| Step {
            command: step["command"].clone(),
            reply: step["reply"].clone(),
            again: step.get("again").unwrap_or(&step["reply"]).clone(),
        })
        .collect()
}

/// True when a client's reply says what is expected. A map may come as a flat list of pairs, as in
/// RESP2; numbers may come as text; `"$any"` is anything; an error is known
/// by what it must contain, since some clients cut off its first word.
fn agrees(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::String(any), _) if any == "$any" => true,
        (Value::Object(expected), _) if expected.contains_key("$error") => {
            let text = found["$error"].as_str().unwrap_or_default();
            text.contains(expected["$error"].as_str().unwrap())
        }
        (Value::Object(expected), Value::Object(found)) => {
            expected.len() == found.len()
                && expected
                    .iter()
                    .all(|(key, value)| found.get(key).is_some_and(|f| agrees(value, f)))
        }
        (Value::Object(expected), Value::Array(found)) => {
            found.len() == expected.len() * 2
                && found.chunks(2).all(|pair| {
                    let value = pair[0].as_str().and_then(|key| expected.get(key));
                    value.is_some_and(|value| agrees(value, &pair[1]))
                })
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len() && expected.iter().zip(found).all(|(e, f)| agrees(e, f))
        }
        (Value::Number(number), Value::String(text)) => number.to_string() == *text,
        (Value::Bool(is), Value::Number(number)) => number.as_u64() == Some(u64::from(*is)),
        (Value::Bool(is), Value::String(text)) => text == if *is { "1" } else { "0" },
        _ => expected == found,
    }
}

/// Where `cargo xtask setup` puts a client; none = the test is left out, which is a failure in CI.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = repository().join("target/clients").join(name);
    if path.exists() {
        // Only the folder: a virtual environment is known by the link to its interpreter.
        return Some(
            repository()
                .canonicalize()
                .unwrap()
                .join("target/clients")
                .join(name),
        );
    }
    assert!(
        !in_ci(),
        "{} is missing, run cargo xtask setup",
        path.display()
    );
    println!(
        "left out: {} is missing, run cargo xtask setup",
        path.display()
    );
    None
}

fn check(mut driver: Command, protocol: u8) {
    let server = Server::dev();
    let steps = scenario();
    let commands: Vec<&Value> = steps.iter().map(|step| &step.command).collect();
    let mut child = driver
        .args([
            server.resp_address().port().to_string(),
            protocol.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(&commands).unwrap();
    child.stdin.take().unwrap().write_all(&input).unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
    let replies: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(replies.len(), steps.len() * 2, "{stdout}");
    let expected = steps
        .iter()
        .map(|step| (&step.command, &step.reply))
        .chain(steps.iter().map(|step| (&step.command, &step.again)));
    for ((command, expected), found) in expected.zip(&replies) {
        assert!(
            agrees(expected, found),
            "{command}: expected {expected}, found {found}"
        );
    }
}

fn python(protocol: u8) {
    if let Some(python) = installed("py/bin/python") {
        let mut driver = Command::new(python);
        driver.arg(repository().join("tests/clients/redis_py.py"));
        check(driver, protocol);
    }
}

fn node(file: &str, protocol: u8) {
    if let Some(modules) = installed("node/node_modules") {
        let own = modules.join(".bin/node");
        let program = if own.exists() {
            own
        } else {
            PathBuf::from("node")
        };
        let mut driver = Command::new(program);
        driver.current_dir(modules.parent().unwrap());
        driver.arg(
            repository()
                .join("tests/clients")
                .canonicalize()
                .unwrap()
                .join(file),
        );
        check(driver, protocol);
    }
}

fn go(protocol: u8) {
    if let Some(program) = installed("go-redis") {
        check(Command::new(program), protocol);
    }
}

#[test]
fn redis_py_runs_the_scenario_in_resp3() {
    python(3);
}

#[test]
fn redis_py_runs_the_scenario_in_resp2() {
    python(2);
}

#[test]
fn ioredis_runs_the_scenario_in_resp3() {
    node("ioredis.mjs", 3);
}

#[test]
fn ioredis_runs_the_scenario_in_resp2() {
    node("ioredis.mjs", 2);
}

#[test]
fn node_redis_runs_the_scenario_in_resp3() {
    node("node_redis.mjs", 3);
}

#[test]
fn node_redis_runs_the_scenario_in_resp2() {
    node("node_redis.mjs", 2);
}

#[test]
fn go_redis_runs_the_scenario_in_resp3() {
    go(3);
}

#[test]
fn go_redis_runs_the_scenario_in_resp2() {
    go(2);
}

#[test]
fn an_agreement_is_no_pushover() {
    let expected = serde_json::json!({"unread": 1, "first_unread": null, "member": true});
    let flat = serde_json::json!(["unread", 1, "first_unread", null, "member", 1]);
    let other = serde_json::json!(["unread", 2, "first_unread", null, "member", 1]);
    let short = serde_json::json!(["unread", 1]);
    assert!(agrees(&expected, &flat));
    assert!(!agrees(&expected, &other));
    assert!(!agrees(&expected, &short));
    assert!(!agrees(
        &serde_json::json!({"$error": "BADID"}),
        &serde_json::json!(1)
    ));
}
