//! Texts made from the table: the commented default file and the reference page.

use super::table::{APP_FIELDS, FIELDS, variable_of};
use std::fmt::Write;

/// The widest line of a comment in the default file.
const COMMENT_CHARS_MAX: usize = 96;

/// A TOML file with every setting at its default, explained. Reading it back gives the defaults.
pub fn default_toml() -> String {
    let mut text = String::from(
        "# Kidoku's settings, all at their defaults. Strongest first: flag, environment variable, \
         this file.\n",
    );
    let mut section = "";
    for field in FIELDS {
        if field.section() != section {
            section = field.section();
            text.push_str(&format!("\n[{section}]\n"));
        } else {
            text.push('\n');
        }
        comment(&mut text, field.doc);
        comment(
            &mut text,
            &format!(
                "Range: {}. Variable: {}",
                field.kind.range(),
                field.variable()
            ),
        );
        text.push_str(&format!("{} = {}\n", field.name(), field.default_toml()));
    }
    text.push_str("\n# Settings of one app go into a section of its own.\n# [apps.NAME]\n");
    for field in APP_FIELDS {
        text.push('\n');
        comment(&mut text, field.doc);
        comment(&mut text, &format!("Range: {}.", field.range));
        text.push_str(&format!("# {} = {}\n", field.name, field.example));
    }
    text
}

fn comment(text: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split_whitespace() {
        if line.len() + 1 + word.len() > COMMENT_CHARS_MAX {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// The reference page, in Markdown.
pub fn markdown() -> String {
    let mut text = String::from(INTRODUCTION);
    text.push_str("| key | default | range | unit | variable | flag | what it does |\n");
    text.push_str("|---|---|---|---|---|---|---|\n");
    for field in FIELDS {
        // Writing to a string can not fail.
        let _written = writeln!(
            text,
            "| `{}` | `{}` | {} | {} | `{}` | `--{}` | {} |",
            field.key,
            field.default_shown(),
            field.kind.range(),
            field.unit,
            field.variable(),
            field.flag(),
            field.doc,
        );
    }
    text.push_str(APPS_INTRODUCTION);
    text.push_str("| key | default | range | unit | variable | what it does |\n");
    text.push_str("|---|---|---|---|---|---|\n");
    for field in APP_FIELDS {
        let key = format!("apps.NAME.{}", field.name);
        let _written = writeln!(
            text,
            "| `{key}` | `{}` | {} | {} | `{}` | {} |",
            field.default,
            field.range,
            field.unit,
            variable_of(&key),
            field.doc,
        );
    }
    text
}

const INTRODUCTION: &str = "\
# Configuration

<!-- Made by `kidoku config doc`; do not edit by hand. -->

Each setting can be given in a TOML file (`--config FILE` or the variable `KIDOKU_CONFIG`), as an
environment variable, and as a flag of `kidoku serve`. A flag wins over a variable, a variable over
the file. A key that does not exist is an error that names the nearest one; `KIDOKU_SERVICE_*` and
`KIDOKU_PORT*`, which Kubernetes makes for a service of that name, are left alone.

`kidoku config default` prints a file with every default; `kidoku config check` says whether file
and environment are right. Sizes take the suffixes KiB, MiB, GiB and TiB. All settings are read once,
at start.

";

const APPS_INTRODUCTION: &str = "
## Apps

Settings of one app stand in a section of its own, `[apps.NAME]`. In a variable the name is in
capitals, so an app with a `-` in its name can only be set in the file.

";
