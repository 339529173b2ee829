//! What the server is filled with, the commands about it, and what it has acknowledged.

use super::replies::Speech;
use crate::server::Server;
use crate::wire::Client;
use std::io::Write as _;

/// Channels of a user.
const CHANNELS_EACH: u32 = 10;
/// Channels in all.
const CHANNELS: u32 = 200;
/// Messages of each channel.
const MESSAGES: u32 = 20;

/// What was acknowledged: for each user, the highest id acked in the user's first channel.
#[derive(Debug)]
pub(super) struct World {
    /// Users; each is in [`CHANNELS_EACH`] channels.
    pub(super) users: u32,
    acked: Vec<u32>,
    last_id: u32,
}

/// The first channel of a user.
fn channel_of(user: u32) -> u32 {
    user % (CHANNELS / CHANNELS_EACH)
}

impl World {
    /// Fills a server.
    pub(super) fn fill(client: &mut Client, users: u32) -> Result<Self, String> {
        let groups = CHANNELS / CHANNELS_EACH;
        let mut commands = Vec::new();
        for channel in 0..CHANNELS {
            let members = (0..users).filter(|user| user % groups == channel % groups);
            let names: Vec<String> = members.map(|user| format!("u{user}")).collect();
            for some in names.chunks(1_000) {
                let mut join = vec!["KD.JOIN".to_owned(), format!("c{channel}")];
                join.extend_from_slice(some);
                commands.push(join);
            }
        }
        for channel in 0..CHANNELS {
            for id in 1..=MESSAGES {
                let words = ["KD.POST".to_owned(), format!("c{channel}"), id.to_string()];
                commands.push(words.to_vec());
            }
        }
        for reply in client.pipeline(&commands) {
            if let crate::wire::Value::Error(text) = reply {
                return Err(format!("filling the server: {text}"));
            }
        }
        Ok(Self {
            users,
            acked: vec![0; usize::try_from(users).unwrap()],
            last_id: MESSAGES,
        })
    }

    /// An id above all before it.
    pub(super) fn next_id(&mut self) -> u32 {
        self.last_id += 1;
        self.last_id
    }

    /// Notes that the server has answered an ack.
    pub(super) fn note_acked(&mut self, user: u32, id: u32) {
        let at = usize::try_from(user).unwrap();
        self.acked[at] = self.acked[at].max(id);
    }

    /// Compares every acknowledged cursor with what the server holds; answers how many there were.
    pub(super) fn check(&self, client: &mut Client) -> Result<usize, String> {
        let acked: Vec<(u32, u32)> = (0..self.users)
            .zip(self.acked.iter().copied())
            .filter(|(_, id)| *id > 0)
            .collect();
        let commands: Vec<Vec<String>> = acked
            .iter()
            .map(|(user, _)| {
                let channel = channel_of(*user);
                [
                    "KD.COUNT".to_owned(),
                    format!("u{user}"),
                    format!("c{channel}"),
                ]
                .to_vec()
            })
            .collect();
        for ((user, id), reply) in acked.iter().zip(client.pipeline(&commands)) {
            let cursor = reply.items()[0].get("cursor").number();
            if cursor < u64::from(*id) {
                return Err(format!(
                    "LOST: an ack of u{user} at {id} was answered, the cursor stands at {cursor}"
                ));
            }
        }
        Ok(acked.len())
    }

    /// Kills the server, starts it again and compares.
    pub(super) fn check_after_kill(
        &self,
        server: &mut Server,
        args: &[&str],
    ) -> Result<usize, String> {
        server.kill();
        let dir = server.dir().to_path_buf();
        let again = Server::on(&dir, args);
        self.check(&mut again.client())
    }
}

/// Writes an ack of a user in the user's first channel.
pub(super) fn write_ack(out: &mut Vec<u8>, speech: Speech, user: u32, id: u32) {
    let channel = channel_of(user);
    match speech {
        Speech::Resp => {
            let (user, channel) = (format!("u{user}"), format!("c{channel}"));
            resp(out, &["KD.ACK", &user, &channel, &id.to_string()])
        }
        Speech::Http => {
            let body = format!("{{\"channel\":\"c{channel}\",\"id\":\"{id}\"}}");
            write!(
                out,
                "POST /v1/users/u{user}/ack HTTP/1.1\r\nhost: k\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )
        }
    }
    .unwrap();
}

/// Writes a question for a user's state.
pub(super) fn write_state(out: &mut Vec<u8>, speech: Speech, user: u32) {
    match speech {
        Speech::Resp => resp(out, &["KD.STATE", &format!("u{user}")]),
        Speech::Http => get(out, &format!("/v1/users/u{user}/state")),
    }
    .unwrap();
}

fn resp(out: &mut Vec<u8>, words: &[&str]) -> std::io::Result<()> {
    write!(out, "*{}\r\n", words.len())?;
    for word in words {
        write!(out, "${}\r\n{word}\r\n", word.len())?;
    }
    Ok(())
}

fn get(out: &mut Vec<u8>, path: &str) -> std::io::Result<()> {
    write!(out, "GET {path} HTTP/1.1\r\nhost: k\r\n\r\n")
}
