//! Makes it harmless that lines are sent twice.
//!
//! When an import is interrupted, nobody knows how much of the request on its way was applied, so
//! the next run sends all of it again. Facts and nearly all operations come out the same the second
//! time. Two things do not, and are said differently when lines may come twice:
//! - A join begins at the tail, and messages after it may have come already. So the tail is said as
//!   the id that was the newest when the line first came, as far as the file tells.
//! - After a leave an ack, a mute, a follow or an own message brings the user back, but not when
//!   the server knows it already. So a join goes before it.
//!
//! What remains: somebody who unfollowed a thread and was brought back by a mention, both in the
//! request that was interrupted.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the lines gone by.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// The newest message of each channel.
    newest: BTreeMap<String, Id>,
    /// Who has left some channel in the lines that may come twice.
    left: BTreeSet<String>,
}

/// A message id as it is written: a number, either form of it, or an opaque id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

impl Id {
    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// What a line is about.
#[derive(Deserialize)]
struct About {
    op: String,
    channel: Option<String>,
    id: Option<Id>,
    user: Option<String>,
    author: Option<String>,
    at: Option<Id>,
    on: Option<bool>,
    #[serde(default)]
    fact: bool,
}

impl About {
    /// A line that is not valid changes nothing on the server, so it may come as often as it likes.
    fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line)
            .ok()
            .filter(|about: &Self| !about.fact)
    }

    fn joins_at_tail(&self) -> bool {
        let tail = match &self.at {
            None => true,
            Some(Id::Text(word)) => word == "tail",
            Some(Id::Number(_)) => false,
        };
        self.op == "join" && tail
    }
}

impl Replay {
    /// Notes a line that is settled and not sent again.
    pub(super) fn skip(&mut self, line: &[u8]) {
        if let Some(about) = About::read(line) {
            self.note_message(about);
        }
    }

    /// The lines to send for a line that may come twice; empty = the line as it is.
    pub(super) fn lines(&mut self, line: &[u8]) -> Vec<Vec<u8>> {
        let Some(about) = About::read(line) else {
            return Vec::new();
        };
        let lines = if about.joins_at_tail() {
            self.pinned(line, &about).into_iter().collect()
        } else {
            let join = self.join_before(&about);
            join.map(|join| vec![join, line.to_vec()])
                .unwrap_or_default()
        };
        let unfollows = about.op == "follow" && about.on == Some(false);
        if about.op == "leave" || unfollows {
            self.left.extend(about.user.clone());
        }
        self.note_message(about);
        lines
    }

    fn note_message(&mut self, about: About) {
        let (Some(channel), Some(id)) = (about.channel, about.id) else {
            return;
        };
        if about.op != "message" {
            return;
        }
        let known = self.newest.get(&channel).and_then(Id::number);
        let lower = known.zip(id.number()).is_some_and(|(known, id)| id < known);
        // Opaque ids have no order but that of their arrival.
        if !lower {
            self.newest.insert(channel, id);
        }
    }

    /// A join at the tail with the tail as an id, if the file tells one.
    fn pinned(&self, line: &[u8], about: &About) -> Option<Vec<u8>> {
        let newest = self.newest.get(about.channel.as_deref()?)?;
        let mut line: Map<String, Value> = serde_json::from_slice(line).ok()?;
        line.insert("at".to_owned(), Value::String(newest.text()));
        serde_json::to_vec(&line).ok()
    }

    /// The join that a line implies for someone who has left.
    fn join_before(&self, about: &About) -> Option<Vec<u8>> {
        let channel = about.channel.as_deref()?;
        let newest = || self.newest.get(channel);
        let (user, at) = match about.op.as_str() {
            "message" => (about.author.as_ref()?, about.id.as_ref()?),
            "ack" => (about.user.as_ref()?, about.id.as_ref()?),
            "mute" => (about.user.as_ref()?, newest()?),
            "follow" if about.on != Some(false) => (about.user.as_ref()?, newest()?),
            _ => return None,
        };
        if !self.left.contains(user) {
            return None;
        }
        let join = json!({"op": "join", "channel": channel, "user": user, "at": at.text()});
        serde_json::to_vec(&join).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M9: &str = r#"{"op":"message","channel":"c","id":"9"}"#;
    const M7: &str = r#"{"op":"message","channel":"c","id":7}"#;
    const LEAVE: &str = r#"{"op":"leave","channel":"c","user":"ann"}"#;
    const JOIN: &str = r#"{"op":"join","channel":"c","user":"ann","time":5}"#;

    fn check(before: &[&str], line: &str, expected: &[&str]) {
        let mut replay = Replay::default();
        for line in before {
            replay.lines(line.as_bytes());
        }
        let value = |line: &[u8]| serde_json::from_slice::<Value>(line).unwrap();
        let lines: Vec<Value> = replay
            .lines(line.as_bytes())
            .iter()
            .map(|line| value(line))
            .collect();
        let expected: Vec<Value> = expected.iter().map(|line| value(line.as_bytes())).collect();
        assert_eq!(lines, expected, "{line}");
    }

    #[test]
    fn the_tail_is_said_as_the_newest_id_before_the_join() {
        let other = r#"{"op":"message","channel":"d","id":"99"}"#;
        let pinned = r#"{"op":"join","channel":"c","user":"ann","time":5,"at":"9"}"#;
        check(&[M9, M7, other], JOIN, &[pinned]);
        check(
            &[M7, M9],
            &JOIN.replace("5}", "5,\"at\":\"tail\"}"),
            &[pinned],
        );
        check(&[other], JOIN, &[]);
        check(&[M9], &JOIN.replace("5}", "5,\"at\":\"start\"}"), &[]);
        check(&[M9], &JOIN.replace("5}", "5,\"at\":3}"), &[]);
        let opaque = |id: &str| format!(r#"{{"op":"message","channel":"c","id":"{id}"}}"#);
        let pinned = r#"{"op":"join","channel":"c","user":"ann","time":5,"at":"$a"}"#;
        check(&[&opaque("$b"), &opaque("$a")], JOIN, &[pinned]);
    }

    #[test]
    fn lines_that_are_not_sent_again_tell_the_tail_too() {
        let mut replay = Replay::default();
        replay.skip(M9.as_bytes());
        replay.skip(b"not json");
        assert_eq!(replay.lines(JOIN.as_bytes()).len(), 1);
    }

    #[test]
    fn what_brings_a_user_back_after_a_leave_has_a_join_before_it() {
        let join = |at: u64| format!(r#"{{"op":"join","channel":"c","user":"ann","at":"{at}"}}"#);
        for (line, at) in [
            (
                r#"{"op":"message","channel":"c","id":"12","author":"ann"}"#,
                12,
            ),
            (r#"{"op":"ack","channel":"c","id":5,"user":"ann"}"#, 5),
            (
                r#"{"op":"mute","channel":"c","level":"ALL","user":"ann"}"#,
                9,
            ),
            (r#"{"op":"follow","channel":"c","user":"ann","on":true}"#, 9),
        ] {
            check(&[M9, LEAVE], line, &[&join(at), line]);
            check(&[M9], line, &[]);
            check(&[M9, LEAVE], &line.replace("ann", "bob"), &[]);
        }
        let unfollow = r#"{"op":"follow","channel":"c","user":"ann","on":false}"#;
        let ack = r#"{"op":"ack","channel":"c","id":5,"user":"ann"}"#;
        check(&[unfollow], ack, &[&join(5), ack]);
    }

    #[test]
    fn everything_else_is_sent_as_it_is() {
        for line in [
            M9,
            LEAVE,
            r#"{"op":"unread","channel":"c","id":5,"user":"ann"}"#,
            r#"{"op":"ack","fact":true,"channel":"c","id":"5","user":"ann"}"#,
            r#"{"op":"message","channel":"c","id":"12","author":"bob","mentions":["ann"]}"#,
            "not json",
            "{}",
        ] {
            check(&[M7, LEAVE], line, &[]);
        }
    }
}
