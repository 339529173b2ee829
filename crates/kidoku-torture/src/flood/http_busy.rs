//! More requests over HTTP than the server takes on at a time, on a disk that holds all of them up:
//! no more than necessary are refused, each is told when to come again, and who does so is served.

use super::machine;
use super::overload::MEMORY;
use super::slow_disk::SlowDisk;
use crate::h2::{self, Answer, DATA, END_STREAM, H2};
use crate::server::{PATIENCE, Server};
use crate::web::Web;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Requests that a core has under way at a time, as `docs/operating/overload.md` says.
const UNDERWAY_MAX: u32 = 16_384;
/// Connections of the flood,
const CONNECTIONS: u32 = 200;
/// and requests at a time on each, which is as many as one may have.
const EACH: u32 = 100;

/// How long a sync takes longer: all requests have to come while one is waited for.
const SYNC_DELAY: Duration = Duration::from_secs(8);

/// How long the server has to take them all in. Before that, a client that asks for one thing would be
/// served ahead of them, and not refused.
const TAKING_IN: Duration = Duration::from_secs(4);

/// How often it is tried to be faster than the disk.
const TRIES: usize = 3;

/// Runs it; answers the line of the table.
///
/// # Errors
/// The first promise that was not kept.
pub(super) fn run() -> Result<String, String> {
    let args = ["--dev", "--cores", "1", "--memory", MEMORY];
    let mut server = Server::with(&args);
    machine::pin(server.pid(), machine::SERVER_CORE)?;
    let mut acked = BTreeMap::new();
    let mut refused = 0;
    for id in 1..=u32::try_from(TRIES).unwrap() {
        let seen = flood(&server, id, &mut acked)?;
        refused += seen.refused;
        if seen.refused > 0 && seen.waited > 0 {
            let counted = counted_refusals(&server)?;
            if counted != refused + seen.waited {
                return Err(format!(
                    "{counted} refusals are counted, {refused} and {} were seen",
                    seen.waited
                ));
            }
            let compared = check_after_kill(&mut server, &args, &acked)?;
            return Ok(format!(
                "{} requests at once over HTTP: {} done, {} told 429 and when to come again; then \
                 they were done too; who came again was served the {}. time; {compared} acks are \
                 there after kill -9",
                CONNECTIONS * EACH,
                seen.done,
                seen.refused,
                seen.waited + 1
            ));
        }
        refused += seen.waited;
    }
    Err(format!(
        "{} requests at once and none was refused",
        CONNECTIONS * EACH
    ))
}

/// What came of a flood.
struct Seen {
    done: u32,
    refused: u32,
    /// How often the client that behaves was refused before it was served.
    waited: u32,
}

fn user(connection: u32, stream: u32) -> String {
    format!("u{connection}-{stream}")
}

fn flood(server: &Server, id: u32, acked: &mut BTreeMap<String, u32>) -> Result<Seen, String> {
    let address = server.http_address();
    let mut flooding: Vec<_> = (0..CONNECTIONS).map(|_| connect(address)).collect();
    let slow = SlowDisk::begin(server.pid(), SYNC_DELAY)?;
    for (number, h2) in (0..).zip(&mut flooding) {
        let all: Vec<u8> = (0..EACH)
            .flat_map(|n| ack(&user(number, n), 2 * n + 1, id))
            .collect();
        h2.stream.write_all(&all).unwrap();
    }
    sleep(TAKING_IN);
    let waited = behave(address, id)?;
    drop(slow);
    let mut seen = Seen {
        done: 0,
        refused: 0,
        waited,
    };
    let mut again = Vec::new();
    for (number, h2) in (0..).zip(&mut flooding) {
        for (stream, answer) in answers(h2, EACH) {
            let user = user(number, (stream - 1) / 2);
            if judge(&answer)? {
                acked.insert(user, id);
                seen.done += 1;
            } else {
                again.push((user, answer.retry_after_s));
                seen.refused += 1;
            }
        }
    }
    if seen.refused > CONNECTIONS * EACH - UNDERWAY_MAX {
        return Err(format!(
            "{} of {} requests were refused, {UNDERWAY_MAX} may be under way",
            seen.refused,
            CONNECTIONS * EACH
        ));
    }
    // Longer than any was told; the disk is quick again, so nothing is in the way.
    let told = again.iter().filter_map(|(_, told)| *told).max();
    sleep(Duration::from_secs(u64::from(told.unwrap_or(0))));
    for part in again.chunks(usize::try_from(EACH).unwrap()) {
        let mut h2 = connect(address);
        for (n, (user, _)) in (0..).zip(part) {
            h2.stream.write_all(&ack(user, 2 * n + 1, id)).unwrap();
        }
        for (stream, answer) in answers(&mut h2, u32::try_from(part.len()).unwrap()) {
            let (user, _) = &part[usize::try_from((stream - 1) / 2).unwrap()];
            if !judge(&answer)? {
                return Err(format!(
                    "{user} came again as told and was refused: {answer:?}"
                ));
            }
            acked.insert(user.clone(), id);
        }
    }
    Ok(seen)
}

fn connect(address: SocketAddr) -> H2<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    H2::open(stream)
}

/// The frames of an ack.
fn ack(user: &str, stream: u32, id: u32) -> Vec<u8> {
    let path = format!("/v1/users/{user}/ack");
    let kind = [("content-type", "application/json")];
    let mut bytes = h2::request(0, stream, "POST", &path, &kind);
    let body = format!("{{\"channel\":\"c\",\"id\":\"{id}\"}}");
    bytes.extend(h2::frame(DATA, END_STREAM, stream, body.as_bytes()));
    bytes
}

/// The answers to so many requests, each with its stream.
fn answers(h2: &mut H2<TcpStream>, count: u32) -> Vec<(u32, Answer)> {
    let mut open: BTreeMap<u32, Answer> = BTreeMap::new();
    let mut done = Vec::new();
    while done.len() < usize::try_from(count).unwrap() {
        let frame = h2.hear();
        if frame.kind == h2::PING {
            h2.send(h2::PING, h2::ACK, 0, &frame.payload);
            continue;
        }
        let stream = frame.stream;
        if open.entry(stream).or_default().take(&frame) {
            done.push((stream, open.remove(&stream).unwrap()));
        }
    }
    done
}

/// True when the request was done, false when it was properly refused.
fn judge(answer: &Answer) -> Result<bool, String> {
    let says_busy = answer.body.windows(6).any(|six| six == b"\"BUSY\"");
    match (answer.status, answer.retry_after_s) {
        (200, _) => Ok(true),
        (429, Some(1..)) if says_busy => Ok(false),
        _ => Err(format!(
            "answered {} {:?} {}",
            answer.status,
            answer.retry_after_s,
            String::from_utf8_lossy(&answer.body)
        )),
    }
}

/// A client that comes again when it is told to: answers how often it was refused before.
fn behave(address: SocketAddr, id: u32) -> Result<u32, String> {
    let web = Web::new(address);
    let body = serde_json::json!({"channel": "c", "id": id.to_string()});
    let (begun, mut longer) = (Instant::now(), 1);
    for refused in 0.. {
        let answer = web.post("/v1/users/good/ack", &body);
        if answer.status == 200 {
            return Ok(refused);
        }
        let told = answer.header("retry-after").map(str::to_owned);
        let seconds: Option<u64> = told.as_deref().and_then(|text| text.parse().ok());
        let (429, "BUSY", Some(seconds)) = (answer.status, answer.problem().as_str(), seconds)
        else {
            return Err(format!("refused, and with {told:?}: {answer:?}"));
        };
        if begun.elapsed() > PATIENCE {
            break;
        }
        sleep(Duration::from_secs(seconds * longer));
        longer *= 2;
    }
    Err(format!("came again for {PATIENCE:?} and was never served"))
}

fn counted_refusals(server: &Server) -> Result<u32, String> {
    let text = Web::new(server.admin_address()).get("/metrics").body;
    let metric = "kidoku_http_refusals_total{code=\"BUSY\"} ";
    text.lines()
        .find_map(|line| line.strip_prefix(metric)?.parse().ok())
        .ok_or_else(|| format!("no {metric}in the metrics"))
}

/// Kills the server, starts it again, and looks for every ack that was answered.
fn check_after_kill(
    server: &mut Server,
    args: &[&str],
    acked: &BTreeMap<String, u32>,
) -> Result<usize, String> {
    server.kill();
    let again = Server::on(server.dir(), args);
    let commands: Vec<Vec<String>> = acked
        .keys()
        .map(|user| ["KD.COUNT", user, "c"].map(str::to_owned).to_vec())
        .collect();
    for ((user, id), reply) in acked.iter().zip(again.client().pipeline(&commands)) {
        let cursor = reply.items()[0].get("cursor").number();
        if cursor < u64::from(*id) {
            return Err(format!(
                "LOST: an ack of {user} at {id} was answered, the cursor stands at {cursor}"
            ));
        }
    }
    Ok(acked.len())
}
