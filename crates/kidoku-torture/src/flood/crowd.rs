//! A crowd of hostile connections, all served by one thread that stands back behind the client
//! which is measured.

use super::machine;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

/// What a hostile connection does after it has connected.
#[derive(Clone, Debug)]
pub(super) enum Habit {
    /// Sends this and then nothing, ever.
    Silent(Vec<u8>),
    /// Sends the first at once and then a byte of the second each second, round and round.
    Trickle(Vec<u8>, Vec<u8>),
    /// Sends the first once and the second as fast as it goes, and reads no answer.
    Deaf(Vec<u8>, Vec<u8>),
    /// Sends the first once and the second as fast as it goes, and throws the answers away.
    Flood(Vec<u8>, Vec<u8>),
    /// Sends this, waits for the end of the connection or a while, and connects anew.
    Reconnect(Vec<u8>),
}

impl Habit {
    fn first(&self) -> &[u8] {
        match self {
            Self::Silent(first)
            | Self::Trickle(first, _)
            | Self::Deaf(first, _)
            | Self::Flood(first, _)
            | Self::Reconnect(first) => first,
        }
    }
}

/// What the crowd has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Connections made.
    pub(super) connected: AtomicU64,
    /// Connections that the server ended or did not take.
    pub(super) ended: AtomicU64,
    /// Bytes of answers thrown away.
    pub(super) answers: AtomicU64,
    /// All first connections are made.
    ready: AtomicBool,
    stop: AtomicBool,
}

/// A crowd at work; it goes when this is dropped.
pub(super) struct Crowd {
    pub(super) seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    /// Starts `count` connections with each habit, and waits until all are made.
    pub(super) fn start(kinds: Vec<(SocketAddr, Habit, usize)>) -> Self {
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let thread = std::thread::spawn(move || work(&kinds, &shared));
        while !seen.ready.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(5));
        }
        Self {
            seen,
            thread: Some(thread),
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A crowd that panicked has said why.
            drop(thread.join());
        }
    }
}

struct Member<'a> {
    address: SocketAddr,
    habit: &'a Habit,
    stream: Option<TcpStream>,
    sent: usize,
    since: Instant,
}

fn work(kinds: &[(SocketAddr, Habit, usize)], seen: &Seen) {
    // Without it the measurement is worse, and not wrong.
    drop(machine::stand_back());
    let mut members: Vec<Member<'_>> = Vec::new();
    for (address, habit, count) in kinds {
        for _ in 0..*count {
            let mut member = Member {
                address: *address,
                habit,
                stream: None,
                sent: 0,
                since: Instant::now(),
            };
            member.connect(seen);
            members.push(member);
        }
    }
    seen.ready.store(true, Ordering::Relaxed);
    while !seen.stop.load(Ordering::Relaxed) {
        let mut quiet = true;
        for member in &mut members {
            quiet &= !member.turn(seen);
        }
        if quiet {
            sleep(Duration::from_millis(2));
        }
    }
}

impl Member<'_> {
    fn connect(&mut self, seen: &Seen) {
        self.since = Instant::now();
        self.sent = 0;
        let Ok(stream) = TcpStream::connect(self.address) else {
            return;
        };
        stream.set_nonblocking(true).unwrap();
        seen.connected.fetch_add(1, Ordering::Relaxed);
        // What the socket does not take of a first word is not worth waiting for.
        drop((&stream).write(self.habit.first()));
        self.stream = Some(stream);
    }

    /// True when something happened.
    fn turn(&mut self, seen: &Seen) -> bool {
        let Some(stream) = &self.stream else {
            // Who was cut off comes again: slow ones after a while, reconnecting ones at once.
            let pause = match self.habit {
                Habit::Reconnect(_) => Duration::ZERO,
                _ => Duration::from_secs(1),
            };
            if self.since.elapsed() >= pause {
                self.connect(seen);
                return true;
            }
            return false;
        };
        let going = match self.habit {
            Habit::Silent(_) => Ok(false),
            Habit::Trickle(_, word) => {
                if self.since.elapsed() < Duration::from_secs(1) {
                    Ok(false)
                } else {
                    self.since = Instant::now();
                    self.sent += 1;
                    write(stream, &word[(self.sent - 1) % word.len()..][..1])
                }
            }
            Habit::Deaf(_, word) | Habit::Flood(_, word) => write(stream, word),
            Habit::Reconnect(_) => {
                if self.since.elapsed() > Duration::from_millis(20) {
                    drop(stream.shutdown(Shutdown::Both));
                    Err(())
                } else {
                    Ok(false)
                }
            }
        };
        let heard = match self.habit {
            Habit::Deaf(..) => Ok(false),
            _ if going.is_ok() => read(stream, seen),
            _ => Ok(false),
        };
        if let (Ok(did), Ok(heard)) = (going, heard) {
            return did | heard;
        }
        seen.ended.fetch_add(1, Ordering::Relaxed);
        self.stream = None;
        self.since = Instant::now();
        true
    }
}

/// Writes what goes; an error when the connection is gone. Part of a word may go, which makes
/// nonsense of the next: that is what a hostile client sends.
fn write(mut stream: &TcpStream, word: &[u8]) -> Result<bool, ()> {
    match stream.write(word) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(_) => Err(()),
    }
}

fn read(mut stream: &TcpStream, seen: &Seen) -> Result<bool, ()> {
    let mut bytes = [0; 16 << 10];
    match stream.read(&mut bytes) {
        Ok(0) => Err(()),
        Ok(count) => {
            seen.answers
                .fetch_add(u64::try_from(count).unwrap(), Ordering::Relaxed);
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(_) => Err(()),
    }
}
