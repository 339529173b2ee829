//! TLS with the real binary and other people's clients: redis-cli, curl, OpenSSL, Python.

use crate::clients::installed;
use kidoku_torture::certificates::{Authority, Pair};
use kidoku_torture::server::{PATIENCE, Server, TempDir, kidoku, said};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a handshake may take, and what a busy machine adds.
const HANDSHAKE: Duration = Duration::from_secs(5);
const SLACK: Duration = Duration::from_secs(20);

/// A server with TLS, and what it takes to reach it.
pub(crate) struct Secure {
    pub(crate) server: Server,
    authority: Authority,
    own: Pair,
    dir: TempDir,
}

impl Secure {
    pub(crate) fn new(args: &[&str]) -> Self {
        Self::with(args, |_| Vec::new())
    }

    /// With arguments that need the files to be there.
    fn with(args: &[&str], more: impl Fn(&Authority) -> Vec<String>) -> Self {
        let dir = TempDir::new();
        let authority = Authority::new(dir.path(), "ca");
        let own = authority.issue("own");
        let mut all: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        all.extend(["--tls-cert".to_owned(), text(&own.cert)]);
        all.extend(["--tls-key".to_owned(), text(&own.key)]);
        all.extend(more(&authority));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let server = Server::with(&all);
        Self {
            server,
            authority,
            own,
            dir,
        }
    }

    fn redis(&self, args: &[&str]) -> Output {
        let port = self.server.resp_address().port().to_string();
        let mut words = vec!["-p", port.as_str()];
        words.extend(args);
        program("redis-cli", &words)
    }

    /// What redis-cli says to a command that it sends over TLS.
    pub(crate) fn say(&self, command: &str) -> String {
        let ca = text(&self.authority.cert());
        let mut words = vec!["--tls", "--cacert", ca.as_str()];
        words.extend(command.split(' '));
        told(&self.redis(&words))
    }

    fn curl(&self, address: SocketAddr, path: &str, args: &[&str]) -> Output {
        let (ca, url) = (
            text(&self.authority.cert()),
            format!("https://{address}{path}"),
        );
        let mut words = vec![
            "--silent",
            "--show-error",
            "--cacert",
            ca.as_str(),
            url.as_str(),
        ];
        words.extend(args);
        program("curl", &words)
    }

    /// A connection whose certificate can be looked at and that stays open.
    fn connect(&self, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        let mut stream = self.open(address, &[]);
        // The first byte sent makes the handshake happen.
        ping(&mut stream);
        stream
    }

    /// A connection of which the first byte makes the handshake happen, for one of these protocols.
    pub(crate) fn open(
        &self,
        address: SocketAddr,
        protocols: &[&str],
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let mut authorities = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.authority.cert()).unwrap();
        authorities.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(authorities)
            .with_no_client_auth();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = ClientConnection::new(Arc::new(config), name).unwrap();
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(tls, tcp)
    }

    /// The certificate that a new connection is shown.
    fn shown(&self) -> Vec<u8> {
        let stream = self.connect(self.server.resp_address());
        stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    fn until_shown(&self, pair: &Pair) {
        let expected = CertificateDer::from_pem_file(&pair.cert).unwrap().to_vec();
        until("the new certificate is shown", || self.shown() == expected);
    }

    fn readiness(&self) -> serde_json::Value {
        let answer = self.curl(self.server.admin_address(), "/readyz", &[]);
        serde_json::from_slice(&answer.stdout).unwrap()
    }

    fn hang_up(&self) {
        let pid = self.server.pid().to_string();
        assert!(program("kill", &["-HUP", &pid]).status.success());
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn program(name: &str, args: &[&str]) -> Output {
    let mut command = Command::new(name);
    command.args(args).stdin(Stdio::null());
    let output = command.output();
    output.unwrap_or_else(|error| panic!("{name}, from `cargo xtask setup`: {error}"))
}

fn told(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(both).unwrap().trim().to_owned()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn ping(stream: &mut StreamOwned<ClientConnection, TcpStream>) {
    stream.write_all(b"PING\r\n").unwrap();
    let mut pong = [0; 7];
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"+PONG\r\n");
}

#[test]
fn redis_cli_and_curl_get_through_on_every_port() {
    let secure = Secure::new(&["--dev"]);
    assert_eq!(secure.say("KD.JOIN room ada"), "1");
    assert_eq!(secure.say("KD.POST room 1 BY bob MENTIONS 1 ada"), "1");
    let http = secure.server.http_address();
    let show = [
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_version} %{http_code}",
    ];
    for (protocol, expected) in [("--http1.1", "1.1 200"), ("--http2", "2 200")] {
        let mut args = vec![protocol];
        args.extend(show);
        let answer = secure.curl(http, "/v1/users/ada/badge", &args);
        assert_eq!(told(&answer), expected);
        let answer = secure.curl(secure.server.admin_address(), "/metrics", &args);
        assert_eq!(told(&answer), expected);
    }
    let badge = told(&secure.curl(http, "/v1/users/ada/badge", &[]));
    assert!(badge.contains("\"mentions\":1"), "{badge}");
    // A name that is not in the certificate is another server.
    let elsewhere = format!("elsewhere.example:{}:127.0.0.1", http.port());
    let url = format!("https://elsewhere.example:{}/livez", http.port());
    let ca = text(&secure.authority.cert());
    let args = [
        "--silent",
        "--show-error",
        "--cacert",
        &ca,
        "--resolve",
        &elsewhere,
        &url,
    ];
    let refused = told(&program("curl", &args));
    assert!(refused.contains("SSL"), "{refused}");
}

#[test]
fn curl_speaks_http2_without_tls_too() {
    let server = Server::dev();
    let url = format!("http://{}/v1/users/ada/badge", server.http_address());
    let mut args = vec!["--silent", "--output", "/dev/null"];
    args.extend(["--write-out", "%{http_version} %{http_code}", url.as_str()]);
    args.push("--http2-prior-knowledge");
    assert_eq!(told(&program("curl", &args)), "2 200");
}

#[test]
fn a_port_may_go_without_tls() {
    let secure = Secure::new(&["--dev", "--admin-tls=false"]);
    let url = format!("http://{}/readyz", secure.server.admin_address());
    assert_eq!(
        program("curl", &["--silent", &url]).stdout,
        b"{\"ready\":true,\"reasons\":[]}"
    );
    assert_eq!(secure.say("PING"), "PONG");
}

#[test]
fn old_versions_other_authorities_and_plain_text_are_refused() {
    let secure = Secure::new(&["--dev"]);
    let ca = text(&secure.authority.cert());
    for address in [secure.server.resp_address(), secure.server.http_address()] {
        let address = address.to_string();
        for (version, works) in [
            ("-tls1", false),
            ("-tls1_1", false),
            ("-tls1_2", true),
            ("-tls1_3", true),
        ] {
            // The lowest level of security, or OpenSSL would itself not speak the old ones.
            let mut args = vec!["s_client", "-connect", address.as_str(), version, "-brief"];
            args.extend([
                "-cipher",
                "DEFAULT@SECLEVEL=0",
                "-CAfile",
                &ca,
                "-verify_return_error",
            ]);
            let output = program("openssl", &args);
            let text = told(&output);
            assert_eq!(
                text.contains("CONNECTION ESTABLISHED"),
                works,
                "{version}: {text}"
            );
            assert_eq!(text.contains("alert"), !works, "{version}: {text}");
        }
    }
    let other = Authority::new(secure.dir.path(), "other");
    let words = ["--tls", "--cacert", &text(&other.cert()), "PING"];
    let stranger = told(&secure.redis(&words));
    assert!(stranger.contains("certificate verify failed"), "{stranger}");
    let plain = told(&secure.redis(&["PING"]));
    assert!(!plain.contains("PONG"), "{plain}");
    let url = format!("http://{}/livez", secure.server.http_address());
    assert!(!program("curl", &["--silent", &url]).status.success());
    assert_eq!(secure.say("PING"), "PONG");
}

#[test]
fn with_an_authority_of_clients_a_certificate_is_needed_and_the_key_still_too() {
    let secure = Secure::with(&["--admin-tls=false"], |authority| {
        vec!["--tls-client-ca".to_owned(), text(&authority.cert())]
    });
    let (http, key) = (
        secure.server.http_address(),
        secure.server.dir().join("root.key"),
    );
    let key = fs::read_to_string(key).unwrap();
    let known = secure.authority.issue("known");
    let stranger = Authority::new(secure.dir.path(), "other").issue("stranger");
    let ca = text(&secure.authority.cert());
    let ask = |pair: Option<&Pair>, key: Option<&str>| {
        let mut words = vec!["--tls".to_owned(), "--cacert".to_owned(), ca.clone()];
        if let Some(pair) = pair {
            words.extend(["--cert".to_owned(), text(&pair.cert)]);
            words.extend(["--key".to_owned(), text(&pair.key)]);
        }
        words.extend(
            key.iter()
                .flat_map(|key| ["-a", key.trim()])
                .map(str::to_owned),
        );
        words.extend(["KD.BADGE".to_owned(), "ada".to_owned()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        told(&secure.redis(&words))
    };
    let answered = ask(Some(&known), Some(&key));
    assert!(answered.contains("unread"), "{answered}");
    let no_key = ask(Some(&known), None);
    assert!(no_key.contains("NOAUTH"), "{no_key}");
    for pair in [None, Some(&stranger)] {
        let refused = ask(pair, Some(&key));
        assert!(!refused.contains("unread"), "{refused}");
    }
    let bearer = format!("Authorization: Bearer {}", key.trim());
    let (cert, cert_key) = (text(&known.cert), text(&known.key));
    let path = "/v1/users/ada/badge";
    let args = ["--header", &bearer, "--cert", &cert, "--key", &cert_key];
    assert!(told(&secure.curl(http, path, &args)).contains("\"unread\":0"));
    let unknown = secure.curl(http, path, &["--header", &bearer]);
    assert!(
        !unknown.status.success() && unknown.stdout.is_empty(),
        "{unknown:?}"
    );
    let args = ["--cert", &cert, "--key", &cert_key];
    assert!(told(&secure.curl(http, path, &args)).contains("NOAUTH"));
}

#[test]
fn a_new_certificate_is_used_without_a_restart_and_open_connections_go_on() {
    let secure = Secure::new(&["--dev"]);
    let mut open = secure.connect(secure.server.resp_address());
    let first = secure.shown();
    // By itself, some seconds after the files have changed,
    let second = secure.authority.issue("second");
    secure.own.replace(&second);
    secure.until_shown(&second);
    ping(&mut open);
    assert_eq!(open.conn.peer_certificates().unwrap()[0].to_vec(), first);
    // and at once when told so.
    let third = secure.authority.issue("third");
    secure.own.replace(&third);
    secure.hang_up();
    secure.until_shown(&third);
    ping(&mut open);
    let metrics = told(&secure.curl(secure.server.admin_address(), "/metrics", &[]));
    assert!(metrics.contains("kidoku_tls_reloads_total 2"), "{metrics}");
    let log = said(secure.server.dir());
    assert!(log.contains("new connections use the files"), "{log}");
}

#[test]
fn files_that_can_not_be_used_change_nothing_and_are_told_until_they_can() {
    let secure = Secure::new(&["--dev"]);
    let first = secure.shown();
    fs::write(&secure.own.key, "nonsense").unwrap();
    until("the broken file is told", || {
        secure.readiness()["warnings"].is_array()
    });
    let readiness = secure.readiness();
    assert_eq!(readiness["ready"], true);
    let warning = readiness["warnings"][0].as_str().unwrap();
    assert!(warning.contains("not used: tls.key"), "{warning}");
    secure.hang_up();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(secure.shown(), first);
    let metrics = told(&secure.curl(secure.server.admin_address(), "/metrics", &[]));
    assert!(
        !metrics.contains("kidoku_tls_reload_failures_total 0"),
        "{metrics}"
    );
    let log = said(secure.server.dir());
    assert!(log.contains("the changed files are NOT used"), "{log}");
    assert!(!log.contains("nonsense"), "{log}");
    let good = secure.authority.issue("good");
    secure.own.replace(&good);
    secure.until_shown(&good);
    until("nothing is told any more", || {
        secure.readiness()["warnings"].is_null()
    });
}

#[test]
fn a_slow_handshake_ends_at_its_deadline_and_holds_up_nobody() {
    let secure = Secure::new(&["--dev"]);
    let server = &secure.server;
    let ports = [
        server.resp_address(),
        server.http_address(),
        server.admin_address(),
    ];
    std::thread::scope(|scope| {
        for address in ports {
            for drips in [false, true] {
                scope.spawn(move || {
                    let took = hold_up(address, drips);
                    assert!(
                        took >= HANDSHAKE / 2 && took < HANDSHAKE + SLACK,
                        "{took:?}"
                    );
                });
            }
        }
        // Meanwhile the others are served.
        for _ in 0..10 {
            ping(&mut secure.connect(server.resp_address()));
        }
    });
    let metrics = told(&secure.curl(server.admin_address(), "/metrics", &[]));
    assert!(
        metrics.contains("kidoku_tls_handshake_failures_total 6"),
        "{metrics}"
    );
}

/// Begins a handshake and never comes to its end; how long the server takes part in it.
fn hold_up(address: SocketAddr, drips: bool) -> Duration {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let begun = Instant::now();
    // A record of a handshake that is said to have 16 KiB.
    stream.write_all(&[22, 3, 1, 0x40, 0]).unwrap();
    loop {
        match stream.read(&mut [0; 64]) {
            Ok(0) => return begun.elapsed(),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return begun.elapsed(),
        }
        assert!(begun.elapsed() < PATIENCE, "held up for ever");
        if drips && stream.write_all(&[1]).is_err() {
            return begun.elapsed();
        }
    }
}

#[test]
fn a_slow_reader_gets_every_byte_of_what_it_is_owed() {
    let secure = Secure::new(&["--dev"]);
    let stream = secure.connect(secure.server.resp_address());
    let (mut tls, mut tcp) = (stream.conn, stream.sock);
    let payload = "x".repeat(60_000);
    let command = format!("*2\r\n$4\r\nPING\r\n${}\r\n{payload}\r\n", payload.len());
    let expected = format!("${}\r\n{payload}\r\n", payload.len());
    // Nothing is read until the server takes no more, which it does when too much is owed.
    tcp.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    let mut sent = 0;
    let mut is_stuck = false;
    while !is_stuck {
        assert!(sent < 4_000, "the server takes in what it has no room for");
        tls.writer().write_all(command.as_bytes()).unwrap();
        sent += 1;
        while tls.wants_write() && !is_stuck {
            is_stuck = tls.write_tls(&mut tcp).is_err();
        }
    }
    assert!(sent > 100, "far below the server's bounds: {sent}");
    tcp.set_write_timeout(Some(PATIENCE)).unwrap();
    // The last one is half on its way; it can go on when those before are answered.
    let mut received = 0;
    while received < sent * expected.len() {
        if received == (sent - 1) * expected.len() {
            while tls.wants_write() {
                tls.write_tls(&mut tcp).unwrap();
            }
        }
        let mut piece = vec![0; 1 << 16];
        match tls.reader().read(&mut piece) {
            Ok(count) => {
                for (n, byte) in piece[..count].iter().enumerate() {
                    let at = (received + n) % expected.len();
                    assert_eq!(*byte, expected.as_bytes()[at], "at {at} of a reply");
                }
                received += count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                assert!(tls.read_tls(&mut tcp).unwrap() > 0, "the server hung up");
                tls.process_new_packets().unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    ping(&mut StreamOwned::new(tls, tcp));
}

#[test]
fn a_redis_library_gets_through() {
    let Some(python) = installed("py") else {
        return;
    };
    let secure = Secure::new(&["--dev"]);
    let script = "
import redis, sys
client = redis.Redis(port=int(sys.argv[1]), ssl=True, ssl_ca_certs=sys.argv[2], protocol=3)
pipe = client.pipeline(transaction=False)
for n in range(1, 2001):
    pipe.execute_command('KD.POST', 'room', n)
print(sum(pipe.execute()), client.execute_command('PING'))
";
    let (port, ca) = (
        secure.server.resp_address().port().to_string(),
        secure.authority.cert(),
    );
    let python = text(&python.join("bin/python"));
    let output = program(&python, &["-c", script, &port, &text(&ca)]);
    assert_eq!(told(&output), "2000 True");
}

#[test]
fn the_subcommands_reach_a_server_with_tls() {
    let secure = Secure::new(&[]);
    let dir = text(secure.server.dir());
    let url = format!("https://localhost:{}", secure.server.http_address().port());
    let key = text(&secure.server.dir().join("root.key"));
    let events = secure.dir.file("events.jsonl");
    let lines = "{\"op\":\"join\",\"channel\":\"c\",\"user\":\"ada\"}\n\
                 {\"op\":\"message\",\"channel\":\"c\",\"id\":\"5\",\"author\":\"bob\"}\n";
    fs::write(&events, lines).unwrap();
    let (events, ca) = (text(&events), text(&secure.authority.cert()));
    let near = ["--data-dir", dir.as_str()];
    let far = [
        "--url",
        url.as_str(),
        "--key-file",
        key.as_str(),
        "--ca",
        ca.as_str(),
    ];
    let run = |words: &[&str], server: &[&str]| {
        let output = kidoku(&[words, server].concat()).output().unwrap();
        (output.status.code(), told(&output))
    };
    for server in [&near[..], &far[..]] {
        let (code, told) = run(&["explain", "ada", "c"], server);
        assert_eq!(code, Some(0), "{told}");
        let (code, told) = run(&["import", &events], server);
        assert_eq!(code, Some(0), "{told}");
        let (code, told) = run(&["check"], server);
        assert_eq!(code, Some(0), "{told}");
    }
    let (code, explained) = run(&["explain", "ada", "c"], &far);
    assert!(
        code == Some(0) && explained.contains("1 unread"),
        "{explained}"
    );
    let (code, exported) = run(&["export"], &far);
    assert!(code == Some(0) && exported.contains("ada"), "{exported}");
    // The system's authorities have not signed it.
    let (code, refused) = run(&["explain", "ada", "c"], &far[..4]);
    assert_eq!(code, Some(69), "{refused}");
    let other = Authority::new(secure.dir.path(), "other");
    let other = text(&other.cert());
    let wrong = [&far[..4], &["--ca", other.as_str()][..]].concat();
    let (code, refused) = run(&["explain", "ada", "c"], &wrong);
    assert_eq!(code, Some(69), "{refused}");
}

#[test]
fn the_subcommands_show_a_certificate_where_one_is_needed() {
    let secure = Secure::with(&["--dev"], |authority| {
        vec!["--tls-client-ca".to_owned(), text(&authority.cert())]
    });
    let known = secure.authority.issue("known");
    let dir = text(secure.server.dir());
    let near = ["check", "--data-dir", dir.as_str()];
    let (cert, key) = (text(&known.cert), text(&known.key));
    let own = ["--client-cert", cert.as_str(), "--client-key", key.as_str()];
    let output = kidoku(&[&near[..], &own[..]].concat()).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let output = kidoku(&near).output().unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", told(&output));
}

#[test]
fn wrong_files_are_found_at_the_start_and_by_config_check() {
    let dir = TempDir::new();
    let authority = Authority::new(dir.path(), "ca");
    let (own, other) = (authority.issue("own"), authority.issue("other"));
    let check = |cert: &Path, key: &Path| {
        let file: PathBuf = dir.file("kidoku.toml");
        let body = format!(
            "[tls]\ncert = '{}'\nkey = '{}'\n",
            cert.display(),
            key.display()
        );
        fs::write(&file, body).unwrap();
        let checked = kidoku(&["config", "check", "--config", &text(&file)])
            .output()
            .unwrap();
        let data = text(&dir.file("data"));
        let serve = ["serve", "--config", &text(&file), "--data-dir", &data];
        (checked, serve.map(str::to_owned))
    };
    let (good, _) = check(&own.cert, &own.key);
    assert!(
        good.status.success() && told(&good).contains("TLS on"),
        "{}",
        told(&good)
    );
    for (cert, key, code, reason) in [
        (&own.cert, &other.key, 64, "not the key of the certificate"),
        (&dir.file("none"), &own.key, 74, "No such file"),
    ] {
        let (checked, serve) = check(cert, key);
        assert_eq!(checked.status.code(), Some(code));
        assert!(told(&checked).contains(reason), "{}", told(&checked));
        let started = kidoku(&serve.each_ref().map(String::as_str))
            .output()
            .unwrap();
        assert_eq!(started.status.code(), Some(code), "{}", told(&started));
        assert!(told(&started).contains(reason), "{}", told(&started));
    }
}
