use super::*;
use serde_json::json;

async fn post_messages(server: &Server, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        let body = format!(r#"{{"id":{id},"author":"ann"}}"#);
        let posted = server
            .done(Method::POST, "/v1/channels/c/messages", &body)
            .await;
        assert_eq!(posted["changed"], 1, "{id}");
    }
}

/// ann, bob and eve are members of c from the start, ann wrote 1 to 5.
async fn conversation() -> Server {
    let server = Server::open();
    let join = r#"{"users":["ann","bob","eve"],"at":"start"}"#;
    assert_eq!(
        server
            .done(Method::POST, "/v1/channels/c/members", join)
            .await["changed"],
        3
    );
    post_messages(&server, 1..=5).await;
    server
}

async fn numbers(server: &Server, user: &str) -> (u64, u64) {
    let state = server
        .done(Method::GET, &format!("/v1/users/{user}/channels/c"), "")
        .await;
    (
        state["unread"].as_u64().unwrap(),
        state["mentions"].as_u64().unwrap(),
    )
}

#[tokio::test]
async fn reading_moves_the_numbers_and_marking_unread_moves_them_back() {
    let server = conversation().await;
    assert_eq!(numbers(&server, "bob").await, (5, 0));
    assert_eq!(numbers(&server, "ann").await, (0, 0));
    let ack = |id: u64, more: &str| format!(r#"{{"channel":"c","id":"{id}"{more}}}"#);
    let acked = server
        .done(Method::POST, "/v1/users/bob/ack", &ack(3, ""))
        .await;
    assert_eq!(acked, json!({"changed": 1}));
    let again = server
        .done(Method::POST, "/v1/users/bob/ack", &ack(2, ""))
        .await;
    assert_eq!(again, json!({"changed": 0}));
    let state = server
        .done(
            Method::POST,
            "/v1/users/bob/ack",
            &ack(4, r#","count":true"#),
        )
        .await;
    assert_eq!(
        (&state["unread"], &state["cursor"]),
        (&json!(1), &json!("4"))
    );
    assert_eq!(
        (&state["first_unread"], &state["last"]),
        (&json!("5"), &json!("5"))
    );
    let old_era = state["era"].as_str().unwrap().to_owned();
    let state = server
        .done(Method::POST, "/v1/users/bob/unread", &ack(2, ""))
        .await;
    assert_eq!(
        (&state["unread"], &state["first_unread"]),
        (&json!(4), &json!("2"))
    );
    let late = ack(5, &format!(r#","era":"{old_era}""#));
    let late = server.done(Method::POST, "/v1/users/bob/ack", &late).await;
    assert_eq!(
        late,
        json!({"changed": 0}),
        "an ack of an older era changes nothing"
    );
    let bulk = r#"{"acks":[{"channel":"c","id":5},{"channel":"d","id":7}]}"#;
    let bulk = server
        .done(Method::POST, "/v1/users/bob/ack/bulk", bulk)
        .await;
    assert_eq!(bulk, json!({"changed": 2}));
    let all = server
        .done(Method::POST, "/v1/users/eve/ack/all", r#"{"id":4}"#)
        .await;
    assert_eq!((&all["unread"], &all["channels"]), (&json!(1), &json!(1)));
    let why = server
        .done(Method::GET, "/v1/users/eve/channels/c/explain", "")
        .await;
    assert_eq!((&why["line"], &why["part"]), (&json!("4"), &json!("floor")));
    assert_eq!(
        (&why["unread_ids"], &why["next"]),
        (&json!(["5"]), &json!(null))
    );
}

#[tokio::test]
async fn mentions_follow_edits_roles_and_deletes() {
    let server = conversation().await;
    let messages = "/v1/channels/c/messages";
    server
        .done(
            Method::POST,
            messages,
            r#"{"id":6,"author":"ann","mentions":["bob"]}"#,
        )
        .await;
    server
        .done(Method::POST, messages, r#"{"id":7,"everyone":true}"#)
        .await;
    server
        .done(Method::POST, messages, r#"{"id":8,"roles":["ops"]}"#)
        .await;
    server
        .done(
            Method::POST,
            messages,
            r#"{"id":9,"silent":true,"mentions":["bob"]}"#,
        )
        .await;
    assert_eq!(numbers(&server, "bob").await, (8, 2));
    let role = server
        .done(
            Method::PUT,
            "/v1/roles/ops/users",
            r#"{"add":["bob","eve"]}"#,
        )
        .await;
    assert_eq!(role, json!({"changed": 2}));
    assert_eq!(numbers(&server, "bob").await, (8, 3));
    let edit = server
        .done(Method::PATCH, &format!("{messages}/6"), r#"{"version":1}"#)
        .await;
    assert_eq!(edit, json!({"changed": 1}));
    assert_eq!(numbers(&server, "bob").await, (8, 2));
    let deleted = server
        .done(Method::DELETE, &format!("{messages}/7"), "")
        .await;
    assert_eq!(deleted, json!({"changed": 1}));
    assert_eq!(numbers(&server, "bob").await, (7, 1));
    let role = server
        .done(Method::PUT, "/v1/roles/ops/users", r#"{"remove":["bob"]}"#)
        .await;
    assert_eq!(role, json!({"changed": 1}));
    assert_eq!(numbers(&server, "bob").await, (7, 0));
    let trimmed = server
        .done(Method::POST, "/v1/channels/c/trim", r#"{"id":"5"}"#)
        .await;
    assert_eq!(trimmed, json!({"changed": 5}));
    assert_eq!(numbers(&server, "bob").await, (2, 0));
}

#[tokio::test]
async fn an_etag_that_is_still_right_is_answered_304() {
    let server = conversation().await;
    let paths = [
        "/v1/users/bob/badge",
        "/v1/users/bob/state",
        "/v1/users/bob/channels/c",
    ];
    for (path, next) in paths.into_iter().zip(100..) {
        // A revision is never above the moment of counting, so just after a change it may rise once
        // more without one.
        let mut first = server.get(path).await;
        let mut again = server.get(path).await;
        while first.header("etag") != again.header("etag") {
            first = again;
            again = server.get(path).await;
        }
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() > 2, "{path}: {tag}");
        if let Some(rev) = first.json()["rev"].as_str() {
            assert_eq!(tag, format!("\"{rev}\""));
        }
        let ask = async |known: &str| {
            server
                .ask(Method::GET, path, &[("if-none-match", known)], "")
                .await
        };
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            let answer = ask(&known).await;
            assert_eq!(
                (answer.status.as_u16(), answer.text.as_str()),
                (304, ""),
                "{path} {known}"
            );
            assert_eq!(answer.header("etag"), tag);
        }
        assert_eq!(ask("\"x\"").await.status, 200);
        post_messages(&server, next..=next).await;
        assert_eq!(
            ask(&tag).await.status,
            200,
            "{path}: there is a new message"
        );
    }
}

#[tokio::test]
async fn state_comes_in_pages_and_by_revision() {
    let server = Server::open();
    for channel in ["a", "b", "c"] {
        let path = format!("/v1/channels/{channel}/members");
        server.done(Method::POST, &path, r#"{"users":["u"]}"#).await;
    }
    let page = server
        .done(Method::GET, "/v1/users/u/state?limit=2", "")
        .await;
    let names = |page: &Value| {
        let channels = page["channels"].as_array().unwrap().iter();
        channels
            .map(|entry| entry["channel"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (names(&page), &page["next"]),
        (vec!["a".to_owned(), "b".to_owned()], &json!("b"))
    );
    let page = server
        .done(Method::GET, "/v1/users/u/state?limit=2&after=b", "")
        .await;
    assert_eq!(
        (names(&page), &page["next"]),
        (vec!["c".to_owned()], &json!(null))
    );
    let rev = page["rev"].as_str().unwrap().to_owned();
    server
        .done(Method::POST, "/v1/channels/b/messages", r#"{"id":1}"#)
        .await;
    let since = format!("/v1/users/u/state?since={rev}");
    assert_eq!(names(&server.done(Method::GET, &since, "").await), ["b"]);
    for bad in [
        "limit=0",
        "limit=10001",
        "limit=x",
        "since=x",
        "since=-1",
        "after=",
    ] {
        let answer = server.get(&format!("/v1/users/u/state?{bad}")).await;
        assert!(answer.status.is_client_error(), "{bad}: {}", answer.text);
        answer.problem();
    }
    assert_eq!(
        server.get("/v1/users/u/state?limit=10000").await.status,
        200
    );
}

#[tokio::test]
async fn settings_say_what_receipts_show() {
    let server = conversation().await;
    let set = r#"{"space":"s","receipts":"list"}"#;
    let settings = server.done(Method::PUT, "/v1/channels/c", set).await;
    assert_eq!(
        settings,
        json!({"space": "s", "parent": null, "receipts": "LIST"})
    );
    server
        .done(
            Method::POST,
            "/v1/users/bob/ack",
            r#"{"channel":"c","id":5}"#,
        )
        .await;
    server
        .done(
            Method::POST,
            "/v1/users/eve/ack",
            r#"{"channel":"c","id":2}"#,
        )
        .await;
    let receipts = "/v1/channels/c/messages/2/receipts";
    let seen = server.done(Method::GET, receipts, "").await;
    assert_eq!(seen, json!({"count": 2, "members": 2, "next": null}));
    let seen = server
        .done(Method::GET, &format!("{receipts}?list=true&limit=1"), "")
        .await;
    assert_eq!(
        (&seen["users"], &seen["next"]),
        (&json!(["bob"]), &json!("bob"))
    );
    let off = server
        .done(
            Method::PUT,
            "/v1/channels/c",
            r#"{"receipts":"OFF","space":null}"#,
        )
        .await;
    assert_eq!(
        off,
        json!({"space": null, "parent": null, "receipts": "OFF"})
    );
    assert_eq!(server.get(receipts).await.problem().0, 403);
}

#[tokio::test]
async fn mutes_change_totals_and_followed_threads_count_with_their_parent() {
    let server = conversation().await;
    server
        .done(
            Method::POST,
            "/v1/users/eve/ack",
            r#"{"channel":"c","id":2}"#,
        )
        .await;
    let mute = server.ask(
        Method::PUT,
        "/v1/users/eve/channels/c/mute",
        &[],
        r#"{"level":"all"}"#,
    );
    assert_eq!(mute.await.status, 204);
    let badge = server.done(Method::GET, "/v1/users/eve/badge", "").await;
    assert_eq!(
        (&badge["unread"], &badge["unmuted_unread"]),
        (&json!(3), &json!(0))
    );
    server
        .done(Method::PUT, "/v1/channels/t", r#"{"parent":"c"}"#)
        .await;
    let follow = "/v1/users/eve/follow/t";
    assert_eq!(
        server.done(Method::PUT, follow, r#"{"on":true}"#).await["changed"],
        1
    );
    server
        .done(Method::POST, "/v1/channels/t/messages", r#"{"id":9}"#)
        .await;
    let state = server
        .done(Method::GET, "/v1/users/eve/channels/c", "")
        .await;
    assert_eq!(state["threads_unread"], 1);
    assert_eq!(
        server.done(Method::PUT, follow, r#"{"on":false}"#).await["changed"],
        1
    );
}

#[tokio::test]
async fn words_that_are_none_of_the_choices_are_refused() {
    let server = Server::open();
    for (path, body) in [
        ("/v1/channels/c", r#"{"receipts":"maybe"}"#),
        ("/v1/users/eve/channels/c/mute", r#"{"level":"loud"}"#),
        ("/v1/roles/r/users", "{}"),
    ] {
        let answer = server.ask(Method::PUT, path, &[], body).await;
        assert_eq!(answer.problem().1, "SYNTAX", "{path}");
    }
}

#[tokio::test]
async fn leaving_erasing_and_dropping_take_the_numbers_away() {
    let server = conversation().await;
    let left = server
        .done(Method::DELETE, "/v1/channels/c/members/bob", "")
        .await;
    assert_eq!(left, json!({"changed": 1}));
    let state = server
        .done(Method::GET, "/v1/users/bob/channels/c", "")
        .await;
    assert_eq!(
        (&state["member"], &state["unread"]),
        (&json!(false), &json!(0))
    );
    let erased = server.done(Method::DELETE, "/v1/users/eve", "").await;
    assert_eq!(erased["channels"], 1);
    assert!(erased["erased_at"].as_u64().unwrap() > 1_600_000_000_000);
    assert_eq!(numbers(&server, "eve").await, (0, 0));
    let dropped = server.done(Method::DELETE, "/v1/channels/c", "").await;
    assert_eq!(dropped["messages"], 5);
    let report = server.done(Method::POST, "/v1/check", "").await;
    assert_eq!(report["mismatch_count"], 0);
}

#[tokio::test]
async fn an_app_of_opaque_ids_writes_and_reads_its_own_strings() {
    let server = Server::keyed();
    let bearer = format!("Bearer {}", server.keys.clone().unwrap().0);
    let headers = [("authorization", bearer.as_str()), ("kidoku-app", "mail")];
    let ask = async |method: Method, path: &str, body: &str| {
        let answer = server.ask(method, path, &headers, body.to_owned()).await;
        assert!(answer.status.is_success(), "{path} {body}: {}", answer.text);
        answer.json()
    };
    ask(
        Method::POST,
        "/v1/channels/c/members",
        r#"{"users":["u"],"at":"start"}"#,
    )
    .await;
    for id in ["$a:x", "$b:x", "$c:x"] {
        let body = json!({"id": id, "author": "v"}).to_string();
        assert_eq!(
            ask(Method::POST, "/v1/channels/c/messages", &body).await["changed"],
            1
        );
    }
    let ack = r#"{"channel":"c","id":"$a:x","count":true}"#;
    let state = ask(Method::POST, "/v1/users/u/ack", ack).await;
    assert_eq!(
        (&state["unread"], &state["cursor"]),
        (&json!(2), &json!("$a:x"))
    );
    assert_eq!(
        (&state["first_unread"], &state["last"]),
        (&json!("$b:x"), &json!("$c:x"))
    );
    ask(Method::DELETE, "/v1/channels/c/messages/$b%3Ax", "").await;
    let page = ask(Method::GET, "/v1/users/u/state", "").await;
    assert_eq!(page["channels"][0]["first_unread"], "$c:x");
    let why = ask(Method::GET, "/v1/users/u/channels/c/explain", "").await;
    assert_eq!(
        (&why["line"], &why["unread_ids"]),
        (&json!("$a:x"), &json!(["$c:x"]))
    );
    let lines = "{\"op\":\"message\",\"channel\":\"c\",\"id\":\"$d:x\"}\n\
                 {\"op\":\"ack\",\"user\":\"u\",\"channel\":\"c\",\"id\":\"$c:x\"}\n";
    let report = ask(Method::POST, "/v1/events", lines).await;
    assert_eq!(
        (&report["applied"], &report["failed"]),
        (&json!(2), &json!(0))
    );
    let state = ask(Method::GET, "/v1/users/u/channels/c", "").await;
    assert_eq!(
        (&state["unread"], &state["first_unread"]),
        (&json!(1), &json!("$d:x"))
    );
    let all = server
        .ask(
            Method::POST,
            "/v1/users/u/ack/all",
            &headers,
            r#"{"id":"$d:x"}"#,
        )
        .await;
    assert_eq!(all.problem().1, "BADID");
}

#[tokio::test]
async fn lists_are_taken_at_their_limit_and_refused_one_past_it() {
    let server = Server::open();
    let names = |count: usize| (0..count).map(|n| format!("u{n}")).collect::<Vec<_>>();
    let acks = |count: usize| {
        (0..count)
            .map(|n| json!({"channel": format!("c{n}"), "id": 1}))
            .collect::<Vec<_>>()
    };
    let message = |field: &str, count: usize| json!({"id": 1, field: names(count)}).to_string();
    let body = |field: &str, count: usize| match field {
        "users" => json!({"users": names(count)}).to_string(),
        "acks" => json!({"acks": acks(count)}).to_string(),
        _ => message(field, count),
    };
    for (path, field, max) in [
        ("/v1/channels/c/members", "users", 1_000),
        ("/v1/channels/c/messages", "mentions", 1_000),
        ("/v1/channels/c/messages", "roles", 100),
        ("/v1/users/u/ack/bulk", "acks", 1_000),
    ] {
        let answer = server.ask(Method::POST, path, &[], body(field, max)).await;
        assert_eq!(answer.status, 200, "{field}: {}", answer.text);
        let answer = server
            .ask(Method::POST, path, &[], body(field, max + 1))
            .await;
        let detail = format!(
            "field `{field}`: {} entries, at most {max} are allowed",
            max + 1
        );
        assert_eq!(answer.problem(), (422, "LIMIT".to_owned(), detail));
        assert_eq!(answer.json()["limit"], max);
    }
    for (path, body) in [
        ("/v1/channels/c/members", r#"{"users":[]}"#),
        ("/v1/users/u/ack/bulk", r#"{"acks":[]}"#),
    ] {
        assert_eq!(
            server.ask(Method::POST, path, &[], body).await.problem().1,
            "SYNTAX"
        );
    }
}
