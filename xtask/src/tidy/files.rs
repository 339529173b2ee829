//! Names and words.

use super::{none, sources};
use std::path::Path;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 8] = [
    "util", "utils", "helper", "helpers", "misc", "common", "manager", "stuff",
];

/// What may not stand in a file: work left open, and words of the place where it was written. Each
/// in two halves, so that this list does not find itself.
const FORBIDDEN: [(&str, &str); 7] = [
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X"),
    ("sub", "agent"),
    (" /wo", "rk/"),
    (" /ro", "ot/"),
    (" CE", "O "),
];

#[test]
fn no_file_is_left_open_or_names_the_place_it_was_written_in() {
    let mut findings = Vec::new();
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            for (head, tail) in FORBIDDEN {
                let word = format!("{head}{tail}");
                if format!(" {line} ").contains(&word) {
                    findings.push(format!("{}:{}: {word}", source.path, number + 1));
                }
            }
        }
    }
    none(&findings, "forbidden words");
}

#[test]
fn names_say_what_is_inside() {
    let mut findings = Vec::new();
    for source in sources() {
        for part in Path::new(&source.path).components() {
            let part = part.as_os_str().to_string_lossy().into_owned();
            let stem = part.split('.').next().unwrap_or_default();
            if EMPTY_NAMES.contains(&stem) {
                findings.push(source.path.clone());
            }
        }
    }
    none(&findings, "names that say nothing");
}

#[test]
fn a_page_has_exactly_one_title() {
    let mut findings = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.path.ends_with(".md"))
    {
        let titles = titles(&source.text);
        if titles != 1 {
            findings.push(format!("{}: {titles} titles", source.path));
        }
    }
    none(&findings, "markdown titles");
}

/// Lines that start a page, outside of code.
fn titles(text: &str) -> usize {
    let mut in_code = false;
    let mut count = 0;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        count += usize::from(!in_code && line.starts_with("# "));
    }
    count
}

#[test]
fn a_comment_in_a_shell_example_is_not_a_title() {
    assert_eq!(titles("# one\n```sh\n# not one\n```\n## below\n"), 1);
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut findings = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.path.ends_with(".md"))
    {
        for target in links(&source.text) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") {
                continue;
            }
            let dir = crate::root().join(&source.path);
            if !dir.parent().unwrap_or(&dir).join(file).exists() {
                findings.push(format!("{}: {target}", source.path));
            }
        }
    }
    none(&findings, "links");
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(to, _)| to)
        .collect()
}
