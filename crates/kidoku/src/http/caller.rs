//! Who asks, and in which app.

use super::HttpState;
use super::ids::AppIds;
use super::refused::Refused;
use crate::auth::{Grant, now};
use crate::config::IdMode;
use crate::engine::Engine;
use crate::engine::opaque::{OpaqueNames, names_of_reply};
use crate::net::web::KeyShown;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use kidoku_core::error::Code;
use kidoku_core::id::{App, ChannelKey, UserKey};
use kidoku_core::reply::Reply;
use kidoku_core::request::Request;
use kidoku_proto::ids::IdSource;
use kidoku_proto::json::answer::Ids;
use kidoku_proto::json::problem::Problem;
use kidoku_proto::resp::reply::{IdNames, channels_asked};

/// The header by which a root key chooses an app.
pub(super) use crate::auth::APP_HEADER;

/// A caller whose key was accepted.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) app: App,
    pub(super) id_mode: IdMode,
    pub(super) engine: Engine,
}

impl FromRequestParts<HttpState> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Refused> {
        let grant = grant(parts, state)?;
        note_key(parts);
        let id_mode = state.config.app(&grant.app).ids;
        Ok(Self {
            app: grant.app,
            id_mode,
            engine: state.engine.clone(),
        })
    }
}

/// Tells the connection that somebody known is at its other end.
pub(super) fn note_key(parts: &Parts) {
    if let Some(shown) = parts.extensions.get::<KeyShown>() {
        shown.note();
    }
}

/// 401 when there is no valid key, in one wording whatever is wrong with it; 403 when the key is
/// valid but not for the app that is asked for.
fn grant(parts: &Parts, state: &HttpState) -> Result<Grant, Refused> {
    let app = match parts.headers.get(APP_HEADER) {
        None => None,
        Some(app) => Some(app.to_str().map_err(|_| other_app())?),
    };
    let Some(presented) = parts.headers.get(AUTHORIZATION) else {
        let open = state.keys.open().ok_or_else(no_key)?;
        return match app {
            Some(app) if app != open.app.as_str() => Err(other_app()),
            Some(_) | None => Ok(open),
        };
    };
    let presented = presented.to_str().ok().and_then(bearer).unwrap_or_default();
    let own = state.keys.check(presented, None).ok_or_else(no_key)?;
    match app {
        Some(_) => state.keys.check(presented, app).ok_or_else(other_app),
        None => Ok(own),
    }
}

/// The key of `Bearer KEY`; the scheme's case does not matter.
pub(super) fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn no_key() -> Refused {
    Problem::new(Code::NoAuth, "no valid key was given")
        .with_hint("send the header `Authorization: Bearer KEY`; `kidoku key create` makes one")
        .into()
}

fn other_app() -> Refused {
    Problem::new(
        Code::NoPerm,
        "the key is not for the app that Kidoku-App names",
    )
    .with_hint("leave the header Kidoku-App out, or use the root key")
    .into()
}

/// A reply, with what is needed to write the ids in it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    names: Option<OpaqueNames>,
}

impl Answer {
    /// How the ids in it are written.
    pub(super) fn ids(&self) -> Ids<'_> {
        let names = self.names.as_ref();
        Ids {
            names: names.map(|names| -> &dyn IdNames { names }),
        }
    }
}

impl Caller {
    pub(super) fn user(&self, name: &str) -> Result<UserKey, Refused> {
        Ok(UserKey::new(&self.app, name)?)
    }

    pub(super) fn channel(&self, name: &str) -> Result<ChannelKey, Refused> {
        Ok(ChannelKey::new(&self.app, name)?)
    }

    /// Makes a request and runs it. `build` may be called twice: in an app of opaque ids the first
    /// call only finds out which ids are in it.
    pub(super) async fn call(
        &self,
        build: impl Fn(&mut dyn IdSource) -> Result<Request, Refused>,
    ) -> Result<Answer, Refused> {
        let mut ids = AppIds::new(self.id_mode, now());
        let mut request = build(&mut ids)?;
        if ids.resolve(&self.engine).await? {
            request = build(&mut ids)?;
        }
        let asked = channels_asked(&request);
        let reply = self.engine.call(request).await?;
        let names = match self.id_mode {
            IdMode::Opaque => Some(names_of_reply(&self.engine, &reply, &asked).await?),
            IdMode::Numeric | IdMode::Snowflake { .. } => None,
        };
        Ok(Answer { reply, names })
    }

    /// Like [`Self::call`] for what is answered with a number.
    pub(super) async fn call_number(
        &self,
        build: impl Fn(&mut dyn IdSource) -> Result<Request, Refused>,
    ) -> Result<u64, Refused> {
        match self.call(build).await?.reply {
            Reply::Number(number) => Ok(number),
            _other => Err(Refused::wrong_reply()),
        }
    }
}
