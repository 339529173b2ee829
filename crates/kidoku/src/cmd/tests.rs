use super::args::{SettingFlags, reachable};
use super::check::{Numbers, Row, parse, rows};
use super::client::segment;
use super::explain::{Explanation, told};
use super::export::to_file;
use super::out::{date, grouped, shell_quoted};
use super::scratch::Scratch;
use super::serve::{banner, refuse_open_door};
use super::{Cli, key, run};
use crate::auth::{AuthMode, Keys, Table};
use crate::config::Config;
use crate::config::build::from_layers;
use crate::server::{Addresses, TlsPorts};
use clap::{CommandFactory, FromArgMatches, Parser};
use flate2::read::GzDecoder;
use kidoku_core::clock::Millis;
use kidoku_core::id::App;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::process::ExitCode;

fn exit_code(arguments: &[&str]) -> ExitCode {
    run(arguments.iter().map(OsString::from))
}

/// `ExitCode` can not be compared, but it can be shown.
fn check_code(arguments: &[&str], expected: u8) {
    let code = format!("{:?}", exit_code(arguments));
    assert_eq!(
        code,
        format!("{:?}", ExitCode::from(expected)),
        "{arguments:?}"
    );
}

fn config_of(arguments: &[&str]) -> Config {
    let command = <SettingFlags as clap::Args>::augment_args(clap::Command::new("serve"));
    let matches = command.try_get_matches_from(arguments).unwrap();
    from_layers(vec![
        SettingFlags::from_arg_matches(&matches).unwrap().layer(),
    ])
    .unwrap()
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_setting_is_a_flag_of_serve() {
    let arguments = [
        "serve",
        "--data-dir",
        "/d",
        "--resp-listen",
        "127.0.0.1:0",
        "--http-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--cluster-listen",
        "127.0.0.1:0",
        "--dev",
        "--durability",
        "memory",
        "--cores",
        "2",
        "--memory",
        "1GiB",
    ];
    assert!(Cli::try_parse_from([&["kidoku"], &arguments[..]].concat()).is_ok());
    let config = config_of(&arguments);
    assert_eq!(
        (config.dev, config.cores, config.memory_bytes),
        (true, 2, 1 << 30)
    );
    assert_eq!(config.resp.listen.port(), 0);
    assert!(!config_of(&["serve", "--dev=false"]).dev);
}

#[test]
fn wrong_usage_ends_with_64_and_help_with_0() {
    check_code(&["kidoku"], 64);
    check_code(&["kidoku", "sevre"], 64);
    check_code(&["kidoku", "serve", "--prot", "1"], 64);
    check_code(&["kidoku", "serve", "--cores", "0"], 64);
    check_code(
        &["kidoku", "serve", "--dev", "--http-listen", "0.0.0.0:0"],
        64,
    );
    check_code(&["kidoku", "import", "x", "--app", "Not An App"], 64);
    check_code(&["kidoku", "import", "x", "--url", "ftp://x"], 64);
    check_code(&["kidoku", "--help"], 0);
    check_code(&["kidoku", "version"], 0);
    check_code(&["kidoku", "completions", "bash"], 0);
    check_code(&["kidoku", "config", "default"], 0);
    check_code(
        &["kidoku", "config", "check", "--config", "/nowhere/k.toml"],
        64,
    );
}

#[test]
fn without_a_server_commands_end_with_69() {
    let scratch = Scratch::new();
    let dir = scratch.path().to_str().unwrap();
    check_code(&["kidoku", "check", "--data-dir", dir], 69);
    check_code(&["kidoku", "explain", "u", "c", "--data-dir", dir], 69);
    // Port 9 (discard) of loopback: nobody listens there.
    check_code(
        &[
            "kidoku",
            "check",
            "--url",
            "http://127.0.0.1:9",
            "--data-dir",
            dir,
        ],
        69,
    );
}

#[test]
fn keys_are_made_listed_and_revoked_on_the_directory_alone() {
    let scratch = Scratch::new();
    let dir = scratch.path().join("new");
    let app = App::new("chat").unwrap();
    let now = Millis(1_795_489_786_000);
    let day = key::parse_span("1d").unwrap();
    let text = key::create(&dir, app, false, Some(day), now).unwrap();
    let root = key::create(&dir, App::default_app(), true, None, now).unwrap();
    assert!(
        Keys::open_dir(&dir, AuthMode::Keyed)
            .unwrap()
            .check(&root, Some("any"))
            .is_some()
    );
    key::revoke(&dir, &root, now).unwrap();
    key::revoke(&dir, &root, now).unwrap();
    assert!(
        Keys::open_dir(&dir, AuthMode::Keyed)
            .unwrap()
            .check(&root, None)
            .is_none()
    );
    assert!(
        key::revoke(&dir, "nothere0", now)
            .unwrap_err()
            .text
            .contains("there is no key")
    );
    let table = Table::read(&dir).unwrap();
    let listed = key::list(&table, now);
    assert!(
        listed.contains("valid until 2026-11-25 03:09:46 UTC"),
        "{listed}"
    );
    assert!(
        listed.contains("revoked 2026-11-24 03:09:46 UTC"),
        "{listed}"
    );
    assert!(key::list(&table, Millis(now.0 + day.0)).contains("expired"));
    let secret = |text: &str| text.rsplit('_').next().unwrap().to_owned();
    assert!(!listed.contains(&secret(&text)) && !listed.contains(&secret(&root)));
}

#[test]
fn spans_are_a_number_and_a_unit() {
    for (text, ms) in [
        ("1s", 1_000),
        ("2m", 120_000),
        ("12h", 43_200_000),
        ("90d", 7_776_000_000),
    ] {
        assert_eq!(key::parse_span(text), Ok(Millis(ms)));
    }
    for wrong in ["", "d", "90", "0d", "-1d", "1.5d", "99999999999d", "1y"] {
        assert!(key::parse_span(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_public_address_without_a_valid_key_is_refused() {
    let scratch = Scratch::new();
    let dir = scratch.path();
    let public = config_of(&["serve", "--http-listen", "0.0.0.0:0"]);
    let private = config_of(&["serve"]);
    let none = Table::default();
    assert!(
        refuse_open_door(&public, &none)
            .unwrap_err()
            .text
            .contains("http.listen")
    );
    assert!(refuse_open_door(&private, &none).is_ok());
    key::create(dir, App::default_app(), false, None, crate::auth::now()).unwrap();
    assert!(refuse_open_door(&public, &Table::read(dir).unwrap()).is_ok());
}

fn addresses(resp: &str) -> Addresses {
    let at = |text: &str| text.parse().unwrap();
    Addresses {
        resp: at(resp),
        http: at("127.0.0.1:7401"),
        admin: at("127.0.0.1:7402"),
        cluster: None,
        tls: TlsPorts::default(),
    }
}

#[test]
fn the_banner_says_where_the_key_is_and_never_the_key() {
    let scratch = Scratch::new();
    let dir = scratch.path();
    crate::auth::create_root_if_missing(dir).unwrap();
    let key = fs::read_to_string(dir.join("root.key")).unwrap();
    let config = Config::with_data_dir(dir);
    let text = banner(&config, &addresses("127.0.0.1:7400"), None);
    let path = dir.join("root.key").canonicalize().unwrap();
    assert!(
        text.contains(&format!(
            "export REDISCLI_AUTH=\"$(cat {})\"",
            path.display()
        )),
        "{text}"
    );
    assert!(
        text.contains("redis-cli -p 7400 KD.JOIN room alice bob\n"),
        "{text}"
    );
    assert!(!text.contains(key.trim()));
    let dev = Config {
        dev: true,
        ..config
    };
    let text = banner(&dev, &addresses("[::]:7400"), None);
    assert!(
        text.contains("  curl -s http://127.0.0.1:7401/v1/users/alice/badge\n"),
        "{text}"
    );
    assert!(text.contains("redis-cli -h ::1 -p 7400"), "{text}");
    assert!(!text.contains("REDISCLI_AUTH"), "{text}");
}

#[test]
fn with_tls_the_banner_says_how_to_get_through_it() {
    let scratch = Scratch::new();
    let cert = scratch.write("server.pem", b"");
    let mut config = Config::with_data_dir(scratch.path());
    config.dev = true;
    config.tls.cert = Some(cert.clone());
    let mut at = addresses("127.0.0.1:7400");
    at.tls = TlsPorts {
        resp: true,
        http: true,
        admin: false,
    };
    let cert = cert.canonicalize().unwrap();
    let text = banner(&config, &at, Some(&cert));
    let cert = cert.display();
    for line in [
        "RESP     rediss://127.0.0.1:7400\n".to_owned(),
        "HTTP     https://127.0.0.1:7401/docs\n".to_owned(),
        "admin    http://127.0.0.1:7402/readyz\n".to_owned(),
        format!("redis-cli --tls --cacert {cert} -p 7400 KD.JOIN room alice bob\n"),
        format!("curl -s --cacert {cert} https://127.0.0.1:7401/v1/users/alice/badge\n"),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    config.tls.client_ca = Some("ca.pem".into());
    let text = banner(&config, &at, None);
    let words = "--cacert CA.pem --cert CLIENT.pem --key CLIENT.key";
    assert!(
        text.contains(&format!("curl -s {words} https://")),
        "{text}"
    );
}

#[test]
fn a_listener_on_all_addresses_is_reached_on_loopback() {
    let at = |text: &str| reachable(text.parse::<SocketAddr>().unwrap()).to_string();
    assert_eq!(at("0.0.0.0:5"), "127.0.0.1:5");
    assert_eq!(at("[::]:5"), "[::1]:5");
    assert_eq!(at("10.0.0.7:5"), "10.0.0.7:5");
}

#[test]
fn an_export_is_packed_by_its_ending_and_appears_only_whole() {
    let scratch = Scratch::new();
    let facts = b"{\"a\":1}\n{\"b\":2}\n";
    for name in ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"] {
        let path = scratch.path().join(name);
        assert_eq!(to_file(&mut &facts[..], &path).unwrap(), 2);
        let bytes = fs::read(&path).unwrap();
        let text = match name.rsplit('.').next().unwrap() {
            "gz" => {
                let mut text = Vec::new();
                GzDecoder::new(&bytes[..]).read_to_end(&mut text).unwrap();
                text
            }
            "zst" => zstd::decode_all(&bytes[..]).unwrap(),
            _ => bytes,
        };
        assert_eq!(text, facts, "{name}");
    }
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("gone"))
        }
    }
    let path = scratch.path().join("b.jsonl");
    let mut broken = facts.chain(Broken);
    assert!(
        to_file(&mut broken, &path)
            .unwrap_err()
            .text
            .contains("broke off after 2 facts")
    );
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 3);
}

fn row(channel: &str, user: &str, unread: u64, mentions: u64) -> Row {
    let numbers = Numbers { unread, mentions };
    Row {
        channel: channel.to_owned(),
        user: user.to_owned(),
        numbers,
    }
}

#[test]
fn expected_numbers_are_read_by_the_names_of_their_columns() {
    let text = "user\tmentions\tunread\tnote\tchannel\nann\t1\t2\tx\troom\n\nbob\t3\t4\ty\thall\n";
    assert_eq!(
        parse(text),
        Ok(vec![row("room", "ann", 2, 1), row("hall", "bob", 4, 3)])
    );
    assert!(parse("").unwrap_err().contains("empty"));
    assert!(
        parse("user\tchannel\n")
            .unwrap_err()
            .contains("no column 'unread'")
    );
    let header = "channel\tuser\tunread\tmentions\n";
    assert_eq!(
        parse(&format!("{header}a\tb\t1")).unwrap_err(),
        "line 2: a column is missing"
    );
    assert_eq!(
        parse(&format!("{header}a\tb\t-1\t0")).unwrap_err(),
        "line 2: '-1' is not a number"
    );
}

#[test]
fn expected_numbers_may_be_gzipped() {
    let scratch = Scratch::new();
    let text = "channel\tuser\tunread\tmentions\nroom\tann\t2\t1\n";
    let path = scratch.path().join("e.tsv.gz");
    to_file(&mut text.as_bytes(), &path).unwrap();
    assert_eq!(rows(&path).unwrap(), vec![row("room", "ann", 2, 1)]);
    let bytes = fs::read(&path).unwrap();
    let cut = scratch.write("cut.tsv.gz", &bytes[..bytes.len() - 9]);
    assert_eq!(rows(&cut).unwrap_err().exit_code, 65);
}

fn explanation(member: bool) -> Explanation {
    serde_json::from_value(serde_json::json!({
        "state": {"unread": 3, "mentions": 1, "first_unread": "5", "cursor": "4", "era": "0",
            "last": "9", "muted": "ALL", "member": member, "threads_unread": 0,
            "threads_mentions": 0},
        "line": "4", "part": "cursor", "set_at": 1_795_489_786_000_u64, "floor": "0", "join": "2",
        "trim": "0", "unread_ids": ["5", "7"], "mention_ids": ["7"], "own": 1, "next": "7",
    }))
    .unwrap()
}

#[test]
fn an_explanation_names_the_line_its_reason_its_time_and_the_messages() {
    let text = told("ann", "room", &explanation(true));
    assert_eq!(
        text,
        "ann has 3 unread in room; messages among them that name ann: 1.\n\n\
         The line is 4: the user read up to there, or marked unread from there on, set 2026-11-24 \
         03:09:46 UTC.\n\
         What counts is the highest of these:\n  cursor   4\n  ack-all  none\n  join     2\n  trim     \
         none\n\
         The newest message is 9.\nOwn messages above the line, not counted: 1.\n\
         Muted: ALL. That changes totals, not these numbers.\n\n\
         The messages that count (* = mention):\n  5\n* 7\n  and 1 more (--limit)\n"
    );
    assert_eq!(
        told("ann", "room", &explanation(false)),
        "ann is not a member of room, so nothing counts.\n"
    );
}

#[test]
fn names_are_one_segment_of_a_path_whatever_they_hold() {
    for (name, path) in [
        ("ann", "ann"),
        ("a/b?c", "a%2Fb%3Fc"),
        ("..", "%2E%2E"),
        ("é", "%C3%A9"),
        ("a b", "a%20b"),
    ] {
        assert_eq!(segment(name), path);
    }
}

#[test]
fn numbers_times_and_words_are_shown_as_people_and_shells_read_them() {
    for (value, text) in [
        (0, "0"),
        (999, "999"),
        (1_000, "1,000"),
        (1_234_567, "1,234,567"),
    ] {
        assert_eq!(grouped(value), text);
    }
    for (ms, text) in [
        (0, "1970-01-01 00:00:00 UTC"),
        (951_782_400_000, "2000-02-29 00:00:00 UTC"),
        (1_709_251_199_999, "2024-02-29 23:59:59 UTC"),
        (4_102_444_800_000, "2100-01-01 00:00:00 UTC"),
    ] {
        assert_eq!(date(Millis(ms)), text);
    }
    assert_eq!(shell_quoted("/a/b.c"), "/a/b.c");
    assert_eq!(shell_quoted("/a b/it's"), r"'/a b/it'\''s'");
    assert_eq!(shell_quoted(""), "''");
}

#[test]
fn a_token_is_issued_with_the_key_of_the_data_directory_and_inspected() {
    use super::token::{issue, told};
    use crate::auth::{DeviceKeys, create_device_key_if_missing};
    let scratch = Scratch::new();
    create_device_key_if_missing(scratch.path()).unwrap();
    let keys = DeviceKeys::load(&Config::with_data_dir(scratch.path())).unwrap();
    let now = Millis(1_700_000_000_000);
    let token = issue(&keys, "default", "ada", Millis(3_600_000), now).unwrap();
    let text = told(&token, &keys.check(&token, now));
    assert!(text.starts_with("header  {\"alg\":\"HS256\""), "{text}");
    assert!(text.contains("\"sub\":\"ada\""), "{text}");
    let valid = "\nvalid   user ada of app default until 2023-11-14 23:13:20 UTC\n";
    assert!(text.ends_with(valid), "{text}");
    let later = Millis(now.0 + 3_700_000);
    let text = told(&token, &keys.check(&token, later));
    assert!(
        text.ends_with("\nrefused the token has expired\n"),
        "{text}"
    );
    let text = told("x", &keys.check("x", now));
    assert_eq!(
        text,
        "refused it is not a token, or a claim has the wrong type\n"
    );
    for (app, user, span, reason) in [
        ("Chat", "ada", 1, "an app is"),
        ("chat", "ada", 1, "app 'chat' has no secret"),
        ("default", "", 1, "user is empty"),
        ("default", "ada", 90_000_000, "more than 24 hours"),
    ] {
        let error = issue(&keys, app, user, Millis(span), now).unwrap_err();
        assert_eq!(error.exit_code, 64);
        assert!(error.text.contains(reason), "{}", error.text);
    }
}
