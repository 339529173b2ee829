//! Files that are made from the code: committed, compared here, and written again by
//! `cargo xtask gen`.

use crate::chat::repository;
use crate::transcripts;
use kidoku::metrics::{Kind, Metric};
use kidoku_proto::command::COMMANDS;
use std::fs;
use std::path::Path;

/// Compares a committed file with what the code makes of it now, or writes it when told to bless.
#[expect(
    clippy::disallowed_methods,
    reason = "blessing is asked for by the environment"
)]
pub(crate) fn compare(path: &Path, made: &str) {
    if std::env::var("KIDOKU_BLESS").is_ok() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, made).unwrap();
        return;
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    let differ = committed
        .lines()
        .zip(made.lines())
        .find(|(old, new)| old != new);
    assert!(
        committed == made,
        "{} is not what the code makes; the first difference:\n{differ:#?}\nif it is meant: cargo \
         xtask gen",
        path.display()
    );
}

#[test]
fn the_command_reference_is_what_the_table_says() {
    let path = repository().join("docs/reference/commands.md");
    compare(&path, &kidoku_proto::command::commands_markdown());
}

#[test]
fn the_configuration_reference_is_what_the_settings_say() {
    let made = kidoku_torture::server::run(&["config", "doc"]).stdout;
    compare(
        &repository().join("docs/reference/config.md"),
        &String::from_utf8(made).unwrap(),
    );
}

#[test]
fn the_openapi_document_is_what_the_routes_say() {
    let path = repository().join("docs/reference/openapi.json");
    compare(&path, &kidoku::http::openapi_json());
}

#[test]
fn every_command_has_a_transcript() {
    let played: String = transcripts::FILES
        .iter()
        .map(|name| fs::read_to_string(transcripts::folder().join(format!("{name}.txt"))).unwrap())
        .collect();
    let missing: Vec<&str> = COMMANDS
        .iter()
        .map(|spec| spec.name)
        .filter(|name| {
            !played.lines().any(|line| {
                line.starts_with('>') && line.split(' ').nth(1).is_some_and(|word| word == *name)
            })
        })
        .collect();
    assert!(missing.is_empty(), "no transcript of {missing:?}");
}

#[test]
fn every_command_and_setting_stands_in_its_reference() {
    let commands = fs::read_to_string(repository().join("docs/reference/commands.md")).unwrap();
    let missing: Vec<&str> = COMMANDS
        .iter()
        .map(|spec| spec.name)
        .filter(|name| !commands.contains(&format!("`{name}")))
        .collect();
    assert!(missing.is_empty(), "not in commands.md: {missing:?}");
    let settings = fs::read_to_string(repository().join("docs/reference/config.md")).unwrap();
    let missing: Vec<&str> = kidoku::config::table::FIELDS
        .iter()
        .map(|field| field.key)
        .filter(|key| !settings.contains(key))
        .collect();
    assert!(missing.is_empty(), "not in config.md: {missing:?}");
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_exists() {
    let page = fs::read_to_string(repository().join("docs/operating/metrics.md")).unwrap();
    let shown = |metric: &Metric| match metric.kind() {
        Kind::Counter => format!("`{}_total`", metric.name()),
        Kind::Info => format!("`{}_info`", metric.name()),
        Kind::Gauge => format!("`{}`", metric.name()),
    };
    let all: Vec<String> = Metric::ALL.iter().map(shown).collect();
    let missing: Vec<&String> = all.iter().filter(|name| !page.contains(*name)).collect();
    assert!(missing.is_empty(), "not in metrics.md: {missing:?}");
    let gone: Vec<&str> = page
        .split('`')
        .filter(|word| word.starts_with("kidoku_") && !word.contains(['{', ' ', '*']))
        .filter(|word| !all.contains(&format!("`{word}`")))
        .collect();
    assert!(gone.is_empty(), "in metrics.md only: {gone:?}");
}
