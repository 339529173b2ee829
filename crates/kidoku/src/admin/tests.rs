use super::*;
use axum::body::to_bytes;
use serde_json::{Value, json};

async fn json_of(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn readiness_is_503_with_reasons_until_there_are_none() {
    let ready = json_of(readiness(Vec::new(), Vec::new())).await;
    assert_eq!(ready, (200, json!({"ready": true, "reasons": []})));
    let reasons = vec!["the log can not be written".to_owned()];
    let not = json_of(readiness(reasons.clone(), Vec::new())).await;
    assert_eq!(not, (503, json!({"ready": false, "reasons": reasons})));
    let warnings = vec!["the certificate of TLS has expired".to_owned()];
    let warned = json_of(readiness(Vec::new(), warnings.clone())).await;
    let expected = json!({"ready": true, "reasons": [], "warnings": warnings});
    assert_eq!(warned, (200, expected));
}

#[test]
fn the_page_links_everything_the_port_serves() {
    for path in ["/livez", "/readyz", "/version", "/metrics"] {
        assert!(PAGE.contains(&format!("href=\"{path}\"")), "{path}");
    }
}
