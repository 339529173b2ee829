//! How long a file may be. A function's length is clippy's business.

use super::{none, sources};
use crate::root;
use std::collections::BTreeMap;
use std::fs;

/// Lines of code of a file: no blank ones, no comments, no tests.
const LINES_MAX: usize = 600;

/// Files that are longer, as `path lines`: the list may only shrink.
const EXCEPTIONS: &str = "xtask/tidy-exceptions.txt";

#[test]
fn files_fit_the_ceiling_and_the_exceptions_only_shrink() {
    let mut exceptions = exceptions();
    let mut findings = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.path.ends_with(".rs"))
    {
        if source.path.ends_with("tests.rs") || source.path.contains("/tests/") {
            continue;
        }
        let lines = code_lines(&source.text);
        match exceptions.remove(&source.path) {
            None if lines <= LINES_MAX => {}
            None => findings.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}",
                source.path
            )),
            Some(_) if lines <= LINES_MAX => {
                findings.push(format!(
                    "{}: fits now, take it off {EXCEPTIONS}",
                    source.path
                ));
            }
            Some(listed) if lines == listed => {}
            Some(listed) if lines < listed => {
                findings.push(format!(
                    "{}: shrank, write {lines} in {EXCEPTIONS}",
                    source.path
                ));
            }
            Some(listed) => {
                findings.push(format!("{}: grew to {lines} from {listed}", source.path))
            }
        }
    }
    findings.extend(
        exceptions
            .keys()
            .map(|path| format!("{path}: gone, take it off {EXCEPTIONS}")),
    );
    none(&findings, "file length");
}

fn exceptions() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(root().join(EXCEPTIONS)).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            let (path, lines) = line.rsplit_once(' ').expect("path, space, lines");
            (path.to_owned(), lines.parse().expect("a number of lines"))
        })
        .collect()
}

/// Lines that are code. A test module begins with `#[cfg(test)]` before `mod name {` and ends with
/// the brace at the same depth, as rustfmt leaves it.
fn code_lines(text: &str) -> usize {
    let mut count = 0;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        if code == "#[cfg(test)]"
            && lines
                .peek()
                .is_some_and(|l| l.trim_start().starts_with("mod "))
        {
            let depth = line.len() - code.len();
            let end = format!("{}}}", " ".repeat(depth));
            let opens = lines.next().is_some_and(|l| l.ends_with('{'));
            if opens {
                lines.by_ref().find(|l| *l == end);
            }
            continue;
        }
        count += usize::from(!code.is_empty() && !code.starts_with("//"));
    }
    count
}

#[test]
fn comments_blank_lines_and_tests_do_not_count() {
    let text = "//! Head.\n\nfn a() {\n    // Why.\n    b();\n}\n\n#[cfg(test)]\nmod tests {\n    \
                fn t() {\n    }\n}\nfn c() {}\n#[cfg(test)]\nmod other;\n";
    assert_eq!(code_lines(text), 4);
}
