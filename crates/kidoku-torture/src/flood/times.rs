//! Every time limit of a connection, on the real server and with the times that it serves with: one
//! connection for each, all at once, so that all of them take no longer than the longest.

use super::hostile::Keyed;
use crate::certificates::Authority;
use crate::h2::{self, END_STREAM, PING, PREFACE, SETTINGS};
use crate::server::{Server, TempDir, run as run_kidoku};
use crate::web::Web;
use crate::wire::encode;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How much later than its time a limit may be kept: deadlines are looked at twice a second, whoever
/// is told why may take two seconds to read it, and the machine is busy with other things.
const SLACK: Duration = Duration::from_secs(6);

/// How much earlier, which is the time in which the system still takes bytes for a server that takes
/// none any more, or a client does not get around to looking at the clock.
const EARLY: Duration = Duration::from_millis(1_500);

/// Between two bytes of a client that takes its time.
const DRIP: Duration = Duration::from_millis(500);

/// What a client does.
enum Act {
    /// Sends this, and then reads.
    Send(Vec<u8>),
    /// The same, and goes on with a byte of the second now and then.
    Drip(Vec<u8>, &'static [u8]),
    /// The same over HTTP/2, and answers when it is asked whether it is still there.
    Frames(Vec<u8>),
    /// Sends the first, and then the second for as long as the server takes it; reads nothing.
    Deaf(Vec<u8>, Vec<u8>),
}

/// How a connection has to end.
enum End {
    /// The server hangs up.
    Closed,
    /// The server says this, whatever it does then.
    Says(&'static str),
}

/// One limit.
struct Case {
    name: &'static str,
    at: SocketAddr,
    act: Act,
    end: End,
    limit_s: u64,
    /// Seconds that it may take longer, where the server looks only now and then.
    more_s: u64,
}

fn case(name: &'static str, at: SocketAddr, act: Act, end: End, limit_s: u64) -> Case {
    Case {
        name,
        at,
        act,
        end,
        limit_s,
        more_s: 0,
    }
}

fn silent() -> Act {
    Act::Send(Vec::new())
}

/// Servers that a stranger may reach.
pub(super) struct Servers {
    keyed: Keyed,
    secure: Server,
    _dir: TempDir,
    token: String,
}

impl Servers {
    /// Starts them.
    ///
    /// # Errors
    /// They can not be put on their core.
    pub(super) fn start() -> Result<Self, String> {
        let keyed = Keyed::start(&["--cores", "1"])?;
        let dir = TempDir::new();
        let own = Authority::new(dir.path(), "ca").issue("own");
        let (cert, key) = (own.cert.to_str().unwrap(), own.key.to_str().unwrap());
        let secure = Server::with(&["--cores", "1", "--tls-cert", cert, "--tls-key", key]);
        let path = keyed.server.dir().to_str().unwrap();
        let made = run_kidoku(&["token", "issue", "--user", "ada", "--data-dir", path]);
        let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        Ok(Self {
            keyed,
            secure,
            _dir: dir,
            token,
        })
    }

    /// Waits for all limits at once; answers the line of the table.
    ///
    /// # Errors
    /// Those that were not kept.
    pub(super) fn run(&self) -> Result<String, String> {
        let mut cases = self.resp();
        cases.extend(self.tls());
        cases.extend(self.http1());
        cases.extend(self.http2());
        cases.extend(self.sockets());
        let (count, begun) = (cases.len(), Instant::now());
        let wrong: Vec<String> = thread::scope(|scope| {
            let running: Vec<_> = cases
                .into_iter()
                .map(|case| scope.spawn(move || case.run()))
                .collect();
            let ended = running.into_iter().map(|case| case.join().unwrap());
            ended.filter_map(Result::err).collect()
        });
        if !wrong.is_empty() {
            return Err(wrong.join("\n"));
        }
        self.judge_metrics()?;
        let took = begun.elapsed().as_secs_f64();
        Ok(format!("{count} time limits were kept, in {took:.0} s"))
    }

    fn resp(&self) -> Vec<Case> {
        let (at, _) = self.ports();
        let no_key = || End::Says("(login_time_max)");
        let half = b"*2\r\n$4\r\nAUTH\r\n$9\r\nx".to_vec();
        let deaf = Act::Deaf(
            encode(&["AUTH", &self.keyed.key]),
            encode(&["ECHO", &"e".repeat(60_000)]),
        );
        let drip = Act::Drip(Vec::new(), b"PING\r\n");
        vec![
            case("RESP, silent", at, silent(), no_key(), 10),
            case("RESP, half a command", at, Act::Send(half), no_key(), 10),
            case("RESP, a command now and then", at, drip, no_key(), 10),
            case("RESP, reads no answers", at, deaf, End::Closed, 10),
        ]
    }

    fn tls(&self) -> Vec<Case> {
        let (resp, http) = (self.secure.resp_address(), self.secure.http_address());
        // The first of a hello of 200 bytes (RFC 8446, sections 4 and 5.1).
        let hello = || Act::Send(vec![22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]);
        vec![
            case("RESP, TLS, silent", resp, silent(), End::Closed, 5),
            case("RESP, TLS, half a hello", resp, hello(), End::Closed, 5),
            case("HTTP, TLS, silent", http, silent(), End::Closed, 5),
            case("HTTP, TLS, half a hello", http, hello(), End::Closed, 5),
        ]
    }

    fn http1(&self) -> Vec<Case> {
        let (_, at) = self.ports();
        let auth = format!("authorization: Bearer {}\r\n", self.keyed.key);
        let ask = |auth: &str| {
            format!("GET /v1/users/u/state HTTP/1.1\r\nhost: k\r\n{auth}\r\n").into_bytes()
        };
        let half = b"GET / HTTP/1.1\r\nhost: k\r\n".to_vec();
        let drip = Act::Drip(b"GET / HTTP/1.1\r\n".to_vec(), b"x-a: b\r\n");
        // So many at once that the server owes more than the system holds for anybody, before the first
        // answers fill the way back and with it what would carry the acknowledgements of later requests: a
        // server that gets none of those takes the client for idle, and rightly so.
        let document = "GET /openapi.json HTTP/1.1\r\nhost: k\r\n\r\n".repeat(2_000);
        let deaf = Act::Deaf(Vec::new(), document.into_bytes());
        let refused = Act::Send(ask(""));
        let idle = Act::Send(ask(&auth));
        let (keyless_body, body) = (Act::Send(half_body("")), Act::Send(half_body(&auth)));
        // It is not waited for.
        let at_once = End::Says("HTTP/1.1 401");
        let stalled = End::Says("nothing came for 60 seconds");
        vec![
            case("HTTP, silent", at, silent(), End::Closed, 10),
            case("HTTP/1, half a head", at, Act::Send(half), End::Closed, 5),
            case("HTTP/1, a head byte by byte", at, drip, End::Closed, 5),
            case("HTTP/1, silent after a 401", at, refused, End::Closed, 5),
            case("HTTP/1, no key, half a body", at, keyless_body, at_once, 0),
            case("HTTP/1, half a body", at, body, stalled, 60),
            case("HTTP/1, reads no answers", at, deaf, End::Closed, 30),
            case("HTTP/1, silent with a key", at, idle, End::Closed, 60),
        ]
    }

    fn http2(&self) -> Vec<Case> {
        let (_, at) = self.ports();
        let bearer = format!("Bearer {}", self.keyed.key);
        let key = [("authorization", bearer.as_str())];
        let typed = [key[0], ("content-type", "application/json")];
        let begin = |more: &[u8]| [PREFACE, &h2::frame(SETTINGS, 0, 0, &[]), more].concat();
        let ask = |path, headers| begin(&h2::request(END_STREAM, 1, "GET", path, headers));
        let state = "/v1/users/u/state";
        let body = begin(&h2::request(0, 1, "POST", "/v1/users/u/ack", &typed));
        let half = Act::Send(PREFACE[..9].to_vec());
        let begun = Act::Frames(begin(&[]));
        let refused = Act::Frames(ask(state, &[]));
        let deaf = Act::Frames(ask("/openapi.json", &key));
        let stalled = End::Says("nothing came for 60 seconds");
        let gone = Act::Send(ask(state, &key));
        let idle = Act::Frames(ask(state, &key));
        vec![
            case("HTTP/2, half a preface", at, half, End::Closed, 5),
            case("HTTP/2, silent", at, begun, End::Closed, 10),
            case("HTTP/2, silent after a 401", at, refused, End::Closed, 5),
            case("HTTP/2, half a body", at, Act::Frames(body), stalled, 60),
            case("HTTP/2, takes no answer", at, deaf, End::Closed, 30),
            case("HTTP/2, answers no ping", at, gone, End::Closed, 30),
            case("HTTP/2, silent with a key", at, idle, End::Closed, 60),
        ]
    }

    fn sockets(&self) -> Vec<Case> {
        let (_, http) = self.ports();
        let upgrade = |more: &str| {
            format!(
                "GET /v1/me/ws HTTP/1.1\r\nhost: k\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
            )
            .into_bytes()
        };
        let auth = format!("authorization: Bearer {}\r\n", self.token);
        // A text whose mask is zeros (RFC 6455, section 5.2).
        let request = b"{\"op\":\"ack\",\"n\":1,\"channel\":\"c\",\"id\":\"1\"}";
        let mut message = vec![0x81, 0x80 | u8::try_from(request.len()).unwrap()];
        message.extend([0; 4]);
        message.extend(request);
        vec![
            case(
                "WebSocket, no token",
                http,
                Act::Send(upgrade("")),
                End::Says("no token came in time"),
                5,
            ),
            case(
                "WebSocket, half a token",
                http,
                Act::Send([upgrade(""), vec![0x81, 0x80 | 20, 0, 0, 0, 0, b'{']].concat()),
                End::Says("no token came in time"),
                5,
            ),
            case(
                "WebSocket, reads no answers",
                http,
                Act::Deaf(upgrade(&auth), message.repeat(100)),
                End::Closed,
                10,
            ),
            Case {
                // It is asked every 25 seconds whether it is still there.
                more_s: 25,
                ..case(
                    "WebSocket, does not say that it is still there",
                    http,
                    Act::Send(upgrade(&auth)),
                    End::Closed,
                    60,
                )
            },
        ]
    }

    fn ports(&self) -> (SocketAddr, SocketAddr) {
        let server = &self.keyed.server;
        (server.resp_address(), server.http_address())
    }

    /// Those who were cut off are counted, by what for, and none is left.
    fn judge_metrics(&self) -> Result<(), String> {
        let text = Web::new(self.keyed.server.admin_address())
            .get("/metrics")
            .body;
        for (metric, expected) in [
            (
                "kidoku_resp_connections_dropped_total{reason=\"login\"} ",
                "3",
            ),
            (
                "kidoku_resp_connections_dropped_total{reason=\"stall\"} ",
                "1",
            ),
            ("kidoku_resp_connections ", "0"),
            ("kidoku_resp_connections_without_key ", "0"),
        ] {
            let found = text.lines().find_map(|line| line.strip_prefix(metric));
            if found != Some(expected) {
                return Err(format!("{metric}is {found:?} and not {expected}"));
            }
        }
        Ok(())
    }
}

/// A request whose body stops before its end.
fn half_body(auth: &str) -> Vec<u8> {
    format!(
        "POST /v1/users/u/ack HTTP/1.1\r\nhost: k\r\n{auth}content-type: application/json\r\n\
         content-length: 60\r\n\r\n{{\"channel\":"
    )
    .into_bytes()
}

impl Case {
    fn run(&self) -> Result<(), String> {
        let stream = TcpStream::connect(self.at).unwrap();
        let begun = Instant::now();
        let (took, heard) = match &self.act {
            Act::Deaf(first, word) => (until_refused(stream, first, word), String::new()),
            Act::Send(first) => self.until_ended(stream, first, &[], false),
            Act::Drip(first, word) => self.until_ended(stream, first, word, false),
            Act::Frames(first) => self.until_ended(stream, first, &[], true),
        };
        // What arrived last may have been written long before, and by nobody but the system again, so
        // too early is only what is so since the beginning.
        let too_early = begun.elapsed() + EARLY < Duration::from_secs(self.limit_s);
        let most = Duration::from_secs(self.limit_s + self.more_s) + SLACK;
        let said = match self.end {
            End::Closed => true,
            End::Says(text) => heard.contains(text),
        };
        if too_early || took > most || !said {
            let Self { name, limit_s, .. } = self;
            return Err(format!(
                "{name}: ended after {took:.1?} of {limit_s} s, having heard {heard:?}"
            ));
        }
        Ok(())
    }

    /// Reads until the server hangs up, or says what it should; answers how long that took and what
    /// was heard.
    fn until_ended(
        &self,
        mut stream: TcpStream,
        first: &[u8],
        word: &[u8],
        pongs: bool,
    ) -> (Duration, String) {
        let begun = Instant::now();
        let enough = Duration::from_secs(self.limit_s + self.more_s) + 2 * SLACK;
        let mut bytes = Vec::new();
        let (mut answered, mut drips) = (0, word.iter().cycle());
        stream.set_read_timeout(Some(DRIP)).unwrap();
        // A server that has hung up is found when reading.
        drop(stream.write_all(first));
        while begun.elapsed() < enough {
            let mut piece = [0; 16 << 10];
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => bytes.extend(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let drip: Vec<u8> = drips.next().copied().into_iter().collect();
                    drop(stream.write_all(&drip));
                }
                Err(_) => break,
            }
            if pongs {
                answered += answer_pings(&mut stream, &bytes, answered);
            }
            if let End::Says(text) = self.end
                && String::from_utf8_lossy(&bytes).contains(text)
            {
                break;
            }
        }
        let took = begun.elapsed();
        // What was said last is what matters.
        let last = bytes.len().saturating_sub(1_000);
        (took, String::from_utf8_lossy(&bytes[last..]).into_owned())
    }
}

/// Answers what is asked in frames behind the first `at` bytes; answers how many bytes those were.
fn answer_pings(stream: &mut TcpStream, bytes: &[u8], at: usize) -> usize {
    let mut rest = &bytes[at..];
    while let Some((head, after)) = rest.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let Some((payload, after)) = after.split_at_checked(usize::try_from(length).unwrap())
        else {
            break;
        };
        if (head[3], head[4]) == (PING, 0) {
            drop(stream.write_all(&h2::frame(PING, h2::ACK, 0, payload)));
        }
        rest = after;
    }
    bytes.len() - at - rest.len()
}

/// Sends and takes nothing until the server hangs up; answers how long nothing more of its answers had
/// arrived before. What it can still write says nothing of the server: short of memory, the system takes
/// some of it at any time.
fn until_refused(mut stream: TcpStream, first: &[u8], word: &[u8]) -> Duration {
    drop(stream.write_all(first));
    stream.set_write_timeout(Some(DRIP)).unwrap();
    stream.set_read_timeout(Some(DRIP)).unwrap();
    let (begun, mut at) = (Instant::now(), 0);
    let (mut last, mut arrived) = (Instant::now(), Arrived::default());
    while begun.elapsed() < Duration::from_secs(120) {
        match stream.write(&word[at..]) {
            Ok(count) => at = (at + count) % word.len(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        if arrived.grew(&stream) {
            last = Instant::now();
        }
    }
    last.elapsed()
}

/// What has arrived at a socket that nobody reads.
#[derive(Default)]
struct Arrived {
    room: Vec<u8>,
    count: usize,
}

impl Arrived {
    /// True when there is more than the last time.
    fn grew(&mut self, stream: &TcpStream) -> bool {
        loop {
            let Ok(count) = stream.peek(&mut self.room) else {
                return false;
            };
            if count == self.room.len() {
                self.room.resize((2 * count).max(1 << 20), 0);
                continue;
            }
            let grew = count > self.count;
            self.count = count;
            return grew;
        }
    }
}
