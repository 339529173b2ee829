//! Keys, tokens and secrets never come back: they are put everywhere they can be put, rightly and by
//! mistake, and then everything the server and the commands ever said or wrote is searched for them.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kidoku_torture::certificates::Authority;
use kidoku_torture::server::{Server, TempDir, kidoku};
use kidoku_torture::web::Web;
use kidoku_torture::wire::Client;
use ring::hmac;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The secret that app `chat` shares with its backend.
const SHARED: &str = "shared-Xq7vLr2nWb9kTz4mPd8sHf3gJc6yRa5e";
/// A key that is none, of the form of one, and a token that nobody has signed.
const UNKNOWN: &str = "kd_zz99zz99_bogusbogusbogus7bogusbogusbogus7bogusbogusbogus7";

/// What is said and written, each piece with where it is from.
#[derive(Default)]
struct Heard(Vec<(String, Vec<u8>)>);

impl Heard {
    fn note(&mut self, whence: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((whence.into(), bytes.into()));
    }

    /// Every place where one of the secrets stands.
    fn leaks(&self, secrets: &[String]) -> Vec<String> {
        let mut leaks = Vec::new();
        let needles: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        for (whence, bytes) in &self.0 {
            // Files are made long before they are filled.
            let written: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
            let text = String::from_utf8_lossy(&written);
            for needle in &needles {
                if text.contains(needle.as_str()) {
                    let shown: String = text.chars().take(300).collect();
                    leaks.push(format!("{needle} in {whence}: {shown}"));
                }
            }
        }
        leaks
    }
}

/// Pieces of a secret that would give it away, plain and as base64 and hexadecimal digits have it.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let mut forms: Vec<String> = bytes
        .chunks_exact(12)
        .map(|piece| String::from_utf8(piece.to_vec()).unwrap())
        .collect();
    for shift in 0..3 {
        // Three ways to lie in groups of three bytes; the borders belong to neighbours.
        let inner = bytes.get(shift..).unwrap_or_default();
        let whole = inner.len() / 3 * 3;
        let inner = inner.get(..whole).unwrap_or_default();
        forms.push(STANDARD.encode(inner));
        forms.push(URL_SAFE_NO_PAD.encode(inner));
    }
    forms.push(bytes.iter().map(|byte| format!("{byte:02x}")).collect());
    forms
}

fn token(user: &str, expires_s: u64) -> String {
    let claims = json!({"app": "chat", "sub": user, "exp": expires_s});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SHARED.as_bytes());
    let tag = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// Everything a command printed.
fn run_and_note(heard: &mut Heard, command: &mut Command) -> String {
    let output = command.output().unwrap();
    let whence = format!("{:?}", command.get_args().next());
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    heard.note(format!("stdout of {whence}"), output.stdout);
    heard.note(format!("stderr of {whence}"), output.stderr);
    out
}

/// RESP: given rightly, wrongly, at the wrong place, with a slip in the command, and cut off.
fn over_resp(heard: &mut Heard, server: &Server, secrets: &[String]) {
    for secret in secrets {
        let s = secret.as_str();
        for words in [
            vec!["AUTH", s],
            vec!["AUTH", "chat", s],
            vec!["AUTH", s, s],
            vec!["AUTH", s, "chat", "more"],
            vec!["HELLO", "3", "AUTH", "chat", s],
            vec!["HELLO", "3", "AUTH", s, "chat"],
            vec!["HELLO", "4", "AUTH", "chat", s],
            vec!["HELLO", s],
            vec!["HELLO", "3", s],
            vec!["HELLO", "3", "AUTH", "chat", s, s],
            vec!["AUHT", "chat", s],
            vec![s],
            vec!["CLIENT", s],
            vec!["CONFIG", s],
            vec!["CONFIG", "GET", s],
            vec!["COMMAND", s],
            vec!["COMMAND", "DOCS", s],
            vec!["SELECT", s],
            vec!["INFO", s],
            vec!["KD.COUNT", s, s],
            vec!["KD.ACK", "u", "c", s],
            vec!["KD.POST", "c", s],
            vec!["KD.POST", "c", "1", s],
            vec!["KD.STATE", "u", "LIMIT", s],
            vec!["KD.MUTE", "u", "c", s],
        ] {
            for is_in in [false, true] {
                let mut client = Client::connect(server.resp_address());
                if is_in {
                    let root = fs::read_to_string(server.dir().join("root.key")).unwrap();
                    client.command(&["AUTH", "chat", root.trim()]);
                }
                let reply = client.command(&words);
                heard.note(format!("{:?} over RESP", words[0]), format!("{reply:?}"));
            }
        }
        // An inline line with an open quote, a length that lies.
        for bytes in [
            format!("AUTH \"{s}\r\n"),
            format!("AUTH chat {s}\"x\r\n"),
            format!("*2\r\n$4\r\nAUTH\r\n$3\r\n{s}\r\n"),
            format!("GET /?key={s} HTTP/1.1\r\nAuthorization: Bearer {s}\r\n\r\n"),
        ] {
            let mut client = Client::connect(server.resp_address());
            client.send(bytes.as_bytes());
            client.send(b"QUIT\r\n");
            heard.note("malformed RESP", client.drain());
        }
    }
    let mut client = Client::connect(server.resp_address());
    let root = fs::read_to_string(server.dir().join("root.key")).unwrap();
    client.command(&["HELLO", "3", "AUTH", "chat", root.trim()]);
    for line in [
        "INFO everything",
        "CLIENT LIST",
        "CLIENT INFO",
        "CONFIG GET *",
        "COMMAND DOCS",
    ] {
        heard.note(line, format!("{:?}", client.say(line)));
    }
}

/// HTTP: in every form of the header.
fn over_http(heard: &mut Heard, server: &Server, secrets: &[String]) {
    let web = Web::new(server.http_address());
    let mut note = |what: &str, answer: kidoku_torture::web::Answer| {
        heard.note(format!("{what} over HTTP"), format!("{answer:?}"));
    };
    for secret in secrets {
        let basic = STANDARD.encode(format!("chat:{secret}"));
        for header in [
            format!("Bearer {secret}"),
            format!("bearer  {secret} "),
            format!("Bearer {secret} {secret}"),
            format!("Bearer\t{secret}"),
            format!("Bearer{secret}"),
            format!("Token {secret}"),
            format!("Basic {basic}"),
            secret.clone(),
            format!("\"{secret}\""),
        ] {
            let caller = web.with("authorization", &header);
            for path in [
                "/v1/users/u/badge",
                "/v1/me/badge",
                "/v1/me/ws",
                "/v1/nothing",
                "/docs",
            ] {
                note(path, caller.get(path));
            }
            let app = caller.with("kidoku-app", secret);
            note("another app", app.get("/v1/users/u/badge"));
            note(
                "twice",
                caller
                    .with("authorization", &header)
                    .get("/v1/users/u/badge"),
            );
            note(
                "a body",
                caller.post("/v1/me/ack", &json!({"channel": secret, "id": secret})),
            );
        }
    }
}

/// HTTP: in addresses, bodies and headers that are not about keys.
fn beside_http(heard: &mut Heard, server: &Server, secrets: &[String]) {
    let web = Web::new(server.http_address());
    let mut note = |what: &str, answer: kidoku_torture::web::Answer| {
        heard.note(format!("{what} over HTTP"), format!("{answer:?}"));
    };
    for secret in secrets {
        let root = fs::read_to_string(server.dir().join("root.key")).unwrap();
        let inside = web.bearer(root.trim()).with("kidoku-app", "chat");
        for path in [
            format!("/v1/users/u/badge?key={secret}"),
            format!("/v1/users/u/state?{secret}=1"),
            format!("/v1/users/u/state?limit={secret}"),
            format!("/v1/users/u/state?since={secret}"),
            format!("/v1/me/stream?access_token={secret}"),
            format!("/v1/{secret}"),
            format!("/{secret}/v1"),
            format!("/v1/channels/c/messages/{secret}/receipts"),
        ] {
            note("a query without a key", web.get(&path));
            note("a query", inside.get(&path));
            note("a method", inside.send("PATCH", &path, b""));
        }
        for body in [
            json!({secret.as_str(): 1}),
            json!({"channel": 1, "id": secret}),
            json!({"channel": "c", "id": secret}),
            json!({"channel": "c", "id": 1, "era": secret}),
            json!({"channel": "c", "id": 1, "private": secret}),
            json!(secret),
        ] {
            note("a body", inside.post("/v1/users/u/ack", &body));
        }
        let line = json!({"op": secret, "user": "u"}).to_string();
        note("an event", inside.events(line.as_bytes()));
        let line = json!({"op": "ack", "user": "u", "channel": "c", "id": secret}).to_string();
        note("an event", inside.events(line.as_bytes()));
        note(
            "a kind",
            web.with("content-type", secret).get("/v1/users/u/badge"),
        );
        let kind = inside
            .with("content-type", secret)
            .send("POST", "/v1/users/u/ack", b"{}");
        note("a kind", kind);
    }
}

/// The commands: with the key as a flag, a variable, in a file and in the address.
fn by_command(heard: &mut Heard, server: &Server, secrets: &[String]) {
    let url = format!("http://{}", server.http_address());
    let nowhere = "http://127.0.0.1:1";
    let dir = server.dir().to_str().unwrap();
    for secret in secrets {
        for url in [
            url.as_str(),
            nowhere,
            &format!("http://u:{secret}@127.0.0.1:1"),
            &format!("http://{secret}"),
        ] {
            run_and_note(
                heard,
                &mut kidoku(&["check", "--url", url, "--key", secret]),
            );
            let explain = ["explain", "u", "c", "--url", url];
            run_and_note(heard, kidoku(&explain).env("KIDOKU_KEY", secret));
        }
        let file = server.dir().join("given.key");
        fs::write(&file, secret).unwrap();
        let file = file.to_str().unwrap();
        run_and_note(
            heard,
            &mut kidoku(&["check", "--url", &url, "--key-file", file]),
        );
        run_and_note(
            heard,
            &mut kidoku(&["check", "--key", secret, "--key-file", file]),
        );
        run_and_note(
            heard,
            &mut kidoku(&["key", "revoke", secret, "--data-dir", dir]),
        );
        run_and_note(heard, &mut kidoku(&["config", "check", secret]));
        fs::remove_file(file).unwrap();
    }
    let config = server.dir().join("kidoku.toml");
    for words in [["config", "check"], ["config", "default"], ["key", "list"]] {
        let mut command = kidoku(&words);
        if words[1] != "default" {
            command.args(["--data-dir", dir]);
        }
        run_and_note(
            heard,
            command
                .env("KIDOKU_CONFIG", &config)
                .env("KIDOKU_KEY", &secrets[0]),
        );
    }
}

/// A WebSocket whose first message should hold a token.
fn over_websocket(heard: &mut Heard, server: &Server, secrets: &[String]) {
    for secret in secrets {
        for text in [
            json!({"token": secret}).to_string(),
            json!({"token": [secret]}).to_string(),
            json!({"tokn": secret}).to_string(),
            json!({secret.as_str(): 1}).to_string(),
            json!({"op": "ack", "channel": secret, "id": secret}).to_string(),
            format!("{{\"token\":\"{secret}"),
            secret.clone(),
        ] {
            let mut client = Client::connect(server.http_address());
            client.send(
                b"GET /v1/me/ws HTTP/1.1\r\nhost: k\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            );
            // A text with a mask of zeros, and a close frame that ends what was let in.
            let length = u16::try_from(text.len()).unwrap().to_be_bytes();
            client.send(&[&[0x81, 0x80 | 126], &length[..], &[0; 4], text.as_bytes()].concat());
            client.send(&[0x88, 0x80, 0, 0, 0, 0]);
            heard.note("a WebSocket", client.drain());
        }
    }
}

/// Configurations with a secret in the wrong place: where the name of its file should be, without
/// quotes, in a line that is no TOML, as a setting.
fn by_config(heard: &mut Heard, secret: &str, key: &str) {
    let dir = TempDir::new();
    let path = dir.file("kidoku.toml");
    let pem = key.replace('\n', "\\n");
    for text in [
        format!("[apps.chat]\njwt_hs256_secret = \"{secret}\"\n"),
        format!("[apps.chat]\njwt_hs256_secret_file = \"{secret}\"\n"),
        format!("[apps.chat]\njwt_hs256_secret_file = \"{secret}\n"),
        format!("[apps.chat]\njwt_hs256_secret_file = {secret}\n"),
        format!("[apps.chat]\njwt_public_key_file = \"{secret}\"\n"),
        format!("{secret}\n"),
        format!("[tls]\ncert = \"{pem}\"\nkey = \"{pem}\"\n"),
        format!("[tls]\nkey = \"{key}\"\n"),
        format!("[tls]\nkey = {key}\n"),
    ] {
        fs::write(&path, text).unwrap();
        let (data, path) = (dir.path().to_str().unwrap(), path.to_str().unwrap());
        for words in [
            ["config", "check"].as_slice(),
            &["serve"],
            &["token", "issue"],
        ] {
            let mut command = kidoku(words);
            command
                .args(["--data-dir", data])
                .env("KIDOKU_CONFIG", path);
            if words[0] == "token" {
                command.args(["--user", "ada"]);
            }
            let output = command.output().unwrap();
            // Tokens are made without a look at TLS.
            let refused = !output.status.success() || words[0] == "token";
            assert!(refused, "{words:?} takes {path}");
            heard.note(
                format!("{words:?}"),
                [output.stdout, output.stderr].concat(),
            );
        }
    }
    fs::remove_file(&path).unwrap();
    let data = dir.path().to_str().unwrap();
    for variable in [
        "KIDOKU_TLS__KEY",
        "KIDOKU_TLS__CERT",
        "KIDOKU_TLS__CLIENT_CA",
    ] {
        let mut command = kidoku(&["serve", "--data-dir", data]);
        // All of them, as one without the others is refused without a look at it.
        command.envs([("KIDOKU_TLS__KEY", data), ("KIDOKU_TLS__CERT", data)]);
        let output = command.env(variable, key).output().unwrap();
        assert!(!output.status.success(), "{variable} takes a key");
        heard.note(variable, [output.stdout, output.stderr].concat());
    }
}

/// Every file of the data directory, but for those that hold a secret because they are for that.
fn files(heard: &mut Heard, dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            files(heard, &path);
        } else if !["root.key", "device.key", "chat.secret"].contains(&name.as_str()) {
            heard.note(format!("the file {name}"), fs::read(&path).unwrap());
        }
    }
}

#[test]
fn no_key_token_or_secret_is_ever_said_or_written() {
    let dir = TempDir::new();
    let path = dir.path().to_str().unwrap();
    let shared = dir.file("chat.secret");
    fs::write(&shared, SHARED).unwrap();
    let text = format!(
        "[apps.chat]\njwt_hs256_secret_file = \"{}\"\n",
        shared.display()
    );
    fs::write(dir.file("kidoku.toml"), text).unwrap();
    let mut heard = Heard::default();
    // What makes a key or a token has to show it, once: that is not noted.
    let made = |words: &[&str]| {
        let output = kidoku(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let chat = made(&["key", "create", "--app", "chat", "--data-dir", path]);
    let config = dir.file("kidoku.toml");
    let mut server = Server::on(dir.path(), &["--config", config.to_str().unwrap()]);
    let root = fs::read_to_string(dir.file("root.key")).unwrap();
    let device = fs::read_to_string(dir.file("device.key")).unwrap();
    let presented = [
        chat,
        root.trim().to_owned(),
        UNKNOWN.to_owned(),
        token("ada", 4_000_000_000),
        token("ada", 1_000),
    ];
    over_resp(&mut heard, &server, &presented);
    over_http(&mut heard, &server, &presented);
    beside_http(&mut heard, &server, &presented);
    over_websocket(&mut heard, &server, &presented);
    let keys = TempDir::new();
    let key = fs::read_to_string(Authority::new(keys.path(), "own").issue("tls").key).unwrap();
    by_config(&mut heard, SHARED, &key);
    let admin = Web::new(server.admin_address());
    for path in ["/", "/livez", "/readyz", "/version", "/metrics"] {
        heard.note(path, admin.get(path).body);
    }
    by_command(&mut heard, &server, &presented);
    assert!(server.stop().success());
    files(&mut heard, dir.path());
    assert!(heard.0.len() > 900, "{} pieces", heard.0.len());
    // Of a token only the signature is secret: its claims are names that answers may repeat.
    let core = |secret: &String| {
        let end = if secret.starts_with("kd_") { '_' } else { '.' };
        secret.rsplit(end).next().unwrap().to_owned()
    };
    let mut secrets: Vec<String> = presented.iter().map(core).collect();
    secrets.push(SHARED.to_owned());
    secrets.push(device.trim().to_owned());
    secrets.push(key.lines().nth(1).unwrap().to_owned());
    // The search finds what is there.
    let mut planted = Heard::default();
    planted.note(
        "a plant",
        format!("x{}", STANDARD.encode(format!("::{SHARED}"))),
    );
    planted.note("a plant", format!("key {}", root.trim()));
    assert!(planted.leaks(&secrets).len() >= 2);
    let leaks = heard.leaks(&secrets);
    println!("{} pieces searched", heard.0.len());
    assert!(
        leaks.is_empty(),
        "{} leaks:\n{}",
        leaks.len(),
        leaks.join("\n")
    );
}
