use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::io::Write;

/// Joins of 50 users and 20,000 messages of which every tenth names one of them.
fn history() -> String {
    let mut lines = String::new();
    for user in 0..50 {
        let join = json!({"op": "join", "channel": "c", "user": format!("u{user}"), "at": "start"});
        lines.push_str(&format!("{join}\n"));
    }
    for id in 1..=20_000_u64 {
        let mut line = json!({"op": "message", "channel": "c", "id": id.to_string()});
        line["author"] = json!(format!("u{}", id % 50));
        if id % 10 == 0 {
            line["mentions"] = json!([format!("u{}", id % 7)]);
        }
        lines.push_str(&format!("{line}\n"));
    }
    lines
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

async fn states(server: &Server) -> Vec<Value> {
    let mut states = Vec::new();
    for user in 0..50 {
        let path = format!("/v1/users/u{user}/channels/c");
        let mut state = server.done(Method::GET, &path, "").await;
        // An era is the moment of a mark unread and there is none here.
        assert_eq!(state["era"], "0");
        state.as_object_mut().unwrap().remove("era");
        states.push(state);
    }
    states
}

async fn post(server: &Server, encoding: &str, body: impl Into<Body>) -> Answer {
    let headers = [
        ("content-encoding", encoding),
        ("content-type", "application/x-ndjson"),
    ];
    let headers = if encoding.is_empty() {
        &headers[1..]
    } else {
        &headers[..]
    };
    server.ask(Method::POST, "/v1/events", headers, body).await
}

#[tokio::test]
async fn a_stream_gives_the_same_numbers_plain_packed_twice_and_from_an_export() {
    let lines = history();
    let plain = Server::open();
    let report = post(&plain, "", lines.clone()).await.json();
    let expected =
        json!({"lines": 20_050, "applied": 20_050, "changed": 20_050, "failed": 0, "errors": []});
    assert_eq!(report, expected);
    let states_expected = states(&plain).await;
    assert_eq!(
        (
            &states_expected[49]["mentions"],
            &states_expected[49]["unread"]
        ),
        (&json!(0), &json!(1))
    );
    assert!(
        states_expected
            .iter()
            .any(|state| state["mentions"].as_u64() > Some(0))
    );

    let packed = Server::open();
    assert_eq!(post(&packed, "gzip", gzip(&lines)).await.json(), expected);
    let again = post(
        &packed,
        "zstd",
        zstd::encode_all(lines.as_bytes(), 3).unwrap(),
    )
    .await
    .json();
    assert_eq!(
        (&again["applied"], &again["changed"]),
        (&json!(20_050), &json!(0))
    );
    assert_eq!(states(&packed).await, states_expected);

    let export = plain.get("/v1/events").await;
    assert_eq!(export.header("content-type"), "application/x-ndjson");
    assert!(
        export
            .text
            .lines()
            .all(|line| line.contains("\"fact\":true"))
    );
    let copy = Server::open();
    let mut reversed: Vec<&str> = export.text.lines().collect();
    reversed.reverse();
    let report = post(&copy, "", reversed.join("\n")).await.json();
    assert_eq!(report["failed"], 0, "{report}");
    assert_eq!(states(&copy).await, states_expected);
}

#[tokio::test]
async fn failed_lines_are_counted_and_named_and_stop_nothing() {
    let server = Server::open();
    let mut lines = String::from("{\"op\":\"join\",\"channel\":\"c\",\"user\":\"u\"}\n\n  \r\n");
    lines.push_str("{\"op\":\"ack\",\"user\":\"u\",\"channel\":\"c\",\"id\":0}\n");
    lines.push_str("not json\n");
    lines.push_str("{\"op\":\"channel\",\"channel\":\"c\",\"parent\":\"c\"}\n");
    lines.push_str(&"x".repeat(2 << 20));
    lines.push_str("\n{\"op\":\"message\",\"channel\":\"c\",\"id\":1}");
    let answer = post(&server, "", lines).await;
    assert_eq!(answer.status, 200);
    let report = answer.json();
    assert_eq!(
        (&report["lines"], &report["applied"], &report["failed"]),
        (&json!(6), &json!(2), &json!(4))
    );
    let errors = report["errors"].as_array().unwrap();
    let seen: Vec<_> = errors
        .iter()
        .map(|error| (&error["line"], &error["code"]))
        .collect();
    let expected = [(4, "BADID"), (5, "SYNTAX"), (6, "BADID"), (7, "LIMIT")];
    let expected: Vec<_> = expected
        .iter()
        .map(|(line, code)| (json!(line), json!(code)))
        .collect();
    assert_eq!(
        seen,
        expected
            .iter()
            .map(|(line, code)| (line, code))
            .collect::<Vec<_>>()
    );
    assert_eq!(server.state.metrics.lines(), (2, 4));
    let state = server.done(Method::GET, "/v1/users/u/channels/c", "").await;
    assert_eq!(state["unread"], 1);
    let many = post(&server, "", "x\n".repeat(10_000)).await.json();
    assert_eq!(
        (&many["failed"], many["errors"].as_array().unwrap().len()),
        (&json!(10_000), 100)
    );
    assert_eq!(
        (&many["errors"][0]["line"], &many["errors"][99]["line"]),
        (&json!(1), &json!(100))
    );
}

#[tokio::test]
async fn a_stream_that_breaks_off_keeps_what_came_before_and_says_so() {
    let server = Server::open();
    let lines = history();
    let mut cut = gzip(&lines);
    cut.truncate(cut.len() / 2);
    let answer = post(&server, "gzip", cut).await;
    let (status, code, detail) = answer.problem();
    assert_eq!((status, code.as_str()), (400, "SYNTAX"));
    assert!(
        detail.starts_with("the body can not be unpacked"),
        "{detail}"
    );
    let applied = answer.json()["report"]["applied"].as_u64().unwrap();
    assert!(applied > 1_000 && applied < 20_050, "{applied}");
    assert_eq!(
        answer.json()["report"]["failed"],
        0,
        "half a line is not a line"
    );
    let state = server
        .done(Method::GET, "/v1/users/u1/channels/c", "")
        .await;
    assert_eq!(state["last"], (applied - 50).to_string());
    assert_eq!(post(&server, "gzip", lines.clone()).await.problem().0, 400);
    assert_eq!(post(&server, "br", lines).await.problem().0, 415);
    let nothing = post(&server, "", "").await.json();
    assert_eq!(
        nothing,
        json!({"lines": 0, "applied": 0, "changed": 0, "failed": 0, "errors": []})
    );
}
