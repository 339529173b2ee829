//! Every route of the OpenAPI document, and those beside it, against every credential.

use super::{CHANNEL, Has, LAST_ID, Scene, USER, check_tells_nothing};
use kidoku_torture::web::{Answer, Web};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A message that is asked for; app `chat` has it not.
const ASKED_ID: &str = "7";

/// One operation of the document, ready to be asked for.
#[derive(Debug)]
struct Route {
    method: String,
    /// As it stands in the document.
    template: String,
    path: String,
    kind: Option<String>,
    body: Vec<u8>,
    is_of_devices: bool,
}

/// What no operation of the document is: open to everyone, because it holds no data.
const OPEN: [&str; 4] = ["/openapi.json", "/docs", "/docs/docs.js", "/docs/docs.css"];

fn document() -> Value {
    serde_json::from_str(&kidoku::http::openapi_json()).unwrap()
}

/// The rule of a route stands in its security: a key, or a token of a device.
fn is_of_devices(document: &Value, operation: &Value) -> bool {
    let own = &operation["security"];
    let security = if own.is_null() {
        &document["security"]
    } else {
        own
    };
    let schemes: Vec<&String> = security[0].as_object().unwrap().keys().collect();
    match schemes[..] {
        [only] if only == "key" => false,
        [only] if only == "token" => true,
        _ => panic!("a route with another rule: {schemes:?}"),
    }
}

fn routes() -> Vec<Route> {
    let document = document();
    let mut routes = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let path = template
                .replace("{user}", USER)
                .replace("{channel}", CHANNEL)
                .replace("{thread}", CHANNEL)
                .replace("{role}", "admins")
                .replace("{id}", ASKED_ID);
            assert!(
                !path.contains('{'),
                "{template}: a parameter without a value"
            );
            let content = operation["requestBody"]["content"].as_object();
            let content = content.and_then(|kinds| kinds.iter().next());
            let kind = content.map(|(kind, _)| kind.clone());
            let body = match content {
                None => Vec::new(),
                Some((kind, shape)) if kind == "application/json" => {
                    example("", &shape["schema"], &document)
                        .to_string()
                        .into_bytes()
                }
                Some(_) => json!({"op": "join", "channel": "x", "user": "y"})
                    .to_string()
                    .into_bytes(),
            };
            routes.push(Route {
                method: method.to_uppercase(),
                template: template.clone(),
                path,
                kind,
                body,
                is_of_devices: is_of_devices(&document, operation),
            });
        }
    }
    assert!(routes.len() > 30);
    routes
}

/// A value that a schema allows; what a field means is told by its name.
fn example(name: &str, schema: &Value, document: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#')).unwrap();
        return example(name, target, document);
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].as_str(),
        kind => kind.as_str(),
    };
    match (kind, name) {
        (Some("object"), _) => {
            let fields = schema["properties"]
                .as_object()
                .cloned()
                .unwrap_or_default();
            let values: Map<String, Value> = fields
                .iter()
                .filter(|(field, _)| !matches!(field.as_str(), "era" | "parent" | "at"))
                .map(|(field, of)| (field.clone(), example(field, of, document)))
                .collect();
            Value::Object(values)
        }
        (Some("array"), _) => json!([example(name, &schema["items"], document)]),
        (Some("boolean"), _) => json!(true),
        (Some("integer"), "until") => json!(0),
        (Some("integer"), _) => json!(1),
        (_, "id") => json!(ASKED_ID),
        (_, "users" | "mentions" | "author" | "add") => json!(USER),
        (_, "remove") => json!("nobody"),
        (_, "level") => json!("ALL"),
        (_, "receipts") => json!("LIST"),
        (_, _) => json!(CHANNEL),
    }
}

/// Sends a request and reads no more than the head when the answer would never end.
fn ask(scene: &Scene, route: &Route, headers: &[(&str, Vec<u8>)]) -> (u16, String) {
    let mut stream = TcpStream::connect(scene.server.http_address()).unwrap();
    stream
        .set_read_timeout(Some(kidoku_torture::server::PATIENCE))
        .unwrap();
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: kidoku\r\n",
        route.method, route.path
    )
    .into_bytes();
    if route.template.ends_with("/ws") {
        head.extend(
            b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
              sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                .iter(),
        );
    } else {
        head.extend(b"connection: close\r\n");
    }
    if let Some(kind) = &route.kind {
        head.extend(format!("content-type: {kind}\r\n").bytes());
    }
    for (name, value) in headers {
        head.extend(name.bytes());
        head.extend(b": ");
        head.extend(value);
        head.extend(b"\r\n");
    }
    head.extend(format!("content-length: {}\r\n\r\n", route.body.len()).bytes());
    head.extend(&route.body);
    // A server that refuses early hangs up on the rest.
    drop(stream.write_all(&head));
    let is_endless = route.template.ends_with("/stream") || route.template.ends_with("/ws");
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        let is_done = is_endless
            && text.contains("\r\n\r\n")
            && (text.starts_with("HTTP/1.1 101") || text.starts_with("HTTP/1.1 200"));
        if is_done {
            break;
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(read) => bytes.extend(&piece[..read]),
        }
        // An error on a connection that was to become a socket stays open for the next request.
        let text = String::from_utf8_lossy(&bytes);
        if route.template.ends_with("/ws") && text.trim_end().ends_with('}') {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    (
        status.unwrap_or_else(|| panic!("{route:?}: {text:?}")),
        text,
    )
}

/// The body of an answer, which has no length that differs and no date.
fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").map_or(text, |(_, body)| body)
}

fn credential(scene: &Scene, has: Has) -> Vec<(&'static str, Vec<u8>)> {
    let bearer = |credential: Vec<u8>| [b"Bearer ".to_vec(), credential].concat();
    let mut headers: Vec<_> = scene
        .credential(has)
        .map(|credential| ("authorization", bearer(credential)))
        .into_iter()
        .collect();
    if has == Has::RootKey {
        headers.push(("kidoku-app", b"chat".to_vec()));
    }
    headers
}

/// What is due: let in, or refused with 401 in words that depend on nothing but the kind of route.
fn is_let_in(route: &Route, has: Has) -> bool {
    if route.is_of_devices {
        // A socket without a header says who it is in its first frame.
        let is_unsaid = route.template.ends_with("/ws") && has == Has::Nothing;
        let is_token = matches!(
            has,
            Has::Token | Has::TokenOfOtherUser | Has::TokenOfOtherApp
        );
        is_unsaid || is_token
    } else {
        matches!(has, Has::Key | Has::RootKey | Has::KeyOfOtherApp)
    }
}

#[test]
fn without_what_opens_it_no_route_does_or_tells_anything() {
    let scene = Scene::new();
    let before = scene.facts();
    // One wording for each kind of route; expiry is told to devices, whose token was ours.
    let mut wordings: BTreeMap<(bool, bool), String> = BTreeMap::new();
    for route in &routes() {
        for has in Has::ALL.into_iter().filter(|has| !is_let_in(route, *has)) {
            let cell = format!("{} {} with {has:?}", route.method, route.template);
            let (status, text) = ask(&scene, route, &credential(&scene, has));
            assert_eq!(status, 401, "{cell}: {text}");
            assert!(text.contains("www-authenticate: Bearer"), "{cell}: {text}");
            let is_expired = route.is_of_devices && has == Has::ExpiredToken;
            let wording = wordings
                .entry((route.is_of_devices, is_expired))
                .or_insert_with(|| body(&text).to_owned());
            assert_eq!(body(&text), wording, "{cell}");
            check_tells_nothing(&cell, body(&text));
        }
    }
    assert_eq!(wordings.len(), 3);
    assert_eq!(scene.facts(), before);
}

#[test]
fn what_opens_a_route_opens_it_for_its_own_app_and_user_only() {
    let routes = routes();
    // What erases comes last.
    let (erase, others): (Vec<&Route>, Vec<&Route>) = routes
        .iter()
        .partition(|route| route.method == "DELETE" && !route.template.contains("/messages/"));
    let scene = Scene::new();
    let before = scene.facts();
    for route in others.iter().chain(&erase) {
        for has in [Has::KeyOfOtherApp, Has::TokenOfOtherApp] {
            if is_let_in(route, has) {
                let cell = format!("{} {} with {has:?}", route.method, route.template);
                let (status, text) = ask(&scene, route, &credential(&scene, has));
                // A device may change only channels its user is in, and of this app it is in none.
                let is_stranger = route.is_of_devices && status == 403;
                assert!(status < 300 || is_stranger, "{cell}: {text}");
                check_tells_nothing(&cell, body(&text));
            }
        }
    }
    assert_eq!(scene.facts(), before);
    for has in [Has::Key, Has::RootKey, Has::Token, Has::TokenOfOtherUser] {
        let scene = Scene::new();
        for route in others.iter().chain(&erase) {
            if is_let_in(route, has) {
                let cell = format!("{} {} with {has:?}", route.method, route.template);
                let (status, text) = ask(&scene, route, &credential(&scene, has));
                assert!(status < 300, "{cell}: {text}");
            }
        }
    }
}

#[test]
fn a_device_changes_and_sees_its_own_user_only() {
    let scene = Scene::new();
    let backend = scene.web().bearer(&scene.chat);
    let state_of =
        |user: &str| backend.get(&format!("/v1/users/{user}/state")).ok()["channels"].clone();
    let device = scene.credential(Has::TokenOfOtherUser).unwrap();
    let device = scene.web().bearer(&String::from_utf8(device).unwrap());
    let before = state_of(USER);
    assert_eq!(
        device.get("/v1/me/state").ok()["channels"],
        state_of(super::OTHER_USER)
    );
    for route in routes().iter().filter(|route| route.is_of_devices) {
        if !route.template.ends_with("/ws") && !route.template.ends_with("/stream") {
            let headers = credential(&scene, Has::TokenOfOtherUser);
            let (status, text) = ask(&scene, route, &headers);
            assert!(status < 300, "{text}");
        }
    }
    assert_eq!(state_of(USER), before);
    assert_eq!(state_of(super::OTHER_USER)[0]["muted"], "ALL");
}

/// Status and body.
fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.body.clone())
}

#[test]
fn what_does_not_exist_and_what_is_not_yours_are_answered_alike() {
    let scene = Scene::new();
    let mail = scene.web().bearer(&scene.mail);
    // An app with data, an app that is only in the configuration, and one that is nowhere.
    let of_app = |app: &str| told(&mail.with("kidoku-app", app).get("/v1/users/x/badge"));
    assert_eq!(of_app("chat"), of_app("nowhere"));
    assert_eq!(of_app("chat"), of_app("default"));
    assert_eq!(of_app("chat").0, 403);
    // A user and a channel that another app has, and that nobody has.
    for template in [
        "/v1/users/{user}/state",
        "/v1/users/{user}/badge",
        "/v1/users/{user}/channels/{channel}",
        "/v1/users/{user}/channels/{channel}/explain",
        "/v1/channels/{channel}/messages/7/receipts?list=true",
    ] {
        let of = |user: &str, channel: &str| {
            let path = template
                .replace("{user}", user)
                .replace("{channel}", channel);
            let answer = mail.get(&path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            let mut json = answer.json();
            if json["rev"].is_string() {
                json["rev"] = json!("0");
            }
            json.to_string().replace(user, "U").replace(channel, "C")
        };
        assert_eq!(of(USER, CHANNEL), of("nobody", "nowhere"), "{template}");
    }
    // A device asks for a channel that its app has and it is not in, and for one that is nowhere.
    let stranger = String::from_utf8(scene.credential(Has::TokenOfOtherApp).unwrap()).unwrap();
    let newcomer = super::token(super::CHAT_SECRET, "chat", "newcomer", super::now_s() + 600);
    for token in [stranger, newcomer] {
        let device = scene.web().bearer(&token);
        let ack = |channel: &str| {
            let answer = device.post("/v1/me/ack", &json!({"channel": channel, "id": "1"}));
            (answer.status, answer.body.replace(channel, "C"))
        };
        assert_eq!(ack(CHANNEL), ack("nowhere"));
        assert_eq!(ack(CHANNEL).0, 403);
    }
}

#[test]
fn pages_without_data_are_open_and_the_admin_port_shows_none() {
    let scene = Scene::new();
    for path in OPEN {
        let answer = scene.web().get(path);
        assert_eq!(answer.status, 200, "{path}");
        check_tells_nothing(path, &answer.body);
    }
    let admin = Web::new(scene.server.admin_address());
    for path in ["/", "/livez", "/readyz", "/version", "/metrics"] {
        let answer = admin.get(path);
        assert_eq!(answer.status, 200, "{path}");
        for name in [
            USER,
            CHANNEL,
            super::OTHER_USER,
            super::FIRST_ID,
            LAST_ID,
            "chat",
        ] {
            assert!(!answer.body.contains(name), "{path} tells {name}");
        }
    }
    // Nothing of the interface is on the admin port, and nothing of that on the interface.
    assert_eq!(admin.get("/v1/users/x/badge").status, 404);
    assert_eq!(scene.web().get("/metrics").status, 404);
}
