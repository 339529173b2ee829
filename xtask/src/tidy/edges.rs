//! Which crate may know which, and how many crates there may be.

use super::none;
use crate::root;
use std::fs;

/// `crate: may depend on`. The store, the log and the protocol never see each other; the core sees
/// nobody. The second list may be used by tests only.
const ALLOWED: [(&str, &[&str], &[&str]); 9] = [
    ("kidoku-core", &[], &[]),
    ("kidoku-proto", &["kidoku-core"], &[]),
    ("kidoku-store", &["kidoku-core"], &[]),
    ("kidoku-log", &[], &[]),
    (
        "kidoku-sim",
        &["kidoku-core", "kidoku-store", "kidoku-log", "kidoku-proto"],
        &[],
    ),
    ("kidoku-torture", &[], &[]),
    ("kidoku-bench", &[], &[]),
    (
        "kidoku-fuzz",
        &[
            "kidoku",
            "kidoku-core",
            "kidoku-log",
            "kidoku-proto",
            "kidoku-sim",
            "kidoku-store",
        ],
        &[],
    ),
    (
        "kidoku",
        &[
            "kidoku-bench",
            "kidoku-core",
            "kidoku-proto",
            "kidoku-store",
            "kidoku-log",
        ],
        &["kidoku-sim", "kidoku-torture"],
    ),
];

/// Locked packages: each is code that somebody has to trust, build and update.
const LOCKED_MAX: usize = 260;

#[test]
fn crates_know_only_the_crates_they_may() {
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let manifest = fs::read_to_string(entry.path().join("Cargo.toml")).unwrap();
        let Some((_, always, in_tests)) = ALLOWED.iter().find(|(krate, ..)| *krate == name) else {
            findings.push(format!("{name}: not in the list of crates"));
            continue;
        };
        for (dev, dependency) in own_dependencies(&manifest) {
            let dependency = dependency.as_str();
            let allowed = always.contains(&dependency) || (dev && in_tests.contains(&dependency));
            if !allowed {
                findings.push(format!("{name} may not depend on {dependency}"));
            }
        }
        seen.push(name);
    }
    assert_eq!(seen.len(), ALLOWED.len(), "crates in the tree: {seen:?}");
    none(&findings, "dependency edges");
}

/// The crates of this workspace that a manifest names, and whether only for tests.
fn own_dependencies(manifest: &str) -> Vec<(bool, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in manifest.lines() {
        let line = line.trim();
        if line.starts_with('[') {
            line.clone_into(&mut section);
            if let Some(name) = section
                .rsplit('.')
                .next()
                .filter(|_| section.contains("dependencies."))
            {
                found.push((
                    section.contains("dev-"),
                    name.trim_end_matches(']').to_owned(),
                ));
            }
        } else if section.contains("dependencies") {
            let name: String = line
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '-')
                .collect();
            found.push((section.contains("dev-"), name));
        }
    }
    found.retain(|(_, name)| name == "kidoku" || name.starts_with("kidoku-"));
    found
}

#[test]
fn the_edges_are_read_from_every_form_a_manifest_has() {
    let manifest = "[dependencies]\nkidoku-core.workspace = true\nserde = \"1\"\n\
                    [dev-dependencies]\nkidoku-sim = { path = \"x\" }\n\
                    [dependencies.kidoku-log]\npath = \"y\"\n";
    let found = own_dependencies(manifest);
    let named: Vec<(bool, &str)> = found
        .iter()
        .map(|(dev, name)| (*dev, name.as_str()))
        .collect();
    assert_eq!(
        named,
        [
            (false, "kidoku-core"),
            (true, "kidoku-sim"),
            (false, "kidoku-log")
        ]
    );
}

#[test]
fn the_lock_file_stays_under_its_ceiling() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock.lines().filter(|line| *line == "[[package]]").count();
    assert!(
        packages <= LOCKED_MAX,
        "{packages} locked packages, at most {LOCKED_MAX}"
    );
}
