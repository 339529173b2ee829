//! HTTP over real sockets: every route, problems, ETags, keys, apps.

use flate2::{Compression, write::GzEncoder};
use kidoku_torture::server::{Server, TempDir, run};
use kidoku_torture::web::Web;
use serde_json::{Value, json};
use std::io::Write;

/// A conversation told over every route: method, path, body, and what the answer must hold at least.
fn tour() -> Vec<(String, String, Value, Value)> {
    serde_json::from_str(include_str!("tour.json")).unwrap()
}

/// True when everything in `expected` stands in `found`.
fn holds(found: &Value, expected: &Value) -> bool {
    match expected {
        Value::Null => true,
        Value::Object(fields) => fields
            .iter()
            .all(|(key, value)| found.get(key) == Some(value)),
        _ => found == expected,
    }
}

#[test]
fn every_route_answers_as_described() {
    let server = Server::dev();
    let web = Web::new(server.http_address());
    for (method, path, body, expected) in tour() {
        let answer = match (path.as_str(), method.as_str()) {
            ("/v1/events", "POST") => {
                web.events(b"{\"op\":\"join\",\"channel\":\"x\",\"user\":\"y\"}")
            }
            _ if body.is_null() => web.send(&method, &path, b""),
            _ => web.call(&method, &path, &body),
        };
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path}: {answer:?}"
        );
        if !expected.is_null() {
            let found = answer.ok();
            assert!(
                holds(&found, &expected),
                "{method} {path}: {found} without {expected}"
            );
        }
    }
}

#[test]
fn the_tour_calls_every_route_of_the_openapi_document() {
    let server = Server::dev();
    let document = Web::new(server.http_address()).get("/openapi.json").ok();
    assert!(
        document["openapi"].as_str().unwrap().starts_with("3.1"),
        "{document}"
    );
    let tour = tour();
    let mut missing = Vec::new();
    for (template, methods) in document["paths"].as_object().unwrap() {
        // Devices have a tour of their own.
        if !template.starts_with("/v1/") || template.starts_with("/v1/me/") {
            continue;
        }
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let is_called = tour
                .iter()
                .any(|(m, path, ..)| *m == method && fits(template, path));
            if ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) && !is_called {
                missing.push(format!("{method} {template}"));
            }
        }
    }
    assert!(missing.is_empty(), "not called: {missing:?}");
}

fn fits(template: &str, path: &str) -> bool {
    let path = path.split('?').next().unwrap();
    template.split('/').count() == path.split('/').count()
        && template
            .split('/')
            .zip(path.split('/'))
            .all(|(t, p)| t.starts_with('{') || t == p)
}

#[test]
fn a_problem_names_its_code_and_what_to_change() {
    let server = Server::dev();
    let web = Web::new(server.http_address());
    let unknown = web.post(
        "/v1/users/ada/ack",
        &json!({"channel": "c", "id": "1", "loud": true}),
    );
    assert_eq!(
        (unknown.status, unknown.problem().as_str()),
        (400, "SYNTAX")
    );
    assert!(unknown.body.contains("loud"), "{}", unknown.body);
    let missing = web.post("/v1/users/ada/ack", &json!({"channel": "c"}));
    assert!(
        missing.problem() == "SYNTAX" && missing.body.contains("id"),
        "{}",
        missing.body
    );
    let many: Vec<String> = (0..1_001).map(|n| format!("u{n}")).collect();
    let over = web.post("/v1/channels/c/members", &json!({"users": many}));
    assert_eq!(over.problem(), "LIMIT");
    assert!(over.body.contains("1000"), "{}", over.body);
    assert_eq!(web.get("/v1/nosuch").status, 404);
    web.get("/v1/nosuch").problem();
    let wrong_method = web.send("DELETE", "/v1/users/ada/ack", b"");
    assert_eq!(wrong_method.status, 405);
    wrong_method.problem();
    let hidden = web.call("PUT", "/v1/channels/c", &json!({"receipts": "OFF"}));
    assert_eq!(hidden.status, 200, "{hidden:?}");
    let seen = web.get("/v1/channels/c/messages/1/receipts");
    assert_eq!((seen.status, seen.problem().as_str()), (403, "NOPERM"));
    let limit = web.get("/v1/users/ada/state?limit=10001");
    assert!(limit.problem() == "LIMIT" || limit.problem() == "SYNTAX");
    assert!(
        limit.body.contains("10000") || limit.body.contains("10,000"),
        "{}",
        limit.body
    );
}

#[test]
fn a_state_has_a_tag_and_is_not_sent_again_until_it_changes() {
    let server = Server::dev();
    let web = Web::new(server.http_address());
    web.post("/v1/channels/c/members", &json!({"users": ["ada", "bob"]}))
        .ok();
    web.post(
        "/v1/channels/c/messages",
        &json!({"id": "10", "author": "bob"}),
    )
    .ok();
    for path in ["/v1/users/ada/state", "/v1/users/ada/badge"] {
        let first = web.get(path);
        let tag = first
            .header("etag")
            .unwrap_or_else(|| panic!("{path}: {first:?}"))
            .to_owned();
        assert!(tag.starts_with('"'), "a strong tag: {tag}");
        assert!(
            tag.contains(first.ok()["rev"].as_str().unwrap()),
            "{tag} {}",
            first.body
        );
        let again = web.with("if-none-match", &tag).get(path);
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{path}");
    }
    let tag = web
        .get("/v1/users/ada/state")
        .header("etag")
        .unwrap()
        .to_owned();
    web.post("/v1/users/ada/ack", &json!({"channel": "c", "id": "10"}))
        .ok();
    let changed = web.with("if-none-match", &tag).get("/v1/users/ada/state");
    assert_eq!(changed.status, 200);
    let rev = changed.ok()["rev"].as_str().unwrap().to_owned();
    let since = web.get(&format!("/v1/users/ada/state?since={rev}")).ok();
    assert_eq!(since["channels"], json!([]));
}

#[test]
fn events_stream_in_plain_and_zipped() {
    let server = Server::dev();
    let web = Web::new(server.http_address());
    let lines = concat!(
        "{\"op\":\"join\",\"channel\":\"c\",\"user\":\"ada\"}\n",
        "\n",
        "{\"op\":\"message\",\"channel\":\"c\",\"id\":\"5\",\"author\":\"bob\",\"mentions\":[\"ada\"]}\r\n",
        "{\"op\":\"message\",\"channel\":\"c\",\"id\":6,\"author\":\"bob\",\"time\":1}",
    );
    let report = web.events(lines.as_bytes()).ok();
    assert!(
        holds(
            &report,
            &json!({"lines": 3, "applied": 3, "changed": 3, "failed": 0})
        ),
        "{report}"
    );
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(lines.as_bytes()).unwrap();
    let zipped = encoder.finish().unwrap();
    let report = web.with("content-encoding", "gzip").events(&zipped).ok();
    assert!(
        holds(
            &report,
            &json!({"lines": 3, "applied": 3, "changed": 0, "failed": 0})
        ),
        "{report}"
    );
    assert_eq!(web.get("/v1/users/ada/channels/c").ok()["unread"], 2);
}

/// Makes a key the way an operator does: its id and its text.
fn make_key(dir: &std::path::Path, app: &str) -> (String, String) {
    let dir = dir.to_str().unwrap();
    let output = run(&["key", "create", "--app", app, "--data-dir", dir]);
    let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let id = key.split('_').nth(1).unwrap().to_owned();
    let list = String::from_utf8(run(&["key", "list", "--data-dir", dir]).stdout).unwrap();
    assert!(list.contains(&id) && !list.contains(&key), "{list}");
    (id, key)
}

#[test]
fn a_key_opens_its_own_app_and_no_other_until_it_is_revoked() {
    let dir = TempDir::new();
    let server = Server::on(dir.path(), &[]);
    let web = Web::new(server.http_address());
    let (red_id, red) = make_key(dir.path(), "red");
    let (_, blue) = make_key(dir.path(), "blue");
    let body = json!({"users": ["ada"]});

    for stranger in [
        web.clone(),
        web.bearer("wrong"),
        web.with("authorization", "Basic eA=="),
    ] {
        let answer = stranger.post("/v1/channels/c/members", &body);
        assert_eq!((answer.status, answer.problem().as_str()), (401, "NOAUTH"));
    }
    let (red_web, blue_web) = (web.bearer(&red), web.bearer(&blue));
    // The server follows the key file within a second.
    let begun = std::time::Instant::now();
    while red_web.get("/v1/users/ada/badge").status == 401 {
        assert!(
            begun.elapsed() < kidoku_torture::server::PATIENCE,
            "the new key is never taken"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    red_web.post("/v1/channels/c/members", &body).ok();
    red_web
        .post(
            "/v1/channels/c/messages",
            &json!({"id": "1", "author": "bob"}),
        )
        .ok();
    assert_eq!(red_web.get("/v1/users/ada/badge").ok()["unread"], 1);
    assert_eq!(blue_web.get("/v1/users/ada/badge").ok()["unread"], 0);
    assert_eq!(
        blue_web.get("/v1/users/ada/channels/c").ok()["member"],
        false
    );
    blue_web.delete("/v1/users/ada").ok();
    blue_web.delete("/v1/channels/c").ok();
    assert_eq!(red_web.get("/v1/users/ada/badge").ok()["unread"], 1);

    run(&[
        "key",
        "revoke",
        &red_id,
        "--data-dir",
        dir.path().to_str().unwrap(),
    ]);
    let begun = std::time::Instant::now();
    while red_web.get("/v1/users/ada/badge").status != 401 {
        assert!(
            begun.elapsed() < kidoku_torture::server::PATIENCE,
            "the revoked key is still taken"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(blue_web.get("/v1/users/ada/badge").status, 200);
    let stored = std::fs::read_to_string(dir.file("keys.json")).unwrap();
    assert!(!stored.contains(&blue), "keys are stored as hashes");
}

#[test]
fn the_admin_port_says_how_the_server_is() {
    let server = Server::dev();
    let admin = Web::new(server.admin_address());
    assert_eq!(admin.get("/livez").status, 200);
    assert_eq!(admin.get("/readyz").status, 200);
    let version = admin.get("/version");
    assert!(
        version.body.contains(env!("CARGO_PKG_VERSION")),
        "{}",
        version.body
    );
    let metrics = admin.get("/metrics");
    assert!(
        metrics.body.contains("kidoku_requests_total"),
        "{}",
        metrics.body
    );
    assert!(
        metrics.body.trim_end().ends_with("# EOF"),
        "{}",
        metrics.body
    );
    assert_eq!(Web::new(server.http_address()).get("/metrics").status, 404);
}

#[test]
fn the_documents_are_served_without_a_key() {
    let server = Server::with(&[]);
    let web = Web::new(server.http_address());
    assert_eq!(web.get("/openapi.json").status, 200);
    let docs = web.get("/docs");
    assert_eq!(docs.status, 200);
    assert!(
        docs.header("content-type")
            .unwrap()
            .starts_with("text/html"),
        "{docs:?}"
    );
}
