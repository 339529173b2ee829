//! Hostile clients beside one that behaves, which must hardly feel them.

use super::crowd::{Crowd, Habit};
use super::good::{self, Felt, Took};
use super::machine;
use super::overload::{MEMORY, Watch};
use super::queue::Queue;
use crate::h2;
use crate::server::{Server, TempDir, run as run_kidoku};
use crate::web::Web;
use crate::wire::{Client, encode};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::Duration;

/// What the p99 of the good client may rise by besides doubling: about what other programs on the
/// machine make of an undisturbed p99 from one round to the next.
const FLOOR: Duration = Duration::from_millis(1);

/// How often the client is asked at the least, alone and beside the crowd in turn. Whatever else runs on
/// the machine falls into one of the two times and not into the other, so what was felt is added up.
const ROUNDS_MIN: usize = 2;
/// How often before the comparison counts as failed. A server that lets the client wait does so in every
/// round, however many there are.
const ROUNDS_MAX: usize = 8;

/// Memory that a connection may take before it has given a key.
const CONNECTION_BYTES_MAX: u64 = 32 << 10;

/// A server that wants a key, and one for it.
pub(super) struct Keyed {
    pub(super) server: Server,
    pub(super) key: String,
    _dir: TempDir,
}

impl Keyed {
    pub(super) fn start(args: &[&str]) -> Result<Self, String> {
        Self::on(TempDir::new(), args)
    }

    fn on(dir: TempDir, args: &[&str]) -> Result<Self, String> {
        let path = dir.path().to_str().unwrap();
        let made = run_kidoku(&["key", "create", "--data-dir", path]);
        let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let server = Server::on(dir.path(), args);
        machine::pin(server.pid(), machine::SERVER_CORE)?;
        Ok(Self {
            server,
            key,
            _dir: dir,
        })
    }

    pub(super) fn client(&self) -> Client {
        let mut client = Client::connect(self.server.resp_address());
        client.command(&["HELLO", "3", "AUTH", "default", &self.key]);
        client
    }

    fn auth(&self) -> Vec<u8> {
        encode(&["AUTH", &self.key])
    }
}

/// One kind of trouble.
struct Trouble {
    name: &'static str,
    kinds: Vec<(SocketAddr, Habit, usize)>,
}

/// Half of a command that a connection without a key may send, but for its last byte.
fn half_command() -> Vec<u8> {
    let mut bytes = b"*3\r\n".to_vec();
    bytes.extend(format!("$7900\r\n{}\r\n", "x".repeat(7_900)).bytes());
    bytes.extend(format!("$7900\r\n{}", "y".repeat(7_900)).bytes());
    bytes
}

/// A head of a request that never ends.
fn half_head() -> Vec<u8> {
    let mut bytes = b"GET /v1/users/u1/state HTTP/1.1\r\nhost: k\r\n".to_vec();
    for number in 0..60 {
        bytes.extend(format!("x-{number}: {}\r\n", "z".repeat(200)).bytes());
    }
    bytes
}

/// How an HTTP/2 connection begins, and what follows.
fn h2_begin(more: &[u8]) -> Vec<u8> {
    [h2::PREFACE, &h2::frame(h2::SETTINGS, 0, 0, &[]), more].concat()
}

/// Headers of a request that are as long as they may be, in several frames but for the last byte.
fn h2_half_head() -> Vec<u8> {
    let first = h2::request(h2::END_STREAM, 1, "GET", "/v1/users/u1/state", &[]);
    let (_, block) = first.split_at(9);
    // The same without the flag that says that these are all headers.
    let mut bytes = h2::frame(h2::HEADERS, h2::END_STREAM, 1, block);
    let rest = (8 << 10) - block.len();
    let part = rest / 2;
    bytes.extend(h2::frame(h2::CONTINUATION, 0, 1, &vec![0; part]));
    bytes.extend(h2::frame(h2::CONTINUATION, 0, 1, &vec![0; rest - part]));
    bytes.pop();
    bytes
}

/// More requests without a key than are let in at a time, whose answers their client does not take.
fn h2_untaken() -> Vec<u8> {
    let window = [h2::INITIAL_WINDOW_SIZE.to_be_bytes().as_slice(), &[0; 4]].concat();
    let asked: Vec<u8> = (0..100)
        .flat_map(|n| h2::request(h2::END_STREAM, 2 * n + 1, "GET", "/v1/users/u1/state", &[]))
        .collect();
    [h2::PREFACE, &h2::frame(h2::SETTINGS, 0, 0, &window), &asked].concat()
}

/// A head with the promise of a body, and half of it.
fn half_body() -> Vec<u8> {
    b"POST /v1/users/u1/ack HTTP/1.1\r\nhost: k\r\ncontent-type: application/json\r\n\
      content-length: 60000\r\n\r\n{\"channel\":"
        .to_vec()
}

fn troubles(keyed: &Keyed, connections: usize) -> [Trouble; 4] {
    [
        slow_ones(keyed, connections),
        deaf_ones(keyed),
        error_floods(keyed),
        reconnecting_ones(keyed),
    ]
}

fn words(text: &str, times: usize) -> Vec<u8> {
    text.repeat(times).into_bytes()
}

fn slow_ones(keyed: &Keyed, connections: usize) -> Trouble {
    let (resp, http) = (keyed.server.resp_address(), keyed.server.http_address());
    let part = |tenths: usize| connections * tenths / 10;
    let endless_command = Habit::Trickle(b"*9\r\n$7\r\n".to_vec(), b"x".to_vec());
    let endless_head = Habit::Trickle(b"GET / HTTP/1.1\r\n".to_vec(), b"x-a: b\r\n".to_vec());
    Trouble {
        name: "silent, half, a byte a second",
        kinds: vec![
            (resp, Habit::Silent(Vec::new()), part(2)),
            (resp, Habit::Silent(half_command()), part(1)),
            (resp, endless_command, part(2)),
            (http, Habit::Silent(Vec::new()), part(2)),
            (http, Habit::Silent(half_head()), part(1)),
            (http, endless_head, part(1)),
            (http, Habit::Silent(half_body()), part(1)),
        ],
    }
}

fn deaf_ones(keyed: &Keyed) -> Trouble {
    let (resp, http) = (keyed.server.resp_address(), keyed.server.http_address());
    let states = encode(&["KD.STATE", "u1"]).repeat(200);
    let echoes = encode(&["ECHO", &"e".repeat(4_000)]).repeat(8);
    let documents = words("GET /openapi.json HTTP/1.1\r\nhost: k\r\n\r\n", 20);
    Trouble {
        name: "readers that never read",
        kinds: vec![
            (resp, Habit::Deaf(keyed.auth(), states), 100),
            (resp, Habit::Deaf(keyed.auth(), echoes), 100),
            (http, Habit::Deaf(Vec::new(), documents), 50),
        ],
    }
}

fn error_floods(keyed: &Keyed) -> Trouble {
    let (resp, http) = (keyed.server.resp_address(), keyed.server.http_address());
    let no_commands = words("NOSUCH a b c\r\n", 100);
    let bad_commands = words("KD.ACK a b 0\r\nKD.ACK\r\n", 50);
    let no_routes = words("GET /nothing HTTP/1.1\r\nhost: k\r\n\r\n", 20);
    Trouble {
        name: "floods of errors",
        kinds: vec![
            (resp, Habit::Flood(keyed.auth(), no_commands), 20),
            (resp, Habit::Flood(keyed.auth(), bad_commands), 20),
            (
                resp,
                Habit::Flood(Vec::new(), words("AUTH wrong\r\n", 50)),
                20,
            ),
            (resp, Habit::Flood(Vec::new(), words("*x\r\n", 50)), 20),
            (http, Habit::Flood(Vec::new(), no_routes), 20),
            (
                http,
                Habit::Flood(Vec::new(), words("nonsense\r\n\r\n", 20)),
                20,
            ),
        ],
    }
}

fn reconnecting_ones(keyed: &Keyed) -> Trouble {
    let (resp, http) = (keyed.server.resp_address(), keyed.server.http_address());
    let wrong_key = words("AUTH wrong\r\nQUIT\r\n", 1);
    let old = words("GET / HTTP/1.0\r\n\r\n", 1);
    Trouble {
        name: "reconnecting without end",
        kinds: vec![
            (resp, Habit::Reconnect(wrong_key), 60),
            (resp, Habit::Reconnect(Vec::new()), 20),
            (http, Habit::Reconnect(old), 20),
        ],
    }
}

/// Runs all troubles, one after the other; answers the lines of the table.
///
/// # Errors
/// The first promise that was not kept.
pub(super) fn run(seconds: f64, connections: usize) -> Result<Vec<String>, String> {
    let max = (connections * 4).to_string();
    // A sync takes a device 0.5 to 100 ms, by what others ask of it and by when the system's threads for it
    // get a processor beside the crowd. That is no answer to whether a server lets a client wait.
    let keyed = Keyed::on(
        TempDir::in_memory(),
        &[
            "--cores",
            "1",
            "--memory",
            MEMORY,
            "--resp-connections-max",
            &max,
        ],
    )?;
    let mut client = keyed.client();
    client.say("KD.JOIN c0 good u1");
    for channel in 0..50 {
        client.say(&format!("KD.JOIN d{channel} u1"));
    }
    let mut lines = Vec::new();
    let mut next_id = 1;
    let watch = Watch::default();
    for trouble in troubles(&keyed, connections) {
        let line = compare(&keyed, &mut client, &trouble, &watch, seconds, &mut next_id)?;
        lines.push(line);
    }
    lines.push(watch.judge("hostile clients")?);
    Ok(lines)
}

/// The good client before and during one trouble.
fn compare(
    keyed: &Keyed,
    client: &mut Client,
    trouble: &Trouble,
    watch: &Watch,
    seconds: f64,
    next_id: &mut u32,
) -> Result<String, String> {
    let time = Duration::from_secs_f64(seconds);
    let queue = Queue::new(keyed.server.pid());
    let mut ask = |client: &mut Client| {
        let felt = good::ask(client, &queue, *next_id, time)?;
        *next_id += u32::try_from(felt.asked()).unwrap();
        Ok::<Felt, String>(felt)
    };
    let (mut before, mut during) = (Felt::default(), Felt::default());
    let mut line = String::new();
    for round in 1..=ROUNDS_MAX {
        before.add(ask(client)?);
        let crowd = Crowd::start(trouble.kinds.clone());
        during.add(watch.during(&keyed.server, || ask(client))?);
        let (counts, counts_kept) = changed(&mut before.counts, &mut during.counts);
        let (acks, acks_kept) = changed(&mut before.acks, &mut during.acks);
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        line = format!(
            "{:30} counts {counts}, acks {acks}, {} requests  BUSY {}  connected {}, ended {}, {} KiB of answers, turns over 10 ms {}",
            trouble.name,
            during.asked(),
            during.busy,
            count(&crowd.seen.connected),
            count(&crowd.seen.ended),
            count(&crowd.seen.answers) >> 10,
            long_turns(&keyed.server),
        );
        drop(crowd);
        if during.busy > 0 {
            return Err(format!("{line}: the good client was refused"));
        }
        if counts_kept && acks_kept && round >= ROUNDS_MIN {
            return Ok(line);
        }
        sleep(Duration::from_millis(500));
    }
    Err(format!(
        "{line}: p99 more than twice as long, and {FLOOR:?}"
    ))
}

/// The turns of the core that took long, since the start.
fn long_turns(server: &Server) -> String {
    let metrics = Web::new(server.admin_address()).get("/metrics").body;
    let counts = metrics.lines().filter_map(|line| {
        let line = line.strip_prefix("kidoku_core_long_stalls_total{core=\"0\",work=\"")?;
        let (work, count) = line.split_once("\"} ")?;
        (count != "0").then(|| format!("{count} of {work}"))
    });
    let counts: Vec<String> = counts.collect();
    if counts.is_empty() {
        "none".to_owned()
    } else {
        counts.join(", ")
    }
}

/// What became of the time that requests took, and whether that is as promised.
fn changed(before: &mut Took, during: &mut Took) -> (String, bool) {
    let ([p99, median, _], [p99_during, median_during, most]) =
        (before.summary(), during.summary());
    let line = format!(
        "p99 {p99:.2?} -> {p99_during:.2?} (median {median:.2?} -> {median_during:.2?}, most {most:.0?})"
    );
    (line, p99_during <= p99 * 2 + FLOOR)
}

/// What a connection costs that has given no key; answers the lines of the table.
///
/// # Errors
/// One that costs more than it may.
pub(super) fn cost(connections: usize) -> Result<Vec<String>, String> {
    let max = (connections * 5).to_string();
    let mut lines = Vec::new();
    for (name, is_resp, first) in [
        ("RESP, silent", true, Vec::new()),
        ("RESP, half a command", true, half_command()),
        ("HTTP, silent", false, Vec::new()),
        ("HTTP, half a head", false, half_head()),
        ("HTTP/2, silent", false, h2_begin(&[])),
        ("HTTP/2, half a head", false, h2_begin(&h2_half_head())),
        ("HTTP/2, takes no answer", false, h2_untaken()),
    ] {
        let keyed = Keyed::start(&["--cores", "1", "--resp-connections-max", &max])?;
        let address = if is_resp {
            keyed.server.resp_address()
        } else {
            keyed.server.http_address()
        };
        keyed.client();
        let before = keyed.server.resident_bytes();
        let crowd = Crowd::start(vec![(address, Habit::Silent(first), connections)]);
        sleep(Duration::from_millis(700));
        let after = keyed.server.resident_bytes();
        let each = after.saturating_sub(before) / u64::try_from(connections).unwrap();
        let ended = crowd.seen.ended.load(Ordering::Relaxed);
        lines.push(format!(
            "{name:22} {:5.1} KiB each",
            machine::figure(each) / 1024.0
        ));
        if each > CONNECTION_BYTES_MAX || ended > 0 {
            return Err(format!("{}; {ended} were ended", lines.join("\n")));
        }
    }
    Ok(lines)
}

/// Files that the server may have open, in [`files`].
const FILES_MAX: usize = 700;

/// More connections than the process may have open files: some are left for the log and the store,
/// and who is connected goes on. Answers the line of the table.
///
/// # Errors
/// A write that was refused, or too many files taken.
pub(super) fn files() -> Result<String, String> {
    let keyed = Keyed::start(&["--cores", "1", "--log-segment-bytes", "1MiB"])?;
    machine::limit_files(keyed.server.pid(), FILES_MAX)?;
    let mut client = keyed.client();
    let (resp, http) = (keyed.server.resp_address(), keyed.server.http_address());
    let _crowd = Crowd::start(vec![
        (resp, Habit::Silent(Vec::new()), FILES_MAX),
        (http, Habit::Silent(Vec::new()), FILES_MAX),
    ]);
    let segments = || {
        let dir = keyed.server.dir().join("log");
        std::fs::read_dir(dir).map_or(0, Iterator::count)
    };
    let before = segments();
    let long = "c".repeat(120);
    let (mut id, begun) = (0_u32, std::time::Instant::now());
    // The first one may only be begun now; the second shows that one can be closed and followed.
    while segments() < before + 2 {
        let acks: Vec<Vec<String>> = (0..1_000)
            .map(|_| {
                id += 1;
                ["KD.ACK", "good", &long, &id.to_string()]
                    .map(str::to_owned)
                    .to_vec()
            })
            .collect();
        for reply in client.pipeline(&acks) {
            if reply != crate::wire::Value::Int(1) {
                return Err(format!(
                    "with all files taken an ack was answered {reply:?}"
                ));
            }
        }
        if begun.elapsed() > Duration::from_secs(60) {
            return Err("no new segment was begun".to_owned());
        }
    }
    let path = format!("/proc/{}/fd", keyed.server.pid());
    let open = std::fs::read_dir(path).map_or(FILES_MAX, Iterator::count);
    let line = format!(
        "{} connections, {open} of {FILES_MAX} files open, {id} acks, new segments",
        2 * FILES_MAX
    );
    if open + 100 > FILES_MAX {
        Err(line)
    } else {
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(micros: u64) -> Took {
        Took::of((0..200).map(|n| Duration::from_micros(if n < 190 { 100 } else { micros })))
    }

    #[test]
    fn a_client_may_wait_twice_as_long_and_the_floor_at_its_p99() {
        for (before, during, is_kept) in [
            (1_000, 3_000, true),
            (1_000, 3_001, false),
            (10_000, 21_001, false),
            (10_000, 500, true),
        ] {
            let (line, kept) = changed(&mut took(before), &mut took(during));
            assert_eq!(kept, is_kept, "{line}");
        }
    }
}
