//! A data directory with something of everything in it, and the questions it is asked.

use super::login;
use crate::server::{Server, run};
use crate::wire::{Client, Value};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

const USERS: usize = 24;
const CHANNELS: usize = 12;
const MESSAGES: u64 = 30;
const APPS: [&str; 3] = ["shop", "chat", "desk"];

/// An app and its key.
pub(super) struct AppKey {
    pub(super) name: &'static str,
    key: String,
}

/// What was made.
pub(super) struct Content {
    pub(super) apps: Vec<AppKey>,
}

fn ok(client: &mut Client, line: &str) -> Result<(), String> {
    match client.say(line) {
        Value::Error(text) => Err(format!("{line}: {text}")),
        _ => Ok(()),
    }
}

impl Content {
    /// Fills a directory: first what is settled in tables, then what only the engine's journal and
    /// the log have, then what only the log has. The server ends by `kill -9`.
    pub(super) fn make(dir: &Path) -> Result<Self, String> {
        let path = dir.to_string_lossy().into_owned();
        let mut content = Self { apps: Vec::new() };
        for name in APPS {
            let made = run(&["key", "create", "--app", name, "--data-dir", &path]);
            let key = String::from_utf8_lossy(&made.stdout).trim().to_owned();
            content.apps.push(AppKey { name, key });
        }
        let mut server = Server::on(dir, &["--log-segment-bytes", "1MiB"]);
        content.fill(&server, 1)?;
        if !server.stop().success() {
            return Err("the server did not stop well".to_owned());
        }
        // A second batch of tables, beside the first.
        let mut server = Server::on(dir, &["--log-segment-bytes", "1MiB"]);
        content.fill(&server, 2)?;
        if !server.stop().success() {
            return Err("the server did not stop well".to_owned());
        }
        let mut server = Server::on(dir, &["--checkpoint-interval-ms", "100"]);
        content.fill(&server, 3)?;
        sleep(Duration::from_millis(1_500));
        server.kill();
        let mut server = Server::on(dir, &["--checkpoint-interval-ms", "3600000"]);
        content.fill(&server, 4)?;
        server.kill();
        Ok(content)
    }

    fn fill(&self, server: &Server, round: u64) -> Result<(), String> {
        for app in &self.apps {
            let mut client = login(server, &app.key)?;
            fill_app(&mut client, round)?;
        }
        Ok(())
    }

    /// Whether the keys still open the server.
    pub(super) fn may_log_in(&self, server: &Server) -> bool {
        self.apps.iter().all(|app| login(server, &app.key).is_ok())
    }

    /// How many of them are about one user or one channel at most.
    pub(super) fn questions_of_one(&self) -> usize {
        2 * (USERS + CHANNELS)
    }

    /// All answers, app by app.
    pub(super) fn ask(&self, server: &Server) -> Result<Vec<Value>, String> {
        let mut answers = Vec::new();
        for app in &self.apps {
            let mut client = login(server, &app.key)?;
            let questions = questions();
            let got = client.pipeline(&questions);
            if got.len() != questions.len() {
                return Err(format!("{}: {} answers", app.name, got.len()));
            }
            answers.extend(got.into_iter().map(without_rev));
        }
        Ok(answers)
    }
}

/// The rev says what a later question may be about, and is another after each start.
fn without_rev(answer: Value) -> Value {
    match answer {
        Value::Map(pairs) => {
            let kept = pairs.into_iter().filter(|(key, _)| key.text() != "rev");
            Value::Map(kept.collect())
        }
        other => other,
    }
}

fn channel(number: usize) -> String {
    match number % 4 {
        3 => format!("thread:{number}"),
        _ => format!("room:{number}"),
    }
}

fn fill_app(client: &mut Client, round: u64) -> Result<(), String> {
    for number in 0..CHANNELS {
        let name = channel(number);
        let space = if number % 2 == 0 { " SPACE guild" } else { "" };
        let parent = if number % 4 == 3 {
            format!(" PARENT {}", channel(number - 1))
        } else {
            String::new()
        };
        ok(
            client,
            &format!("KD.CHANNEL {name}{space}{parent} RECEIPTS LIST"),
        )?;
        let members: Vec<String> = (0..USERS)
            .filter(|user| (user + number) % 3 != 0)
            .map(|user| format!("u{user}"))
            .collect();
        ok(
            client,
            &format!("KD.JOIN {name} {} AT START", members.join(" ")),
        )?;
        post(client, &name, number, round)?;
    }
    for user in 0..USERS {
        ack(client, user, round)?;
    }
    ok(
        client,
        &format!("KD.ROLE admins ADD u{round} u{}", round + 5),
    )?;
    ok(client, &format!("KD.LEAVE {} u{}", channel(1), round + 8))?;
    ok(client, &format!("KD.ERASE gone{round}"))?;
    ok(
        client,
        &format!("KD.TRIM {} {}", channel(5), round * 1_000 + 5),
    )
}

fn post(client: &mut Client, name: &str, number: usize, round: u64) -> Result<(), String> {
    for message in 1..=MESSAGES {
        let id = round * 1_000 + message;
        let author = (usize::try_from(message).unwrap_or(0) + number) % USERS;
        let extra = match message % 6 {
            0 => " MENTIONS 2 u1 u2".to_owned(),
            1 => " EVERYONE".to_owned(),
            2 => " ROLES 1 admins".to_owned(),
            3 => " SILENT".to_owned(),
            _ => String::new(),
        };
        ok(
            client,
            &format!("KD.POST {name} {id} BY u{author} NOACK{extra}"),
        )?;
    }
    ok(client, &format!("KD.DELETE {name} {}", round * 1_000 + 4))?;
    let edited = round * 1_000 + 6;
    ok(
        client,
        &format!("KD.EDIT {name} {edited} VERSION 1 MENTIONS 1 u3"),
    )
}

fn ack(client: &mut Client, user: usize, round: u64) -> Result<(), String> {
    let name = channel(user % CHANNELS);
    let upto = u64::try_from(user).unwrap_or(0) % MESSAGES;
    ok(
        client,
        &format!("KD.ACK u{user} {name} {}", round * 1_000 + upto),
    )?;
    match user % 5 {
        0 => ok(
            client,
            &format!("KD.ACKALL u{user} UPTO {} SPACE guild", round * 1_000 + 3),
        ),
        1 => ok(client, &format!("KD.MUTE u{user} {name} MENTIONS")),
        2 => ok(
            client,
            &format!("KD.UNREAD u{user} {name} {}", round * 1_000),
        ),
        3 => ok(client, &format!("KD.FOLLOW u{user} {} ON", channel(3))),
        _ => Ok(()),
    }
}

fn questions() -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    let channels: Vec<String> = (0..CHANNELS).map(channel).collect();
    for user in 0..USERS {
        lines.push(format!("KD.STATE u{user} LIMIT 100"));
        lines.push(format!("KD.BADGE u{user}"));
        lines.push(format!("KD.BADGE u{user} SPACE guild"));
        lines.push(format!("KD.COUNT u{user} {}", channels.join(" ")));
    }
    for (number, name) in channels.iter().enumerate() {
        lines.push(format!("KD.CHANNEL {name}"));
        lines.push(format!("KD.SEEN {name} 3010 LIST LIMIT 50"));
        lines.push(format!("KD.EXPLAIN u{number} {name}"));
    }
    let words = |line: String| line.split(' ').map(str::to_owned).collect();
    lines.into_iter().map(words).collect()
}
