//! `kidoku token issue|inspect`: tokens of devices, made and looked at with the keys that the
//! configuration names. No server is asked.

use super::args::DataDir;
use super::error::{CmdError, USAGE};
use super::key::parse_span;
use super::out;
use crate::auth::{self, DeviceGrant, DeviceKeys, TokenRefused};
use kidoku_core::clock::Millis;
use kidoku_core::id::{App, UserKey};
use kidoku_core::limits::DEVICE_TOKEN_BYTES_MAX;
use std::io::{self, Read};

/// What `inspect` ends with when the token is not valid.
const REFUSED: u8 = 1;

/// Make and inspect tokens of devices (/v1/me)
#[derive(Debug, clap::Subcommand)]
pub(super) enum Token {
    /// Make a token for one user, signed with the app's HS256 secret, and print it
    Issue {
        /// The app
        #[arg(long, default_value = "default")]
        app: String,
        /// The user for whom the device acts
        #[arg(long)]
        user: String,
        /// Ends after this time: 15m, 1h; at most 24h
        #[arg(long, value_name = "TIME", value_parser = parse_span, default_value = "1h")]
        expires: Millis,
        #[command(flatten)]
        dir: DataDir,
    },
    /// Show what is in a token and whether the server would take it
    Inspect {
        /// The token; others on this machine can see it [default: read from standard input]
        token: Option<String>,
        #[command(flatten)]
        dir: DataDir,
    },
}

impl Token {
    pub(super) fn run(&self) -> Result<(), CmdError> {
        match self {
            Self::Issue {
                app,
                user,
                expires,
                dir,
            } => {
                let keys = DeviceKeys::load(&dir.resolve()?)?;
                out::print(&format!(
                    "{}\n",
                    issue(&keys, app, user, *expires, auth::now())?
                ))
            }
            Self::Inspect { token, dir } => {
                let keys = DeviceKeys::load(&dir.resolve()?)?;
                let token = match token {
                    Some(token) => token.clone(),
                    None => read_token()?,
                };
                let token = token.trim();
                let checked = keys.check(token, auth::now());
                out::print(&told(token, &checked))?;
                checked.map(drop).map_err(|_| CmdError::silent(REFUSED))
            }
        }
    }
}

fn read_token() -> Result<String, CmdError> {
    // A little more than a token and its line end, so that one too long is seen to be so.
    let most = u64::try_from(DEVICE_TOKEN_BYTES_MAX)
        .unwrap_or(u64::MAX)
        .saturating_add(64);
    let mut text = String::new();
    let read = io::stdin().lock().take(most).read_to_string(&mut text);
    read.map_err(|error| CmdError::new(USAGE, format!("standard input: {error}")))?;
    Ok(text)
}

pub(super) fn issue(
    keys: &DeviceKeys,
    app: &str,
    user: &str,
    expires: Millis,
    now: Millis,
) -> Result<String, CmdError> {
    let usage = |text: String| CmdError::new(USAGE, text);
    let app = App::new(app).map_err(|error| usage(error.to_string()))?;
    let user = UserKey::new(&app, user).map_err(|error| usage(error.to_string()))?;
    let token = keys
        .issue(&user, expires.0 / 1_000, now)
        .map_err(|why| usage(why.to_string()))?;
    token.ok_or_else(|| {
        let app = app.as_str();
        usage(format!(
            "app '{app}' has no secret to sign with: set apps.{app}.jwt_hs256_secret_file, or for \
             app 'default' start the server once"
        ))
    })
}

pub(super) fn told(token: &str, checked: &Result<DeviceGrant, TokenRefused>) -> String {
    let mut text = String::new();
    if let Some((header, claims)) = auth::unverified(token) {
        text.push_str(&format!("header  {header}\nclaims  {claims}\n"));
    }
    text.push_str(&match checked {
        Ok(grant) => format!(
            "valid   user {} of app {} until {}\n",
            grant.user.name(),
            grant.app.as_str(),
            out::date(grant.expires)
        ),
        Err(why) => format!("refused {why}\n"),
    });
    text
}
