use super::*;
use std::time::Duration;

#[tokio::test]
async fn without_a_valid_key_every_answer_is_the_same_401() {
    let server = Server::keyed();
    let (_, chat) = server.keys.clone().unwrap();
    let mut wrong = chat.clone();
    wrong.pop();
    wrong.push('!');
    let none = server.get("/v1/users/u/badge").await;
    assert_eq!(none.problem().0, 401);
    assert_eq!(none.header("www-authenticate"), "Bearer");
    for presented in [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic dTpw",
        "",
        &format!("Bearer {wrong}"),
    ] {
        let headers = [("authorization", presented), ("kidoku-app", "chat")];
        let answer = server
            .ask(Method::GET, "/v1/users/u/badge", &headers, "")
            .await;
        assert_eq!(
            (answer.status, &answer.text),
            (none.status, &none.text),
            "{presented}"
        );
    }
    let bytes = axum::http::HeaderValue::from_bytes(b"Bearer \xff").unwrap();
    let request = Request::get("/v1/users/u/badge").header("authorization", bytes);
    let answer = server.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, &answer.text), (none.status, &none.text));
}

#[tokio::test]
async fn a_key_opens_its_own_app_and_the_root_key_any() {
    let server = Server::keyed();
    let (root, chat) = server.keys.clone().unwrap();
    let badge = async |key: &str, app: Option<&str>| {
        let bearer = format!("bearer {key}");
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(app.map(|app| ("kidoku-app", app)));
        server
            .ask(Method::GET, "/v1/users/u/badge", &headers, "")
            .await
    };
    for (key, app) in [
        (&chat, None),
        (&chat, Some("chat")),
        (&root, None),
        (&root, Some("mail")),
    ] {
        assert_eq!(badge(key, app).await.status, 200, "{app:?}");
    }
    for (key, app) in [
        (&chat, "mail"),
        (&chat, "default"),
        (&root, "Not An App"),
        (&root, ""),
    ] {
        let (status, code, _) = badge(key, Some(app)).await.problem();
        assert_eq!((status, code.as_str()), (403, "NOPERM"), "{app}");
    }
}

#[tokio::test]
async fn what_one_app_writes_no_other_reads() {
    let server = Server::keyed();
    let (root, chat) = server.keys.clone().unwrap();
    let bearer = format!("Bearer {chat}");
    let body = r#"{"users":["u"],"at":"start"}"#;
    let path = "/v1/channels/c/members";
    let joined = server
        .ask(Method::POST, path, &[("authorization", &bearer)], body)
        .await;
    assert_eq!(joined.json()["changed"], 1);
    let bearer = format!("Bearer {root}");
    for (app, member) in [("chat", true), ("default", false), ("snow", false)] {
        let headers = [("authorization", bearer.as_str()), ("kidoku-app", app)];
        let state = server
            .ask(Method::GET, "/v1/users/u/channels/c", &headers, "")
            .await;
        assert_eq!(state.json()["member"], member, "{app}: {}", state.text);
    }
}

#[tokio::test]
async fn without_keys_only_the_default_app_is_open() {
    let server = Server::open();
    assert_eq!(server.get("/v1/users/u/badge").await.status, 200);
    let ask = async |app: &str| {
        server
            .ask(Method::GET, "/v1/users/u/badge", &[("kidoku-app", app)], "")
            .await
    };
    assert_eq!(ask("default").await.status, 200);
    assert_eq!(ask("mail").await.problem().0, 403);
}

#[tokio::test]
async fn what_no_route_takes_is_a_problem_too() {
    let server = Server::open();
    for path in [
        "/",
        "/v1",
        "/v1/users",
        "/v2/users/u/badge",
        "/v1/users/u/badge/",
    ] {
        let (status, code, _) = server.get(path).await.problem();
        assert_eq!((status, code.as_str()), (404, "SYNTAX"), "{path}");
    }
    let answer = server
        .ask(Method::DELETE, "/v1/users/u/badge", &[], "")
        .await;
    assert_eq!(answer.problem().0, 405);
    assert!(
        answer.header("allow").contains("GET"),
        "{:?}",
        answer.headers
    );
    let answer = server.ask(Method::PATCH, "/v1/events", &[], "").await;
    assert_eq!(answer.problem().0, 405);
}

#[tokio::test]
async fn a_body_is_refused_by_size_kind_depth_and_unknown_field() {
    use kidoku_core::limits::{HTTP_BODY_BYTES_MAX, HTTP_BULK_BODY_BYTES_MAX};
    let server = Server::open();
    let ack = r#"{"channel":"c","id":1}"#;
    let json = [("content-type", "application/json; charset=utf-8")];
    let ask = async |path: &str, headers: &[(&str, &str)], body: String| {
        server.ask(Method::POST, path, headers, body).await
    };
    let padded = |body: &str, length: usize| format!("{body}{}", " ".repeat(length - body.len()));
    let joined = r#"{"users":["u"]}"#;
    for (path, body, max) in [
        ("/v1/users/u/ack", ack, HTTP_BODY_BYTES_MAX),
        ("/v1/channels/c/members", joined, HTTP_BULK_BODY_BYTES_MAX),
    ] {
        assert_eq!(
            ask(path, &json, padded(body, max)).await.status,
            200,
            "{path}"
        );
        let answer = ask(path, &json, padded(body, max + 1)).await;
        let (status, code, detail) = answer.problem();
        assert_eq!((status, code.as_str()), (413, "LIMIT"));
        assert_eq!(detail, format!("the body is longer than {max} bytes"));
        assert_eq!(answer.json()["limit"], max);
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(
        ask("/v1/users/u/ack", &form, ack.to_owned())
            .await
            .problem()
            .0,
        415
    );
    let deep = |open: &str, close: &str| {
        format!(
            r#"{{"channel":{}1{},"id":1}}"#,
            open.repeat(10_000),
            close.repeat(10_000)
        )
    };
    for body in [
        deep("[", "]"),
        deep("{\"a\":", "}"),
        String::new(),
        "[]".to_owned(),
    ] {
        let (status, code, _) = ask("/v1/users/u/ack", &json, body).await.problem();
        assert_eq!((status, code.as_str()), (400, "SYNTAX"));
    }
    let unknown = r#"{"channel":"c","id":1,"erra":"2"}"#.to_owned();
    let (status, _, detail) = ask("/v1/users/u/ack", &json, unknown).await.problem();
    assert_eq!(status, 400);
    assert!(
        detail.starts_with("the body: unknown field `erra`"),
        "{detail}"
    );
    let (status, _, detail) = server.get("/v1/users/u/state?limmit=5").await.problem();
    assert_eq!(status, 400);
    assert!(detail.contains("unknown field `limmit`"), "{detail}");
}

#[tokio::test]
async fn names_and_ids_of_the_path_are_decoded_and_checked() {
    let server = Server::open();
    let long = "x".repeat(128);
    for good in ["a%2Fb", "%E6%97%A2%E8%AA%AD", "a%20b", "%25", &long] {
        let state = server
            .get(&format!("/v1/users/{good}/channels/{good}"))
            .await;
        assert_eq!(state.status, 200, "{good}: {}", state.text);
    }
    let joined = server.done(
        Method::POST,
        "/v1/channels/a%2Fb/members",
        r#"{"users":["a/b"]}"#,
    );
    assert_eq!(joined.await["changed"], 1);
    let state = server
        .done(Method::GET, "/v1/users/a%2fb/channels/a%2Fb", "")
        .await;
    assert_eq!(state["member"], true);
    for bad in ["a%00b", "%0A", "", &format!("{long}x")] {
        let answer = server.get(&format!("/v1/users/{bad}/badge")).await;
        assert_eq!(answer.problem().1, "BADID", "{bad}");
    }
    assert_eq!(
        server.get("/v1/users/%FF/badge").await.problem().1,
        "SYNTAX"
    );
    for bad in [
        "0",
        "-1",
        "1e3",
        "9223372036854775808",
        "18446744073709551616",
        "x",
    ] {
        let path = format!("/v1/channels/c/messages/{bad}");
        let answer = server.ask(Method::DELETE, &path, &[], "");
        let (status, code, _) = answer.await.problem();
        assert_eq!((status, code.as_str()), (400, "BADID"), "{bad}");
    }
}

#[tokio::test]
async fn the_admin_port_tells_of_the_running_engine() {
    let server = Server::open();
    server.get("/v1/users/u/badge").await;
    let admin = crate::admin::router(crate::admin::AdminState {
        engine: server.state.engine.clone(),
        http: Arc::clone(&server.state.metrics),
        connections_max: 1,
        tls: None,
    });
    let get = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = admin.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    };
    for path in ["/", "/livez", "/readyz", "/version"] {
        assert_eq!(get(path).await.0, 200, "{path}");
    }
    assert_eq!(get("/readyz").await.1, r#"{"ready":true,"reasons":[]}"#);
    let mut metrics = get("/metrics").await.1;
    // The other core may not have come to its mail yet when the machine is busy.
    let rests = |metrics: &str| metrics.contains("kidoku_mailbox_length{core=\"1\"} 0\n");
    for _ in 0..1_000 {
        if rests(&metrics) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        metrics = get("/metrics").await.1;
    }
    for line in [
        "kidoku_ready 1",
        "kidoku_cores 2",
        "kidoku_mailbox_length{core=\"1\"} 0",
        "kidoku_http_requests_total{method=\"GET\",route=\"/v1/users/{user}/badge\",status=\"2xx\"} 1",
    ] {
        assert!(
            metrics.lines().any(|have| have == line),
            "{line} is missing in\n{metrics}"
        );
    }
}
