//! `kidoku key create|list|revoke`: works on the data directory, whether a server runs or not.

use super::args::DataDir;
use super::error::{CmdError, USAGE};
use super::out;
use crate::auth::{self, KeyRecord, Lock, Table};
use kidoku_core::clock::Millis;
use kidoku_core::id::{App, parse_decimal};
use std::path::Path;

/// Make, list and revoke API keys
#[derive(Debug, clap::Subcommand)]
pub(super) enum Key {
    /// Make a key and print it, this once
    Create {
        /// The app it opens
        #[arg(long, default_value = "default")]
        app: String,
        /// May choose any app
        #[arg(long)]
        root: bool,
        /// Ends after this time: 90d, 12h, 4w [default: never]
        #[arg(long, value_name = "TIME", value_parser = parse_span)]
        expires: Option<Millis>,
        #[command(flatten)]
        dir: DataDir,
    },
    /// List all keys, revoked and expired ones too; no secrets
    List {
        #[command(flatten)]
        dir: DataDir,
    },
    /// Revoke a key; a running server refuses it within two seconds, on open connections too
    Revoke {
        /// The key's id, the 8 characters after kd_
        id: String,
        #[command(flatten)]
        dir: DataDir,
    },
}

impl Key {
    pub(super) fn run(&self) -> Result<(), CmdError> {
        match self {
            Self::Create {
                app,
                root,
                expires,
                dir,
            } => {
                let app = App::new(app).map_err(|error| CmdError::new(USAGE, error.to_string()))?;
                let text = create(&dir.resolve()?.data_dir, app, *root, *expires, auth::now())?;
                out::print(&format!("{text}\n"))?;
                out::complain("Keep it: it is shown only now, the server stores its hash.");
                Ok(())
            }
            Self::List { dir } => {
                out::print(&list(&Table::read(&dir.resolve()?.data_dir)?, auth::now()))
            }
            Self::Revoke { id, dir } => {
                revoke(&dir.resolve()?.data_dir, id, auth::now())?;
                out::print("revoked\n")
            }
        }
    }
}

pub(super) fn create(
    dir: &Path,
    app: App,
    root: bool,
    expires_in: Option<Millis>,
    now: Millis,
) -> Result<String, CmdError> {
    let lock = Lock::take(dir)?;
    let mut table = Table::read(dir)?;
    let expires = expires_in.map(|span| Millis(now.0.saturating_add(span.0)));
    let (record, text) = KeyRecord::new(app, root, now, expires)?;
    table.add(record);
    table.write(dir, &lock)?;
    Ok(text.as_str().to_owned())
}

pub(super) fn revoke(dir: &Path, id: &str, now: Millis) -> Result<(), CmdError> {
    // Whoever pastes the whole key means the key.
    let id = id.strip_prefix("kd_").unwrap_or(id);
    let id = id.split_once('_').map_or(id, |(id, _)| id);
    if !dir.is_dir() {
        return Err(CmdError::new(
            USAGE,
            format!("{} is not a data directory", dir.display()),
        ));
    }
    let lock = Lock::take(dir)?;
    let mut table = Table::read(dir)?;
    if table.find(id).is_none() {
        let text = format!(
            "there is no key '{id}' in {}, see `kidoku key list`",
            dir.display()
        );
        return Err(CmdError::new(USAGE, text));
    }
    if table.revoke(id, now) {
        table.write(dir, &lock)?;
    }
    Ok(())
}

pub(super) fn list(table: &Table, now: Millis) -> String {
    let mut text = String::new();
    let row = |id: &str, app: &str, kind: &str, made: &str, state: &str| {
        let line = format!("{id:<8}  {app:<16}  {kind:<4}  {made:<23}  {state}");
        format!("{}\n", line.trim_end())
    };
    text.push_str(&row("id", "app", "kind", "made", "state"));
    for key in table.records() {
        let kind = if key.root { "root" } else { "app" };
        let state = match (key.revoked, key.expires) {
            (Some(time), _) => format!("revoked {}", out::date(time)),
            (None, Some(time)) if time <= now => format!("expired {}", out::date(time)),
            (None, Some(time)) => format!("valid until {}", out::date(time)),
            (None, None) => "valid".to_owned(),
        };
        text.push_str(&row(
            &key.id,
            key.app.as_str(),
            kind,
            &out::date(key.created),
            &state,
        ));
    }
    text
}

/// Ten thousand years; longer is a slip, and the date would not be readable.
const SPAN_MS_MAX: u64 = 10_000 * 366 * 86_400_000;

/// Reads a span of time: a whole number and one of s, m, h, d, w.
pub(super) fn parse_span(text: &str) -> Result<Millis, String> {
    let units: [(char, u64); 5] = [
        ('s', 1_000),
        ('m', 60_000),
        ('h', 3_600_000),
        ('d', 86_400_000),
        ('w', 604_800_000),
    ];
    let read = units.iter().find_map(|(unit, factor)| {
        let number = parse_decimal(text.strip_suffix(*unit)?.as_bytes())?;
        number
            .checked_mul(*factor)
            .filter(|span| (1..=SPAN_MS_MAX).contains(span))
    });
    read.map(Millis)
        .ok_or_else(|| "expected a number and s, m, h, d or w, like 90d".to_owned())
}
