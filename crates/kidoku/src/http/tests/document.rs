use super::*;
use crate::http::openapi_json;
use std::collections::BTreeSet;
use std::path::Path;

fn document() -> Value {
    serde_json::from_str(&openapi_json()).unwrap()
}

#[test]
fn the_document_is_the_one_that_is_kept() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/openapi.json");
    let kept = std::fs::read_to_string(kept).unwrap_or_default();
    let command = "cargo run -p kidoku --example openapi > docs/reference/openapi.json";
    assert!(
        openapi_json() == kept,
        "the HTTP interface has changed; look at the change and run\n{command}"
    );
}

#[test]
fn the_document_is_openapi_3_1_and_describes_every_route_of_the_table() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut routes = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            routes.insert(format!("{} {path}", method.to_uppercase()));
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert!(
                operation["responses"]["default"].is_object(),
                "{method} {path}"
            );
            let tag = operation["tags"][0].as_str().unwrap();
            let tags = document["tags"].as_array().unwrap();
            assert!(tags.iter().any(|known| known["name"] == tag), "{tag}");
        }
    }
    let expected = [
        "PUT /v1/channels/{channel}",
        "DELETE /v1/channels/{channel}",
        "POST /v1/channels/{channel}/members",
        "DELETE /v1/channels/{channel}/members/{user}",
        "POST /v1/channels/{channel}/trim",
        "POST /v1/channels/{channel}/messages",
        "PATCH /v1/channels/{channel}/messages/{id}",
        "DELETE /v1/channels/{channel}/messages/{id}",
        "GET /v1/channels/{channel}/messages/{id}/receipts",
        "POST /v1/users/{user}/ack",
        "POST /v1/users/{user}/ack/bulk",
        "POST /v1/users/{user}/ack/all",
        "POST /v1/users/{user}/unread",
        "GET /v1/users/{user}/state",
        "GET /v1/users/{user}/badge",
        "GET /v1/users/{user}/channels/{channel}",
        "GET /v1/users/{user}/channels/{channel}/explain",
        "PUT /v1/users/{user}/channels/{channel}/mute",
        "PUT /v1/users/{user}/follow/{thread}",
        "DELETE /v1/users/{user}",
        "PUT /v1/roles/{role}/users",
        "POST /v1/events",
        "GET /v1/events",
        "POST /v1/check",
        "GET /v1/me/state",
        "GET /v1/me/badge",
        "POST /v1/me/ack",
        "POST /v1/me/unread",
        "PUT /v1/me/channels/{channel}/mute",
        "GET /v1/me/stream",
        "GET /v1/me/ws",
    ];
    assert_eq!(routes, expected.into_iter().map(str::to_owned).collect());
}

#[test]
fn routes_of_devices_take_the_device_token_and_no_other_route_does() {
    for (path, item) in document()["paths"].as_object().unwrap() {
        for operation in item.as_object().unwrap().values() {
            let own = path.starts_with("/v1/me/");
            assert_eq!(operation["tags"][0] == "devices", own, "{path}");
            assert_eq!(operation["security"][0]["token"].is_array(), own, "{path}");
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let mut names = parameters.map(|parameter| &parameter["name"]);
            assert_eq!(names.any(|name| name == "kidoku-app"), !own, "{path}");
        }
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| walk(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    walk(&document, &mut found);
    assert!(found.len() > 30);
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn the_check_report_is_described_as_it_is() {
    let report = serde_json::to_value(crate::check::CheckReport::default()).unwrap();
    let fields: BTreeSet<_> = report.as_object().unwrap().keys().cloned().collect();
    let described = &document()["components"]["schemas"]["CheckReport"]["properties"];
    assert_eq!(
        fields,
        described.as_object().unwrap().keys().cloned().collect()
    );
}

#[tokio::test]
async fn the_page_shows_the_document_and_loads_nothing_from_elsewhere() {
    let server = Server::keyed();
    let served = server.get("/openapi.json").await;
    assert_eq!((served.status.as_u16(), served.text), (200, openapi_json()));
    let page = server.get("/docs").await;
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'none';")
    );
    for anchor in ["error-badid", "error-internal"] {
        assert!(page.text.contains(&format!("id=\"{anchor}\"")), "{anchor}");
    }
    for asset in ["/docs/docs.js", "/docs/docs.css"] {
        assert!(page.text.contains(asset));
        let asset = server.get(asset).await;
        assert_eq!(asset.status, 200);
        assert!(!asset.text.contains("http://") && !asset.text.contains("https://"));
    }
    assert!(!page.text.contains("http://") && !page.text.contains("https://"));
    assert!(!page.text.contains("style=") && !page.text.contains("onclick"));
}
