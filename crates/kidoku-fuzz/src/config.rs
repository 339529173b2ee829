//! Settings from a file and from the environment: never a panic, an unknown key is answered with a
//! known one, and what is accepted is within its range.

use kidoku::config::build::from_layers;
use kidoku::config::parse::{file_text, variables};
use kidoku::config::table::{APP_FIELDS, FIELDS};
use kidoku::config::{Config, ConfigError};
use std::path::Path;

/// Reads the input as a file, and its lines `NAME=value` as variables.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let file = file_text(Path::new("kidoku.toml"), text);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    let environment = variables(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut layers = Vec::new();
    for layer in [file, environment] {
        match layer {
            Ok(layer) => {
                check(from_layers(vec![layer.clone()]));
                layers.push(layer);
            }
            Err(error) => check_error(&error),
        }
    }
    check(from_layers(layers));
}

fn check(built: Result<Config, ConfigError>) {
    match built {
        Ok(config) => check_config(&config),
        Err(error) => check_error(&error),
    }
}

/// What the table promises of every configuration that is accepted.
fn check_config(config: &Config) {
    assert!(config.cores >= 1);
    assert!(!config.data_dir.as_os_str().is_empty());
    assert!(config.resp.connections_max >= 1);
    if config.dev {
        assert!(config.resp.listen.ip().is_loopback() && config.http.listen.ip().is_loopback());
    }
    for app in config.devices.keys() {
        assert!(config.apps.contains_key(app));
    }
}

fn check_error(error: &ConfigError) {
    assert!(!error.to_string().is_empty());
    if let ConfigError::UnknownKey { key, nearest, .. } = error {
        let known = FIELDS
            .iter()
            .any(|field| field.key == nearest || field.variable() == *nearest);
        let of_app = APP_FIELDS.iter().any(|field| {
            let name = field.name;
            nearest.ends_with(&format!(".{name}"))
                || nearest.ends_with(&format!("__{}", name.to_ascii_uppercase()))
        });
        assert!(known || of_app, "{key:?} is said to be near {nearest:?}");
    }
}
