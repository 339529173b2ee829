//! Where a server of a row is, and how it is spoken to.

use crate::peer::{Contender, Peer};
use crate::setup::Setup;
use crate::stop::Stop;
use crate::wire::{Client, Framing, Value, command, postgres};
use std::io;
use std::net::SocketAddr;

/// Where a server is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) address: SocketAddr,
    /// Stands in front of all names, so that they are nobody else's. Empty where the server is our own.
    pub(super) prefix: String,
    pub(super) key: Option<String>,
    pub(super) stop: Stop,
}

impl Place {
    /// Where a server is that takes part.
    pub(super) fn of(peer: &dyn Peer, setup: &Setup, contender: Contender) -> Self {
        let against = setup.against.as_ref();
        let against = against.filter(|_| contender == Contender::Given);
        Self {
            address: peer.address(),
            prefix: against.map_or_else(String::new, |against| against.prefix.clone()),
            key: against.and_then(|against| against.key.clone()),
            stop: setup.stop.clone(),
        }
    }

    /// One that nobody is at.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Self {
            address: ([127, 0, 0, 1], 1).into(),
            prefix: String::new(),
            key: None,
            stop: Stop::default(),
        }
    }

    fn go_on(&self) -> Result<(), String> {
        if self.stop.is_wished() {
            return Err("stopped".to_owned());
        }
        Ok(())
    }

    /// The name of a thing of Kidoku.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What a new connection says first.
    pub(super) fn greeting(&self) -> Vec<(Vec<u8>, &'static [u8])> {
        let auth = |key: &String| (command(&["AUTH", key]), &b"+OK"[..]);
        self.key.iter().map(auth).collect()
    }

    /// A client that speaks RESP.
    pub(super) fn client(&self) -> io::Result<Client> {
        let mut client = Client::connect(self.address)?;
        greet(&mut client, self.greeting())?;
        Ok(client)
    }

    /// Sends many requests; all have the same answer.
    pub(super) fn told(
        &self,
        requests: impl Iterator<Item = Vec<u8>>,
        answer: &str,
    ) -> io::Result<()> {
        self.client()?.ask_all(requests, |reply| {
            self.go_on()?;
            if reply == answer.as_bytes() {
                return Ok(());
            }
            let text = reply.escape_ascii();
            Err(format!("expected {:?} and not {text}", answer.trim_end()))
        })
    }

    /// Sends many requests, none of which may fail.
    pub(super) fn told_all(&self, requests: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
        self.client()?.ask_all(requests, |reply| {
            self.go_on()?;
            match reply.first() {
                Some(b'-') | None => Err(reply.escape_ascii().to_string()),
                Some(_) => Ok(()),
            }
        })
    }

    /// What one command answers.
    pub(super) fn ask(&self, words: &[&str]) -> io::Result<Value> {
        let reply = self.client()?.ask(&command(words))?;
        let values = Value::all(&reply).map_err(io::Error::other)?;
        match values.into_iter().next() {
            Some(Value::Error(text)) => Err(io::Error::other(text)),
            Some(value) => Ok(value),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Carries out statements of PostgreSQL, one after the other.
    pub(super) fn sql(&self, statements: &[&str]) -> io::Result<()> {
        let mut client = Client::framed(self.address, Framing::Postgres)?;
        greet(
            &mut client,
            postgres::opening("postgres", "peers", "BEGIN; END"),
        )?;
        let each = |sql: &&str| (postgres::query(sql), &b"C"[..]);
        greet(&mut client, statements.iter().map(each).collect())
    }

    /// Gives Redis a script as a function of this name.
    pub(super) fn function(&self, name: &str, script: &str) -> io::Result<()> {
        let library = format!(
            "#!lua name={name}\nredis.register_function('{name}', function(KEYS, ARGV)\n{script}\nend)"
        );
        self.ask(&["FUNCTION", "LOAD", "REPLACE", &library])
            .map(drop)
    }
}

/// Says some requests; the answer to each has to begin as it should.
pub(super) fn greet(
    client: &mut Client,
    requests: Vec<(Vec<u8>, &'static [u8])>,
) -> io::Result<()> {
    for (request, expected) in requests {
        let reply = client.ask(&request)?;
        if !reply.starts_with(expected) {
            return Err(io::Error::other(reply.escape_ascii().to_string()));
        }
    }
    Ok(())
}
