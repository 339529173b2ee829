//! Who a device is, and what it may do for its user.

use super::{people, read};
use crate::auth::TokenRefused;
use crate::http::HttpState;
use crate::http::caller::{Caller, bearer, note_key};
use crate::http::input::{InPath, Json};
use crate::http::refused::Refused;
use crate::http::route::parts::clock;
use axum::Json as Answered;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use kidoku_core::clock::Millis;
use kidoku_core::error::Code;
use kidoku_core::id::UserKey;
use kidoku_core::reply::{self, Reply};
use kidoku_core::request::Request;
use kidoku_proto::json::answer::{Acked, ReadState};
use kidoku_proto::json::body;
use kidoku_proto::json::problem::Problem;

/// A device whose token was believed.
#[derive(Clone, Debug)]
pub(in crate::http::route) struct Device {
    pub(super) caller: Caller,
    /// The only user it speaks for.
    pub(super) user: UserKey,
    /// The end of its token.
    pub(super) expires: Millis,
}

impl FromRequestParts<HttpState> for Device {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Refused> {
        let presented = parts
            .headers
            .get(AUTHORIZATION)
            .ok_or_else(|| refused(None))?;
        let token = presented.to_str().ok().and_then(bearer).unwrap_or_default();
        let device = Self::of_token(state, token)?;
        note_key(parts);
        Ok(device)
    }
}

/// A device, or `None` if it says only later who it is.
pub(in crate::http::route) struct FirstFrame(pub(super) Option<Device>);

impl FromRequestParts<HttpState> for FirstFrame {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Refused> {
        if !parts.headers.contains_key(AUTHORIZATION) {
            return Ok(Self(None));
        }
        Device::from_request_parts(parts, state)
            .await
            .map(|device| Self(Some(device)))
    }
}

/// One wording whatever is wrong with a token, but for one that has expired: its device has to know
/// that a new one helps.
fn refused(why: Option<TokenRefused>) -> Refused {
    let detail = match why {
        Some(TokenRefused::Expired) => "the device's token has expired",
        Some(_) | None => "no valid token of a device was given",
    };
    Problem::new(Code::NoAuth, detail)
        .with_hint(
            "send the header `Authorization: Bearer TOKEN`; the app's backend or `kidoku token \
             issue` makes tokens, API keys do not work here",
        )
        .into()
}

impl Device {
    pub(super) fn of_token(state: &HttpState, token: &str) -> Result<Self, Refused> {
        let grant = state
            .keys
            .check_device(token)
            .map_err(|why| refused(Some(why)))?;
        let id_mode = state.config.app(&grant.app).ids;
        let caller = Caller {
            app: grant.app,
            id_mode,
            engine: state.engine.clone(),
        };
        Ok(Self {
            caller,
            user: grant.user,
            expires: grant.expires,
        })
    }

    fn user_in_path(&self) -> InPath<String> {
        InPath(self.user.name().to_owned())
    }

    /// The read state in a channel the user is in. What follows would make a member of somebody who
    /// is not one; that is for backends to decide, not for devices.
    async fn member(&self, channel: &str) -> Result<reply::ReadState, Refused> {
        let channel = self.caller.channel(channel)?;
        let request = Request::Count {
            user: self.user.clone(),
            channels: vec![channel.clone()],
        };
        let Reply::ReadStates(states) = self.caller.engine.call(request).await? else {
            return Err(Refused::wrong_reply());
        };
        let state = states.into_iter().next().ok_or_else(Refused::wrong_reply)?;
        if !state.member {
            let name = kidoku_proto::error::escape(channel.name().as_bytes());
            let detail = format!("the user is not a member of channel `{name}`");
            return Err(Problem::new(Code::NoPerm, detail).into());
        }
        Ok(state)
    }

    pub(super) async fn ack(&self, body: body::Ack) -> Result<Answered<Acked>, Refused> {
        let known = self.member(&body.channel).await?;
        if let Some(era) = &body.era
            && clock(era, "era")? > known.era
        {
            // It would end the era that the user's other devices know.
            let detail = "field `era`: newer than the one this server has given";
            return Err(Problem::new(Code::BadId, detail).into());
        }
        read::ack(self.caller.clone(), self.user_in_path(), Json(body)).await
    }

    pub(super) async fn unread(&self, body: body::Unread) -> Result<Answered<ReadState>, Refused> {
        self.member(&body.channel).await?;
        read::unread(self.caller.clone(), self.user_in_path(), Json(body)).await
    }

    pub(super) async fn mute(
        &self,
        channel: String,
        body: body::Mute,
    ) -> Result<StatusCode, Refused> {
        self.member(&channel).await?;
        let InPath(user) = self.user_in_path();
        people::mute(self.caller.clone(), InPath((user, channel)), Json(body)).await
    }
}
