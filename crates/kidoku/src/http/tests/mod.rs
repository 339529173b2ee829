//! The HTTP interface before a real engine: requests go into the router as they come from a socket.

mod access;
mod decode;
mod devices;
mod document;
mod events;
mod live;
mod routes;

use super::{HttpState, router};
use crate::auth::{
    AuthMode, DeviceKeys, KeyRecord, Keys, Lock, Table, create_device_key_if_missing,
    create_root_if_missing, device_key_path, now, read_root_key,
};
use crate::cmd::scratch::Scratch;
use crate::config::{AppConfig, Config, DeviceConfig, Durability, IdMode};
use crate::server::{Running, start};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use kidoku_core::clock::Millis;
use kidoku_core::id::{App, UserKey};
use serde_json::Value;
use std::sync::Arc;
use tower::ServiceExt;

/// A running server, and its router.
struct Server {
    router: Router,
    state: HttpState,
    /// The root key, and the key of app `chat`.
    keys: Option<(String, String)>,
    running: Running,
    _scratch: Scratch,
}

/// An answer.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Status, code word and detail of a refusal, which must be a whole problem.
    fn problem(&self) -> (u16, String, String) {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.text
        );
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16());
        assert!(
            json["type"].is_string() && json["title"].is_string(),
            "{}",
            self.text
        );
        let text = |field: &str| json[field].as_str().unwrap().to_owned();
        (self.status.as_u16(), text("code"), text("detail"))
    }
}

impl Server {
    /// Everyone may use app `default`.
    fn open() -> Self {
        Self::new(AuthMode::Dev)
    }

    /// Keys are needed.
    fn keyed() -> Self {
        Self::new(AuthMode::Keyed)
    }

    fn new(mode: AuthMode) -> Self {
        let scratch = Scratch::new();
        let mut config = Config::with_data_dir(scratch.path());
        let any_port = "127.0.0.1:0".parse().unwrap();
        config.resp.listen = any_port;
        config.http.listen = any_port;
        config.admin.listen = any_port;
        config.cluster.listen = any_port;
        config.cores = 2;
        config.durability = Durability::Memory;
        config.dev = mode == AuthMode::Dev;
        let mut set = |app: &str, ids| {
            config
                .apps
                .insert(App::new(app).unwrap(), AppConfig { ids })
        };
        set("mail", IdMode::Opaque);
        set("snow", IdMode::Snowflake { epoch_ms: 0 });
        let keys = (mode == AuthMode::Keyed).then(|| {
            create_root_if_missing(scratch.path()).unwrap();
            let (record, text) =
                KeyRecord::new(App::new("chat").unwrap(), false, Millis(1), None).unwrap();
            let lock = Lock::take(scratch.path()).unwrap();
            let mut table = Table::read(scratch.path()).unwrap();
            table.add(record);
            table.write(scratch.path(), &lock).unwrap();
            let root = read_root_key(scratch.path()).unwrap();
            (root.unwrap().as_str().to_owned(), text.as_str().to_owned())
        });
        create_device_key_if_missing(scratch.path()).unwrap();
        let device = DeviceConfig {
            hs256_secret_file: Some(device_key_path(scratch.path())),
            ..DeviceConfig::default()
        };
        config.devices.insert(App::new("mail").unwrap(), device);
        let devices = DeviceKeys::load(&config).unwrap();
        let known = Keys::open_dir(scratch.path(), mode).unwrap();
        let known = Arc::new(known.with_device_keys(devices));
        let running = start(config.clone(), Arc::clone(&known)).unwrap();
        let state = HttpState::new(running.engine().clone(), known, Arc::new(config));
        let router = router(state.clone());
        Self {
            router,
            state,
            keys,
            running,
            _scratch: scratch,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// The JSON of a request that is done.
    async fn done(&self, method: Method, path: &str, body: &str) -> Value {
        let answer = self.ask(method, path, &[], body.to_owned()).await;
        assert!(answer.status.is_success(), "{path} {body}: {}", answer.text);
        answer.json()
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    /// A device's token for a user of app `default` or `mail`.
    fn token(&self, app: &str, user: &str, lifetime_s: u64) -> String {
        let user = UserKey::new(&App::new(app).unwrap(), user).unwrap();
        let keys = DeviceKeys::load(&self.state.config).unwrap();
        keys.issue(&user, lifetime_s, now()).unwrap().unwrap()
    }
}
