//! The changes of one user, ready to be sent; what a stream and a WebSocket have in common.

use super::device::Device;
use crate::auth::now;
use crate::config::IdMode;
use crate::engine::opaque::names_of_event;
use crate::engine::watch::{WatchStream, Watched};
use crate::http::refused::Refused;
use crate::http::streams::StreamGuard;
use kidoku_core::clock::Clock;
use kidoku_core::error::Error;
use kidoku_core::limits::PAGE_ENTRIES_MAX;
use kidoku_core::reply::{self, Reply};
use kidoku_core::request::{Page, Request};
use kidoku_proto::ids::IdSource;
use kidoku_proto::json::answer::{Badge, ChannelState, Ids, State, damaged_names};
use kidoku_proto::resp::reply::IdNames;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often something is sent while nothing changes, so that what is between notices a dead end.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// What a device is told: absolute numbers, never "+1".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(in crate::http::route) struct LiveState {
    /// Drop what is not above the `rev` before.
    pub(super) rev: String,
    /// True = `channels` holds every channel the user is in, and more do not exist for them.
    all: bool,
    /// The channels that changed. One that the user has left has `member` false.
    channels: Vec<ChannelState>,
    /// Only there when there are some: channels of which nothing can be told, because what is stored
    /// of them is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<Vec<String>>,
    /// The totals after the change; null = a channel is damaged, so there are none.
    badge: Option<Badge>,
}

/// Changes of a device's user, from the first event on.
pub(super) struct Feed {
    pub(super) device: Device,
    watch: WatchStream,
    /// What the device has already, until it was told what is new.
    since: Option<Clock>,
    /// The first event was made.
    begun: bool,
    _guard: StreamGuard,
}

impl Feed {
    pub(super) fn open(
        device: Device,
        since: Option<Clock>,
        guard: StreamGuard,
    ) -> Result<Self, Refused> {
        let watch = device.caller.engine.watch(device.user.clone())?;
        Ok(Self {
            device,
            watch,
            since,
            begun: false,
            _guard: guard,
        })
    }

    /// When the token ends.
    pub(super) fn ends(&self) -> Instant {
        let left = Duration::from_millis(self.device.expires.0.saturating_sub(now().0));
        let now = Instant::now();
        now.checked_add(left).unwrap_or(now)
    }

    /// True once the first event was made; it takes milliseconds unless something is wrong.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// The next change. May be given up at any time without losing any.
    pub(super) async fn wait(&mut self) -> Watched {
        self.watch.next().await
    }

    /// Makes the message of a change; `None` = it is not to be sent, the first one is yet to come.
    /// Must not be given up: what the event holds does not come again.
    pub(super) async fn show(
        &mut self,
        event: Arc<reply::Event>,
    ) -> Result<Option<LiveState>, Refused> {
        if !self.begun && !event.all {
            return Ok(None);
        }
        self.begun = true;
        match self.since.take() {
            Some(since) => self.changed_since(since).await.map(Some),
            None => self.as_it_is(&event).await.map(Some),
        }
    }

    async fn as_it_is(&self, event: &reply::Event) -> Result<LiveState, Refused> {
        let names = match self.device.caller.id_mode {
            IdMode::Opaque => Some(names_of_event(&self.device.caller.engine, event).await?),
            IdMode::Numeric | IdMode::Snowflake { .. } => None,
        };
        let names = names.as_ref();
        let ids = Ids {
            names: names.map(|names| -> &dyn IdNames { names }),
        };
        let state = State::new(event.rev, &event.channels, &event.damaged, None, &ids);
        let (all, badge) = (event.all, event.badge.as_ref().map(Badge::from));
        Ok(LiveState {
            rev: state.rev,
            all,
            channels: state.channels,
            damaged: state.damaged,
            badge,
        })
    }

    /// What a device that was away has missed. It is asked for when the watch is on already, so that
    /// nothing falls in between.
    async fn changed_since(&self, since: Clock) -> Result<LiveState, Refused> {
        let Device { caller, user, .. } = &self.device;
        let mut channels = Vec::new();
        let mut damaged = Vec::new();
        let mut first_rev = None;
        let mut after = None;
        loop {
            let page = Page {
                limit: PAGE_ENTRIES_MAX,
                after: after.clone(),
            };
            let request = |_: &mut dyn IdSource| {
                Ok(Request::State {
                    user: user.clone(),
                    since: Some(since),
                    page: page.clone(),
                })
            };
            let answer = caller.call(request).await?;
            let Reply::State {
                rev,
                channels: found,
                damaged: more,
                next,
            } = &answer.reply
            else {
                return Err(Refused::wrong_reply());
            };
            let state = State::new(*rev, found, &[], None, &answer.ids());
            first_rev.get_or_insert(state.rev);
            channels.extend(state.channels);
            damaged.extend(more.iter().cloned());
            after.clone_from(next);
            if after.is_none() {
                break;
            }
        }
        let request = Request::Badge {
            user: user.clone(),
            space: None,
        };
        let badge = match caller.engine.call(request).await {
            Ok(Reply::Badge(badge)) => Some(Badge::from(&*badge)),
            // The channels say which; the others are told all the same.
            Err(Error::Damaged(_)) => None,
            Ok(_other) => return Err(Refused::wrong_reply()),
            Err(error) => return Err(error.into()),
        };
        let rev = first_rev.unwrap_or_default();
        Ok(LiveState {
            rev,
            all: false,
            channels,
            damaged: damaged_names(&damaged),
            badge,
        })
    }
}
