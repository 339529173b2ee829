//! Claims that name their proof: a page that says "test `x`" or "gate `y`" fails when there is none.

use super::{none, sources};
use crate::gates::GATES;
use std::collections::BTreeSet;

/// The pages whose claims are checked.
const PAGES: [&str; 2] = ["SECURITY.md", "docs/operating/durability.md"];

/// The names behind "test", "tests", "gate" or "gates": all that stand in backticks up to the end of
/// the cell or sentence.
fn named<'a>(text: &'a str, word: &str) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for rest in text.split(word).skip(1) {
        let rest = rest.strip_prefix('s').unwrap_or(rest);
        let Some(rest) = rest.strip_prefix(" `") else {
            continue;
        };
        // "tests `a`, `b` and `c`": names, and between them nothing but these.
        let mut parts = rest.split('`');
        while let Some(name) = parts.next() {
            names.insert(name);
            if !matches!(parts.next(), Some(", " | " and " | ", and ")) {
                break;
            }
        }
    }
    names
}

#[test]
fn every_test_and_gate_that_a_page_relies_on_exists() {
    let sources = sources();
    let code: Vec<&str> = sources
        .iter()
        .filter(|source| source.path.ends_with(".rs"))
        .map(|source| source.text.as_str())
        .collect();
    let mut findings = Vec::new();
    for page in sources.iter().filter(|s| PAGES.contains(&s.path.as_str())) {
        let flat = page.text.split_whitespace().collect::<Vec<_>>().join(" ");
        for test in named(&flat, "test") {
            let defined = format!("fn {test}(");
            if !code.iter().any(|text| text.contains(&defined)) {
                findings.push(format!("{}: no test {test}", page.path));
            }
        }
        for gate in named(&flat, "gate") {
            if GATES.iter().all(|known| known.name != gate) {
                findings.push(format!("{}: no gate {gate}", page.path));
            }
        }
    }
    none(&findings, "claims without a proof");
}

#[test]
fn names_are_found_wherever_a_page_names_them() {
    let text = "x (test `one`); tests `two`, `three` and `four`. gate `five` | `six`";
    let found: Vec<&str> = named(text, "test").into_iter().collect();
    assert_eq!(found, ["four", "one", "three", "two"]);
    assert_eq!(named(text, "gate"), BTreeSet::from(["five"]));
}
