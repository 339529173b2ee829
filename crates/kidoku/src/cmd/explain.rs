//! `kidoku explain USER CHANNEL`: says why a number is what it is.

use super::args::Server;
use super::client::segment;
use super::error::CmdError;
use super::out;
use kidoku_core::clock::Millis;
use serde::Deserialize;
use std::fmt::Write;

/// Say which line counts for a user in a channel, who set it when, and which messages make the number
#[derive(Debug, clap::Args)]
pub(super) struct Explain {
    user: String,
    channel: String,
    /// Message ids to list
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Print the server's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// What the server says of a number.
#[derive(Debug, Deserialize)]
pub(super) struct Explanation {
    state: ReadState,
    line: String,
    part: String,
    set_at: Option<u64>,
    floor: String,
    join: String,
    trim: String,
    unread_ids: Vec<String>,
    mention_ids: Vec<String>,
    own: u64,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ReadState {
    unread: u64,
    mentions: u64,
    cursor: String,
    era: String,
    last: Option<String>,
    muted: String,
    member: bool,
}

impl Explain {
    pub(super) fn run(&self) -> Result<(), CmdError> {
        let path = format!(
            "/v1/users/{}/channels/{}/explain?limit={}",
            segment(&self.user),
            segment(&self.channel),
            self.limit
        );
        let client = self.server.client()?;
        if self.json {
            let answer: serde_json::Value = client.get_json(&path)?;
            return out::print(&format!("{answer:#}\n"));
        }
        let answer: Explanation = client.get_json(&path)?;
        out::print(&told(&self.user, &self.channel, &answer))
    }
}

/// The explanation in words.
pub(super) fn told(user: &str, channel: &str, why: &Explanation) -> String {
    let state = &why.state;
    if !state.member {
        return format!("{user} is not a member of {channel}, so nothing counts.\n");
    }
    let mut text = format!(
        "{user} has {} unread in {channel}; messages among them that name {user}: {}.\n\n",
        out::grouped(state.unread),
        out::grouped(state.mentions),
    );
    // Writing to a string can not fail, here and below.
    let _written = write!(text, "The line is {}: ", place(&why.line));
    text.push_str(line_reason(&why.part));
    if let Some(time) = why.set_at {
        let _written = write!(text, ", set {}", out::date(Millis(time)));
    }
    text.push_str(".\n");
    text.push_str("What counts is the highest of these:\n");
    for (name, position) in [
        ("cursor", &state.cursor),
        ("ack-all", &why.floor),
        ("join", &why.join),
        ("trim", &why.trim),
    ] {
        let _written = writeln!(text, "  {name:<8} {}", place(position));
    }
    let _written = writeln!(
        text,
        "The newest message is {}.",
        state.last.as_deref().unwrap_or("none")
    );
    if why.own > 0 {
        let _written = writeln!(
            text,
            "Own messages above the line, not counted: {}.",
            out::grouped(why.own)
        );
    }
    if state.era != "0" {
        let _written = writeln!(text, "The cursor was last moved back in era {}.", state.era);
    }
    if state.muted != "NONE" {
        let _written = writeln!(
            text,
            "Muted: {}. That changes totals, not these numbers.",
            state.muted
        );
    }
    ids(&mut text, why);
    text
}

fn line_reason(part: &str) -> &'static str {
    match part {
        "cursor" => "the user read up to there, or marked unread from there on",
        "floor" => "the user marked everything read up to there",
        "space_floor" => "the user marked everything of the channel's space read up to there",
        "join" => "the user joined there",
        "trim" => "the channel was trimmed there",
        _ => "nothing was read, so all messages count",
    }
}

fn place(position: &str) -> String {
    if position == "0" {
        "none".to_owned()
    } else {
        position.to_owned()
    }
}

fn ids(text: &mut String, why: &Explanation) {
    if why.unread_ids.is_empty() {
        return;
    }
    text.push_str("\nThe messages that count (* = mention):\n");
    for id in &why.unread_ids {
        let mark = if why.mention_ids.contains(id) {
            '*'
        } else {
            ' '
        };
        let _written = writeln!(text, "{mark} {id}");
    }
    if why.next.is_some() {
        let shown = u64::try_from(why.unread_ids.len()).unwrap_or(u64::MAX);
        let rest = why.state.unread.saturating_sub(shown);
        let _written = writeln!(text, "  and {} more (--limit)", out::grouped(rest));
    }
}
