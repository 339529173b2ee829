//! Devices with the real binary: keys made at the first start, tokens from the command line, and
//! every route that only asks and answers. Live streams are tested beside the code.

use kidoku_torture::server::{Server, TempDir, kidoku, run};
use kidoku_torture::web::Web;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn issue(dir: &Path, user: &str) -> String {
    let dir = dir.to_str().unwrap();
    let output = run(&["token", "issue", "--user", user, "--data-dir", dir]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_device_works_out_of_the_box_and_after_a_restart() {
    let dir = TempDir::new();
    let mut server = Server::on(dir.path(), &[]);
    let key = dir.file("device.key");
    let mode = fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let root = fs::read_to_string(dir.file("root.key")).unwrap();
    let backend = Web::new(server.http_address()).bearer(root.trim());
    let members = json!({"users": ["ada"], "at": "start"});
    backend.post("/v1/channels/c/members", &members).ok();
    backend
        .post("/v1/channels/c/messages", &json!({"id": "1"}))
        .ok();
    backend
        .post("/v1/channels/c/messages", &json!({"id": "2"}))
        .ok();
    let token = issue(dir.path(), "ada");
    let device = Web::new(server.http_address()).bearer(&token);
    assert_eq!(device.get("/v1/me/state").ok()["channels"][0]["unread"], 2);
    let ack = json!({"channel": "c", "id": "1"});
    assert_eq!(device.post("/v1/me/ack", &ack).ok(), json!({"changed": 1}));
    let mute = json!({"level": "ALL"});
    device.call("PUT", "/v1/me/channels/c/mute", &mute).ok();
    let badge = device.get("/v1/me/badge").ok();
    assert_eq!(
        (&badge["unread"], &badge["unmuted_unread"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(device.post("/v1/me/unread", &ack).ok()["unread"], 2);
    assert_eq!(device.get("/v1/users/ada/badge").status, 401);
    assert_eq!(backend.get("/v1/me/badge").status, 401);
    assert!(server.stop().success());
    let secret = fs::read(&key).unwrap();
    let server = Server::on(dir.path(), &[]);
    assert_eq!(fs::read(&key).unwrap(), secret);
    let device = Web::new(server.http_address()).bearer(&token);
    assert_eq!(device.get("/v1/me/badge").ok()["unread"], 2);
}

#[test]
fn a_token_is_inspected_with_the_keys_of_its_app() {
    let dir = TempDir::new();
    drop(Server::on(dir.path(), &["--dev"]));
    let token = issue(dir.path(), "ada");
    let path = dir.path().to_str().unwrap();
    let told = run(&["token", "inspect", &token, "--data-dir", path]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("valid   user ada of app default until "),
        "{told}"
    );
    let longer = format!("{token}x");
    let arguments = ["token", "inspect", &longer, "--data-dir", path];
    let output = kidoku(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("refused"), "{told}");
}

#[test]
fn a_server_does_not_start_with_a_key_that_it_could_not_use() {
    let dir = TempDir::new();
    fs::write(dir.file("short"), "secret\n").unwrap();
    let config = dir.file("kidoku.toml");
    let secret = dir.file("short");
    let text = format!(
        "[apps.chat]\njwt_hs256_secret_file = \"{}\"\n",
        secret.display()
    );
    fs::write(&config, text).unwrap();
    let (path, config) = (dir.path().to_str().unwrap(), config.to_str().unwrap());
    let arguments = ["serve", "--data-dir", path, "--config", config];
    let output = kidoku(&arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("the secret has 6 bytes, at least 32"),
        "{said}"
    );
}
