//! Who may do what, with the real binary: every command and every route, taken from the command
//! table and the OpenAPI document themselves, against every kind of credential. A command or route
//! that gets no rule here fails.

mod http;
mod resp;
mod revoked;
mod timing;
mod work;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kidoku_torture::server::{Server, TempDir, run};
use kidoku_torture::web::Web;
use kidoku_torture::wire::Client;
use ring::hmac;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Names that stand in no answer by chance.
const USER: &str = "quagga";
const CHANNEL: &str = "zebra-room";
const OTHER_USER: &str = "okapi";
const FIRST_ID: &str = "880088001";
const LAST_ID: &str = "880088002";

const CHAT_SECRET: &[u8] = b"chat secret of thirty-two bytes and more";
const MAIL_SECRET: &[u8] = b"mail secret of thirty-two bytes and more";

/// A server with two apps: `chat` has data, `mail` has none. Everything that could be a key is here.
struct Scene {
    dir: TempDir,
    server: Server,
    root: String,
    chat: String,
    mail: String,
    revoked: String,
    expired: String,
}

/// Says what a caller has; none of these opens app `chat`, but for the last two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Nothing,
    Garbage,
    NotUtf8,
    Endless,
    UnknownKey,
    WrongSecret,
    RevokedKey,
    ExpiredKey,
    KeyOfOtherApp,
    Key,
    RootKey,
    ExpiredToken,
    TokenOfOtherApp,
    TokenWrongSignature,
    TokenOfOtherUser,
    Token,
}

impl Has {
    const ALL: [Self; 16] = [
        Self::Nothing,
        Self::Garbage,
        Self::NotUtf8,
        Self::Endless,
        Self::UnknownKey,
        Self::WrongSecret,
        Self::RevokedKey,
        Self::ExpiredKey,
        Self::KeyOfOtherApp,
        Self::Key,
        Self::RootKey,
        Self::ExpiredToken,
        Self::TokenOfOtherApp,
        Self::TokenWrongSignature,
        Self::TokenOfOtherUser,
        Self::Token,
    ];
}

fn key(dir: &TempDir, arguments: &[&str]) -> String {
    let dir = dir.path().to_str().unwrap();
    let mut words = vec!["key", "create", "--data-dir", dir];
    words.extend(arguments);
    String::from_utf8(run(&words).stdout)
        .unwrap()
        .trim()
        .to_owned()
}

fn revoke(dir: &TempDir, key: &str) {
    let dir = dir.path().to_str().unwrap();
    run(&["key", "revoke", key, "--data-dir", dir]);
}

/// A text without its last character.
fn but_last(text: &str) -> String {
    let mut text = text.to_owned();
    text.pop();
    text
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

/// A token that is good until `expires_s`.
fn token(secret: &[u8], app: &str, user: &str, expires_s: u64) -> String {
    let claims = json!({"app": app, "sub": user, "exp": expires_s});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&claims));
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, secret),
        message.as_bytes(),
    );
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

impl Scene {
    fn new() -> Self {
        let dir = TempDir::new();
        let mut config = String::new();
        for (app, secret) in [("chat", CHAT_SECRET), ("mail", MAIL_SECRET)] {
            let path = dir.file(app);
            fs::write(&path, secret).unwrap();
            config.push_str(&format!(
                "[apps.{app}]\njwt_hs256_secret_file = \"{}\"\n",
                path.display()
            ));
        }
        fs::write(dir.file("kidoku.toml"), config).unwrap();
        let root = key(&dir, &["--root"]);
        let chat = key(&dir, &["--app", "chat"]);
        let mail = key(&dir, &["--app", "mail"]);
        let revoked = key(&dir, &["--app", "chat"]);
        let expired = key(&dir, &["--app", "chat", "--expires", "1s"]);
        revoke(&dir, &revoked);
        std::thread::sleep(Duration::from_millis(1_100));
        let config = dir.file("kidoku.toml");
        let server = Server::on(dir.path(), &["--config", config.to_str().unwrap()]);
        let scene = Self {
            dir,
            server,
            root,
            chat,
            mail,
            revoked,
            expired,
        };
        scene.fill();
        scene
    }

    /// Gives app `chat` a user, a channel and something to read.
    fn fill(&self) {
        let mut client = self.client_of(&self.chat);
        for line in [
            format!("KD.JOIN {CHANNEL} {USER} {OTHER_USER} AT START"),
            format!("KD.POST {CHANNEL} {FIRST_ID} BY {OTHER_USER} MENTIONS 1 {USER}"),
            format!("KD.POST {CHANNEL} {LAST_ID} BY {OTHER_USER}"),
        ] {
            let reply = client.say(&line);
            assert!(
                !matches!(reply, kidoku_torture::wire::Value::Error(_)),
                "{line}: {reply:?}"
            );
        }
    }

    fn client_of(&self, key: &str) -> Client {
        let mut client = Client::connect(self.server.resp_address());
        client.command(&["HELLO", "3"]);
        assert_eq!(client.command(&["AUTH", key]).text(), "OK");
        client
    }

    fn web(&self) -> Web {
        Web::new(self.server.http_address())
    }

    /// Every fact of app `chat`, in order: what must be the same after every refusal.
    fn facts(&self) -> Vec<String> {
        let web = self.web().bearer(&self.root).with("kidoku-app", "chat");
        let answer = web.get("/v1/events");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut lines: Vec<String> = answer.body.lines().map(str::to_owned).collect();
        lines.sort();
        assert!(lines.iter().any(|line| line.contains(USER)), "{lines:?}");
        lines
    }

    /// What a caller presents; `None` = nothing.
    fn credential(&self, has: Has) -> Option<Vec<u8>> {
        let later = now_s() + 3_600;
        let text = match has {
            Has::Nothing => return None,
            Has::Garbage => "letmein".to_owned(),
            Has::NotUtf8 => return Some(b"kd_\xff\xfe_\xff".to_vec()),
            Has::Endless => format!("kd_abcdefgh_{}", "x".repeat(4_000)),
            Has::UnknownKey => format!("kd_00000000_{}", "0".repeat(52)),
            Has::WrongSecret => format!("{}!", but_last(&self.chat)),
            Has::RevokedKey => self.revoked.clone(),
            Has::ExpiredKey => self.expired.clone(),
            Has::KeyOfOtherApp => self.mail.clone(),
            Has::Key => self.chat.clone(),
            Has::RootKey => self.root.clone(),
            Has::ExpiredToken => token(CHAT_SECRET, "chat", USER, now_s() - 60),
            Has::TokenOfOtherApp => token(MAIL_SECRET, "mail", USER, later),
            Has::TokenWrongSignature => token(MAIL_SECRET, "chat", USER, later),
            Has::TokenOfOtherUser => token(CHAT_SECRET, "chat", OTHER_USER, later),
            Has::Token => token(CHAT_SECRET, "chat", USER, later),
        };
        Some(text.into_bytes())
    }
}

/// Nothing of app `chat` is in an answer to somebody who may not see it.
fn check_tells_nothing(what: &str, answer: &str) {
    for name in [FIRST_ID, LAST_ID, OTHER_USER] {
        assert!(!answer.contains(name), "{what} tells {name}: {answer}");
    }
}
