use super::build::{bytes, from_layers, show_bytes};
use super::error::{ConfigError, Origin};
use super::nearest::{edit_distance, nearest};
use super::parse::{Layer, file_text, flags, variables};
use super::table::{APP_FIELDS, FIELDS, Kind};
use super::{AppConfig, Config, Durability, IdMode, doc, machine};
use kidoku_core::id::App;
use std::path::Path;

fn file(text: &str) -> Result<Layer, ConfigError> {
    file_text(Path::new("k.toml"), text)
}

fn env(pairs: &[(&str, &str)]) -> Result<Layer, ConfigError> {
    variables(
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )
}

fn from_file(text: &str) -> Result<Config, ConfigError> {
    from_layers(vec![file(text)?])
}

fn error_of(result: Result<Config, ConfigError>) -> String {
    result.expect_err("refused").to_string()
}

#[test]
fn a_flag_wins_over_a_variable_and_a_variable_over_the_file() {
    let file = file("[http]\nlisten = \"127.0.0.1:1\"\n[resp]\nlisten = \"127.0.0.1:2\"\n[admin]\nlisten = \"127.0.0.1:3\"").unwrap();
    let env = env(&[
        ("KIDOKU_HTTP__LISTEN", "127.0.0.1:4"),
        ("KIDOKU_RESP__LISTEN", "127.0.0.1:5"),
    ])
    .unwrap();
    let flags = flags([("http.listen", "127.0.0.1:6".to_owned())]);
    let config = from_layers(vec![file, env, flags]).unwrap();
    assert_eq!(config.http.listen.port(), 6);
    assert_eq!(config.resp.listen.port(), 5);
    assert_eq!(config.admin.listen.port(), 3);
    assert_eq!(config.cluster.listen.port(), 7403);
}

#[test]
fn nothing_said_gives_the_documented_defaults() {
    let config = from_layers(Vec::new()).unwrap();
    assert_eq!(config.data_dir, Path::new("./kidoku-data"));
    assert_eq!(config.durability, Durability::Sync);
    assert!(!config.dev);
    assert_eq!(config.resp.listen.to_string(), "127.0.0.1:7400");
    assert_eq!(config.cluster.listen.to_string(), "127.0.0.1:7403");
    assert!(config.cores >= 1);
    assert!(config.memory_bytes >= 16 << 20);
    assert_eq!(config.log.segment_bytes, 64 << 20);
    assert_eq!(config.app(&App::default_app()), AppConfig::default());
}

#[test]
fn the_default_file_gives_the_defaults() {
    assert_eq!(
        from_file(&doc::default_toml()).unwrap(),
        from_layers(Vec::new()).unwrap()
    );
}

#[test]
fn every_setting_is_in_the_reference_and_has_its_own_flag_and_variable() {
    let page = doc::markdown();
    let mut flags: Vec<String> = FIELDS.iter().map(super::table::Field::flag).collect();
    for field in FIELDS {
        assert!(
            page.contains(&format!("| `{}` |", field.key)),
            "{}",
            field.key
        );
        assert!(page.contains(&field.variable()), "{}", field.key);
    }
    for field in APP_FIELDS {
        assert!(page.contains(&format!("apps.NAME.{}", field.name)));
    }
    flags.sort();
    flags.dedup();
    assert_eq!(flags.len(), FIELDS.len());
}

#[test]
fn the_committed_reference_page_is_the_one_made_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/config.md");
    let committed = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        committed,
        doc::markdown(),
        "run: kidoku config doc > docs/reference/config.md"
    );
}

#[test]
fn an_unknown_key_is_named_with_its_file_and_the_nearest_key() {
    assert_eq!(
        file("[http]\nlitsen = \"127.0.0.1:1\"")
            .unwrap_err()
            .to_string(),
        "k.toml: unknown key 'http.litsen', did you mean 'http.listen'?"
    );
    assert_eq!(
        file("[htpp]\nlisten = \"127.0.0.1:1\"")
            .unwrap_err()
            .to_string(),
        "k.toml: unknown key 'htpp.listen', did you mean 'http.listen'?"
    );
    assert_eq!(
        file("data-dir = \"x\"").unwrap_err().to_string(),
        "k.toml: unknown key 'data-dir', did you mean 'data_dir'?"
    );
    assert_eq!(
        file("[apps.chat]\nid = \"numeric\"")
            .unwrap_err()
            .to_string(),
        "k.toml: unknown key 'apps.chat.id', did you mean 'apps.chat.ids'?"
    );
    assert!(
        file("[foo]")
            .unwrap_err()
            .to_string()
            .contains("unknown key 'foo'")
    );
    assert!(
        file("http = 5")
            .unwrap_err()
            .to_string()
            .contains("did you mean 'http.listen'")
    );
    assert!(file("[http]\n[apps.a]").unwrap().is_empty());
    assert_eq!(
        env(&[("KIDOKU_HTTP_LISTEN", "x")]).unwrap_err().to_string(),
        "environment variable KIDOKU_HTTP_LISTEN: unknown key 'KIDOKU_HTTP_LISTEN', did you mean \
         'KIDOKU_HTTP__LISTEN'?"
    );
}

#[test]
fn variables_of_others_are_left_alone() {
    let foreign = [
        ("KIDOKU_SERVICE_HOST", "10.0.0.1"),
        ("KIDOKU_SERVICE_PORT_RESP", "7400"),
        ("KIDOKU_PORT", "tcp://10.0.0.1:7400"),
        ("KIDOKU_PORT_7400_TCP_ADDR", "10.0.0.1"),
        ("KIDOKU_CONFIG", "k.toml"),
        ("HOME", "/root"),
    ];
    assert!(env(&foreign).unwrap().is_empty());
}

#[test]
fn each_number_is_accepted_at_its_limits_and_refused_one_past_them() {
    for field in FIELDS {
        let (Kind::Integer { min, max, .. } | Kind::Bytes { min, max, .. }) = field.kind else {
            continue;
        };
        let with = |value: u64| from_layers(vec![flags([(field.key, value.to_string())])]);
        assert!(with(min).is_ok(), "{} at {min}", field.key);
        assert!(with(max).is_ok(), "{} at {max}", field.key);
        assert!(with(max + 1).is_err(), "{} at {max} + 1", field.key);
        assert!(with(min - 1).is_err(), "{} at {min} - 1", field.key);
    }
}

#[test]
fn a_bad_value_is_named_with_its_place_and_what_is_right() {
    assert_eq!(
        error_of(from_file("cores = 0")),
        "k.toml: cores = '0': expected a whole number from 1 to 1024, or auto"
    );
    assert_eq!(
        error_of(from_file("memory = \"3 apples\"")),
        "k.toml: memory = '3 apples': expected 16MiB to 64TiB (512MiB, 2GiB, ...), or auto"
    );
    assert_eq!(
        error_of(from_file("durability = \"none\"")),
        "k.toml: durability = 'none': expected sync or memory"
    );
    assert_eq!(
        error_of(from_layers(vec![
            env(&[("KIDOKU_HTTP__LISTEN", "7401")]).unwrap()
        ])),
        "environment variable KIDOKU_HTTP__LISTEN: http.listen = '7401': expected an IP address \
         and port, like 127.0.0.1:7400"
    );
    assert_eq!(
        error_of(from_layers(vec![flags([("data_dir", String::new())])])),
        "flag --data-dir: data_dir = '': expected a path"
    );
    assert_eq!(
        file("dev = \"yes\"").unwrap_err().to_string(),
        "k.toml: dev = '\"yes\"': expected true or false, without quotes"
    );
    assert_eq!(
        file("data_dir = 5").unwrap_err().to_string(),
        "k.toml: data_dir = '5': expected a text in quotes"
    );
}

#[test]
fn a_value_is_checked_also_when_a_stronger_one_hides_it() {
    let layers = vec![
        file("cores = 9999").unwrap(),
        flags([("cores", "2".to_owned())]),
    ];
    assert!(from_layers(layers).is_err());
}

#[test]
fn a_file_that_is_not_toml_or_missing_is_named() {
    assert!(matches!(file("cores ="), Err(ConfigError::NotToml { .. })));
    let missing = super::parse::file(Path::new("/nowhere/k.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        missing.starts_with("/nowhere/k.toml: can not be read: "),
        "{missing}"
    );
}

#[test]
fn dev_on_a_public_address_is_refused() {
    let public = "dev = true\n[http]\nlisten = \"0.0.0.0:7401\"";
    assert!(error_of(from_file(public)).contains("http.listen = '0.0.0.0:7401'"));
    assert!(from_file("dev = true\n[http]\nlisten = \"[::1]:7401\"").is_ok());
    assert!(from_file("[http]\nlisten = \"0.0.0.0:7401\"").is_ok());
}

#[test]
fn two_listeners_on_one_port_are_refused_unless_any_free_port_is_wanted() {
    let same = "[http]\nlisten = \"127.0.0.1:7400\"";
    assert_eq!(
        error_of(from_file(same)),
        "resp.listen and http.listen are both '127.0.0.1:7400', each needs its own"
    );
    let any = "[http]\nlisten = \"127.0.0.1:0\"\n[resp]\nlisten = \"127.0.0.1:0\"";
    assert!(from_file(any).is_ok());
}

#[test]
fn an_app_has_its_own_kind_of_ids() {
    let text = "[apps.chat]\nids = \"snowflake\"\nsnowflake_epoch_ms = 1420070400000\n[apps.mail]\nids = \"opaque\"";
    let config = from_file(text).unwrap();
    let ids = |name| config.app(&App::new(name).unwrap()).ids;
    assert_eq!(
        ids("chat"),
        IdMode::Snowflake {
            epoch_ms: 1_420_070_400_000
        }
    );
    assert_eq!(ids("mail"), IdMode::Opaque);
    assert_eq!(ids("other"), IdMode::Numeric);
    let env = env(&[("KIDOKU_APPS__MAIL__IDS", "numeric")]).unwrap();
    let config = from_layers(vec![file(text).unwrap(), env]).unwrap();
    assert_eq!(config.app(&App::new("mail").unwrap()).ids, IdMode::Numeric);
}

#[test]
fn app_settings_that_do_not_go_together_are_refused() {
    assert!(
        error_of(from_file("[apps.chat]\nids = \"snowflake\""))
            .contains("needs apps.chat.snowflake_epoch_ms")
    );
    assert!(error_of(from_file("[apps.chat]\nsnowflake_epoch_ms = 5")).contains("only for ids"));
    assert!(error_of(from_file("[apps.Chat]\nids = \"opaque\"")).contains("a-z, 0-9"));
    assert!(
        error_of(from_file("[apps.chat]\nids = \"uuid\""))
            .contains("numeric or snowflake or opaque")
    );
    let epoch = |ms: u64| format!("[apps.chat]\nids = \"snowflake\"\nsnowflake_epoch_ms = {ms}");
    assert!(from_file(&epoch((1 << 42) - 1)).is_ok());
    assert!(from_file(&epoch(1 << 42)).is_err());
}

#[test]
fn sizes_take_suffixes_and_nothing_else() {
    assert_eq!(bytes("512"), Some(512));
    assert_eq!(bytes("2KiB"), Some(2048));
    assert_eq!(bytes("3 MiB"), Some(3 << 20));
    assert_eq!(bytes("1GiB"), Some(1 << 30));
    for wrong in ["", "KiB", "-1", "1.5GiB", "1GB", "1e3", "99999999TiB"] {
        assert_eq!(bytes(wrong), None, "{wrong}");
    }
    assert_eq!(show_bytes(64 << 20), "64MiB");
    assert_eq!(show_bytes(1000), "1000");
}

#[test]
fn distance_counts_changes_and_swaps_of_neighbours() {
    for (left, right, distance) in [
        ("", "", 0),
        ("a", "", 1),
        ("listen", "litsen", 1),
        ("kitten", "sitting", 3),
        ("ab", "ba", 1),
    ] {
        assert_eq!(edit_distance(left, right), distance, "{left} {right}");
        assert_eq!(edit_distance(right, left), distance, "{right} {left}");
    }
    assert_eq!(nearest("x", []), None);
}

#[test]
fn the_memory_of_the_machine_is_read_from_meminfo() {
    let text = "MemTotal:       24520244 kB\nMemFree:  1 kB\n";
    assert_eq!(machine::total_of(text), Some(24_520_244 * 1024));
    assert_eq!(machine::total_of("MemFree: 1 kB"), None);
}

#[test]
fn origins_read_well_in_messages() {
    assert_eq!(Origin::Flag("dev".to_owned()).to_string(), "flag --dev");
    assert_eq!(Origin::Default.to_string(), "built-in default");
}

#[test]
fn an_app_says_how_the_tokens_of_its_devices_are_checked() {
    let config = from_file(
        "[apps.chat]\njwt_hs256_secret_file = \"a\"\njwt_public_key_file = \"b\"\n\
         jwt_audience = \"c\"\njwt_issuer = \"d\"\n[apps.mail]\nids = \"opaque\"\n",
    )
    .unwrap();
    let device = config.device(&App::new("chat").unwrap());
    assert_eq!(device.hs256_secret_file.as_deref(), Some(Path::new("a")));
    assert_eq!(device.public_key_file.as_deref(), Some(Path::new("b")));
    assert_eq!(device.audience.as_deref(), Some("c"));
    assert_eq!(device.issuer.as_deref(), Some("d"));
    assert!(!config.device(&App::new("mail").unwrap()).has_key());
    for key in [
        "jwt_hs256_secret_file",
        "jwt_public_key_file",
        "jwt_audience",
        "jwt_issuer",
    ] {
        let error = from_file(&format!("[apps.chat]\n{key} = \"\""))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(key) && error.contains("not empty"),
            "{error}"
        );
    }
}
