use super::*;
use serde_json::json;

/// Method, path and a body that would do.
const ROUTES: [(Method, &str, &str); 7] = [
    (Method::GET, "/v1/me/state", ""),
    (Method::GET, "/v1/me/badge", ""),
    (Method::POST, "/v1/me/ack", r#"{"channel":"c","id":"1"}"#),
    (Method::POST, "/v1/me/unread", r#"{"channel":"c","id":"1"}"#),
    (Method::PUT, "/v1/me/channels/c/mute", r#"{"level":"ALL"}"#),
    (Method::GET, "/v1/me/stream", ""),
    (Method::GET, "/v1/me/ws", ""),
];

impl Server {
    async fn device(&self, token: &str, method: Method, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        self.ask(method, path, &headers, body.to_owned()).await
    }

    /// Channel `c` with ada and bob in it, and messages 1 to 3 of bob, the second to ada.
    async fn with_chat(self) -> Self {
        let post = async |path: &str, body: &str| self.done(Method::POST, path, body).await;
        post(
            "/v1/channels/c/members",
            r#"{"users":["ada","bob"],"at":"start"}"#,
        )
        .await;
        for body in [
            r#"{"id":"1","author":"bob"}"#,
            r#"{"id":"2","author":"bob","mentions":["ada"]}"#,
            r#"{"id":"3","author":"bob"}"#,
        ] {
            post("/v1/channels/c/messages", body).await;
        }
        self
    }
}

#[tokio::test]
async fn only_a_valid_token_of_a_device_opens_the_routes_of_devices() {
    let server = Server::keyed();
    let (root, chat) = server.keys.clone().unwrap();
    let token = server.token("default", "ada", 60);
    let cut = token.strip_suffix(|_: char| true).unwrap();
    for (method, path, body) in ROUTES {
        // A WebSocket may bring its token later; then the handshake is looked at, not the token.
        if path != "/v1/me/ws" {
            let answer = server.ask(method.clone(), path, &[], body).await;
            assert_eq!(answer.problem().0, 401, "{path}");
            let in_query = format!("{path}?access_token={token}");
            let answer = server.ask(method.clone(), &in_query, &[], body).await;
            assert_eq!(answer.problem().0, 401, "{path}");
        }
        for presented in [&root, &chat, cut, "x", ""] {
            let answer = server.device(presented, method.clone(), path, body).await;
            let (status, code, detail) = answer.problem();
            assert_eq!((status, code.as_str()), (401, "NOAUTH"), "{path}");
            assert_eq!(detail, "no valid token of a device was given");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
}

#[tokio::test]
async fn a_device_is_told_when_its_token_has_expired() {
    let server = Server::open();
    let keys = DeviceKeys::load(&server.state.config).unwrap();
    let user = UserKey::new(&App::default_app(), "ada").unwrap();
    let long_ago = Millis(now().0 - 3_600_000);
    let expired = keys.issue(&user, 60, long_ago).unwrap().unwrap();
    for (method, path, body) in ROUTES {
        let (status, _, detail) = server.device(&expired, method, path, body).await.problem();
        assert_eq!(
            (status, detail.as_str()),
            (401, "the device's token has expired"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_token_of_a_device_opens_no_route_of_backends() {
    for server in [Server::keyed(), Server::open()] {
        let token = server.token("default", "ada", 60);
        for (method, path) in [
            (Method::GET, "/v1/users/ada/badge"),
            (Method::DELETE, "/v1/users/ada"),
            (Method::GET, "/v1/events"),
            (Method::POST, "/v1/check"),
        ] {
            assert_eq!(
                server.device(&token, method, path, "").await.problem().0,
                401,
                "{path}"
            );
        }
        assert_eq!(
            server
                .device(&token, Method::GET, "/v1/me/badge", "")
                .await
                .status,
            200
        );
    }
}

#[tokio::test]
async fn a_device_sees_the_numbers_of_its_user_and_is_told_when_nothing_changed() {
    let server = Server::open().with_chat().await;
    let token = server.token("default", "ada", 60);
    let state = server.device(&token, Method::GET, "/v1/me/state", "").await;
    assert_eq!(state.status, 200, "{}", state.text);
    let channels = &state.json()["channels"];
    assert_eq!(channels[0]["channel"], "c");
    assert_eq!(
        (&channels[0]["unread"], &channels[0]["mentions"]),
        (&json!(3), &json!(1))
    );
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("if-none-match", state.header("etag")),
    ];
    assert_eq!(
        server
            .ask(Method::GET, "/v1/me/state", &headers, "")
            .await
            .status,
        304
    );
    let badge = server.device(&token, Method::GET, "/v1/me/badge", "").await;
    assert_eq!(
        (&badge.json()["unread"], &badge.json()["mentions"]),
        (&json!(3), &json!(1))
    );
    let since = format!(
        "/v1/me/state?since={}",
        state.json()["rev"].as_str().unwrap()
    );
    let nothing = server.device(&token, Method::GET, &since, "").await.json();
    assert_eq!(nothing["channels"], json!([]));
    server
        .done(Method::POST, "/v1/channels/c/messages", r#"{"id":"4"}"#)
        .await;
    let news = server.device(&token, Method::GET, &since, "").await.json();
    assert_eq!(news["channels"][0]["unread"], 4);
    let query = server
        .device(&token, Method::GET, "/v1/me/state?user=bob", "")
        .await;
    assert_eq!(query.problem().0, 400);
}

#[tokio::test]
async fn a_device_acks_marks_unread_and_mutes_for_its_user() {
    let server = Server::open().with_chat().await;
    let token = server.token("default", "ada", 60);
    let ask = async |method: Method, path: &str, body: &str| {
        let answer = server.device(&token, method, path, body).await;
        assert!(answer.status.is_success(), "{path} {body}: {}", answer.text);
        answer.json()
    };
    let acked = ask(Method::POST, "/v1/me/ack", r#"{"channel":"c","id":"2"}"#).await;
    assert_eq!(acked, json!({"changed": 1}));
    let again = ask(
        Method::POST,
        "/v1/me/ack",
        r#"{"channel":"c","id":1,"private":true}"#,
    )
    .await;
    assert_eq!(again, json!({"changed": 0}));
    let state = ask(Method::POST, "/v1/me/unread", r#"{"channel":"c","id":"2"}"#).await;
    assert_eq!(
        (&state["unread"], &state["mentions"]),
        (&json!(2), &json!(1))
    );
    ask(Method::PUT, "/v1/me/channels/c/mute", r#"{"level":"ALL"}"#).await;
    let badge = ask(Method::GET, "/v1/me/badge", "").await;
    assert_eq!(
        (&badge["unread"], &badge["unmuted_unread"]),
        (&json!(2), &json!(0))
    );
    let bob = server
        .done(Method::GET, "/v1/users/bob/channels/c", "")
        .await;
    assert_eq!(
        (&bob["cursor"], &bob["muted"]),
        (&json!("3"), &json!("NONE"))
    );
    let body = r#"{"channel":"c","id":"3","user":"bob"}"#;
    assert_eq!(
        server
            .device(&token, Method::POST, "/v1/me/ack", body)
            .await
            .problem()
            .0,
        400
    );
}

#[tokio::test]
async fn a_device_never_makes_its_user_a_member() {
    let server = Server::open().with_chat().await;
    let token = server.token("default", "eve", 60);
    for (method, path, body) in &ROUTES[2..5] {
        let answer = server.device(&token, method.clone(), path, body).await;
        let (status, code, detail) = answer.problem();
        assert_eq!((status, code.as_str()), (403, "NOPERM"), "{path}");
        assert_eq!(detail, "the user is not a member of channel `c`");
    }
    let state = server
        .done(Method::GET, "/v1/users/eve/channels/c", "")
        .await;
    assert_eq!(state["member"], false);
    let all = server
        .device(&token, Method::GET, "/v1/me/state", "")
        .await
        .json();
    assert_eq!(all["channels"], json!([]));
}

#[tokio::test]
async fn the_era_of_a_device_is_one_that_this_server_has_given() {
    let server = Server::open().with_chat().await;
    let token = server.token("default", "ada", 60);
    let unread = r#"{"channel":"c","id":"1"}"#;
    let state = server
        .device(&token, Method::POST, "/v1/me/unread", unread)
        .await
        .json();
    let era: u64 = state["era"].as_str().unwrap().parse().unwrap();
    let ack = async |era: u64| {
        let body = json!({"channel": "c", "id": "3", "era": era.to_string()}).to_string();
        server
            .device(&token, Method::POST, "/v1/me/ack", &body)
            .await
    };
    for newer in [era + 1, u64::MAX] {
        assert_eq!(ack(newer).await.problem().1, "BADID", "{newer}");
    }
    assert_eq!(ack(era - 1).await.json(), json!({"changed": 0}));
    assert_eq!(ack(era).await.json(), json!({"changed": 1}));
}

#[tokio::test]
async fn devices_of_an_app_with_opaque_ids_see_and_give_the_apps_ids() {
    let server = Server::keyed();
    let (root, _) = server.keys.clone().unwrap();
    let bearer = format!("Bearer {root}");
    let headers = [("authorization", bearer.as_str()), ("kidoku-app", "mail")];
    for (path, body) in [
        (
            "/v1/channels/c/members",
            r#"{"users":["ada"],"at":"start"}"#,
        ),
        ("/v1/channels/c/messages", r#"{"id":"$one"}"#),
        ("/v1/channels/c/messages", r#"{"id":"$two"}"#),
    ] {
        let answer = server.ask(Method::POST, path, &headers, body).await;
        assert!(answer.status.is_success(), "{}", answer.text);
    }
    let token = server.token("mail", "ada", 60);
    let body = r#"{"channel":"c","id":"$one","count":true}"#;
    let state = server
        .device(&token, Method::POST, "/v1/me/ack", body)
        .await
        .json();
    assert_eq!(
        (&state["cursor"], &state["first_unread"]),
        (&json!("$one"), &json!("$two"))
    );
    let other = server.token("default", "ada", 60);
    let none = server
        .device(&other, Method::GET, "/v1/me/state", "")
        .await
        .json();
    assert_eq!(none["channels"], json!([]));
}
