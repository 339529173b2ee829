//! Layout and style as tests: what a reviewer should not have to look for.

mod claims;
mod edges;
mod files;
mod length;

use crate::root;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of the repository, by its path from the root.
struct Source {
    path: String,
    text: String,
}

/// Folders that hold no source.
const SKIPPED: [&str; 6] = [
    "target",
    ".git",
    "node_modules",
    "kidoku-data",
    "__pycache__",
    ".venv",
];

/// Every text file whose name ends in one of these.
const TEXT: [&str; 12] = [
    ".rs", ".md", ".toml", ".json", ".jsonl", ".py", ".mjs", ".go", ".txt", ".yml", ".sh", "/run",
];

/// All text files of the repository, in order of path.
fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let name = path
                .strip_prefix(root())
                .unwrap_or(&path)
                .to_string_lossy()
                .into_owned();
            let is_text = TEXT.iter().any(|end| name.ends_with(end));
            is_text.then(|| Source {
                text: fs::read_to_string(&path).unwrap(),
                path: name,
            })
        })
        .collect()
}

fn walk(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(&path, paths);
        } else {
            paths.push(path);
        }
    }
}

/// Fails with all findings at once, one a line.
fn none(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}
