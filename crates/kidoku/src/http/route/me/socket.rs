//! A WebSocket: the same changes as a stream, and requests of the device on the way back.
//!
//! One request is answered before the next is read, and nothing is queued: a device that sends
//! faster than it is served is slowed down by its own socket.

use super::device::Device;
use super::feed::{Feed, KEEP_ALIVE, LiveState};
use crate::engine::watch::Watched;
use crate::http::HttpState;
use crate::http::refused::Refused;
use crate::http::streams::StreamGuard;
use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::response::Response;
use kidoku_core::clock::Clock;
use kidoku_core::error::Code;
use kidoku_core::limits::SOCKET_MESSAGE_BYTES_MAX;
use kidoku_proto::json::answer::{Acked, Changed, ReadState};
use kidoku_proto::json::problem::Problem;
use kidoku_proto::json::{IdText, body};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tungstenite::error::{Error as Broken, ProtocolError};

/// Bytes that wait to be parsed. There are many idle sockets, and what devices send is small.
const READ_BUFFER_BYTES: usize = 1 << 10;

/// How long a device may take to say who it is.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a message may wait for the device to take it.
const WRITE_STALL: Duration = Duration::from_secs(10);

/// A device that says nothing for this long, not even that it got our pings, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How long the device may take to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(1);

const GOING_AWAY: u16 = 1001;
const PROTOCOL: u16 = 1002;
const UNSUPPORTED: u16 = 1003;
const NOT_TEXT: u16 = 1007;
const TOO_BIG: u16 = 1009;
const POLICY: u16 = 1008;
const TRY_AGAIN: u16 = 1013;

/// The request to become a WebSocket.
pub(in crate::http::route) struct Upgrade(pub(super) WebSocketUpgrade);

impl FromRequestParts<HttpState> for Upgrade {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Refused> {
        match WebSocketUpgrade::from_request_parts(parts, state).await {
            Ok(upgrade) => Ok(Self(upgrade)),
            Err(rejection) => {
                let detail = format!("not a WebSocket: {}", rejection.body_text());
                let problem = Problem::new(Code::Syntax, detail);
                Err(problem.with_status(rejection.status().as_u16()).into())
            }
        }
    }
}

/// The answer after which the connection is a WebSocket.
pub(super) fn response(
    upgrade: WebSocketUpgrade,
    state: HttpState,
    known: Option<(Device, StreamGuard)>,
    since: Option<Clock>,
) -> Response {
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(SOCKET_MESSAGE_BYTES_MAX)
        .max_frame_size(SOCKET_MESSAGE_BYTES_MAX)
        .on_upgrade(move |socket| run(socket, state, known, since))
}

async fn run(
    mut socket: WebSocket,
    state: HttpState,
    known: Option<(Device, StreamGuard)>,
    since: Option<Clock>,
) {
    let opened = match known {
        Some((device, guard)) => Feed::open(device, since, guard).map_err(End::of),
        None => introduce(&mut socket, &state, since).await,
    };
    // What is served from here on needs no more than the feed.
    drop(state);
    let end = match opened {
        Ok(feed) => serve(&mut socket, feed).await,
        Err(end) => end,
    };
    match end {
        End::Gone => {}
        End::Left => farewell(&mut socket).await,
        End::Close { code, reason } => {
            let frame = CloseFrame {
                code,
                reason: reason.into(),
            };
            let sent = timeout(WRITE_STALL, socket.send(Message::Close(Some(frame)))).await;
            // Nobody is left to be told when it failed.
            if matches!(sent, Ok(Ok(()))) {
                farewell(&mut socket).await;
            }
        }
    }
}

/// Waits a moment for the other half of the closing: sends what is due as the answer to the device's
/// close frame, and reads the device's answer to ours. Hanging up at once would reset the connection
/// when more had come in, and a reset may overtake the frame that says why.
async fn farewell(socket: &mut WebSocket) {
    let rest = async { while let Some(Ok(_)) = socket.recv().await {} };
    // A device that goes on sending has had its time.
    drop(timeout(FAREWELL, rest).await);
}

/// How a socket ends.
enum End {
    /// The device has gone.
    Gone,
    /// The device says that it goes; the answer to that waits to be sent.
    Left,
    /// It is told why.
    Close { code: u16, reason: String },
}

impl End {
    fn close(code: u16, reason: &str) -> Self {
        Self::Close {
            code,
            reason: reason.to_owned(),
        }
    }

    /// What was received breaks the rules of WebSockets, or the connection is gone.
    fn broken(error: axum::Error) -> Self {
        let inner = error.into_inner();
        match inner.downcast_ref() {
            Some(Broken::Capacity(_)) => Self::close(TOO_BIG, "a message has at most 16 KiB"),
            Some(Broken::Utf8(_)) => Self::close(NOT_TEXT, "text that is not UTF-8"),
            Some(Broken::Protocol(
                ProtocolError::ResetWithoutClosingHandshake
                | ProtocolError::SendAfterClosing
                | ProtocolError::ReceivedAfterClosing,
            )) => Self::Gone,
            Some(Broken::Protocol(_)) => Self::close(PROTOCOL, "not a frame of RFC 6455"),
            Some(_) | None => Self::Gone,
        }
    }

    fn of(refused: Refused) -> Self {
        let problem = refused.into_problem();
        let code = if problem.code == Code::NoAuth.as_str() {
            POLICY
        } else {
            TRY_AGAIN
        };
        // A close frame has room for 123 bytes.
        let reason: String = problem
            .detail
            .chars()
            .filter(char::is_ascii)
            .take(120)
            .collect();
        Self::Close { code, reason }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Introduction {
    token: String,
}

/// Reads the first message, which says who the device is.
async fn introduce(
    socket: &mut WebSocket,
    state: &HttpState,
    since: Option<Clock>,
) -> Result<Feed, End> {
    let Ok(received) = timeout(TOKEN_TIMEOUT, first_text(socket)).await else {
        return Err(End::close(POLICY, "no token came in time"));
    };
    let text = received?;
    let introduction = serde_json::from_str::<Introduction>(&text)
        .map_err(|_| End::close(POLICY, "the first message is not {\"token\":\"...\"}"))?;
    let device = Device::of_token(state, &introduction.token).map_err(End::of)?;
    let guard = state.streams.enter(&device.user).map_err(End::of)?;
    Feed::open(device, since, guard).map_err(End::of)
}

async fn first_text(socket: &mut WebSocket) -> Result<String, End> {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_))) => return Err(End::close(UNSUPPORTED, "text only")),
            Some(Ok(Message::Close(_))) => return Err(End::Left),
            Some(Err(error)) => return Err(End::broken(error)),
            None => return Err(End::Gone),
        }
    }
}

/// What happened on a socket.
enum Turn {
    Expired,
    Quiet,
    Watched(Watched),
    Received(Option<Result<Message, axum::Error>>),
}

async fn serve(socket: &mut WebSocket, mut feed: Feed) -> End {
    let ends = feed.ends();
    let mut heard = Instant::now();
    loop {
        let turn = tokio::select! {
            biased;
            () = sleep_until(ends) => Turn::Expired,
            watched = feed.wait() => Turn::Watched(watched),
            received = socket.recv() => Turn::Received(received),
            () = sleep(KEEP_ALIVE) => Turn::Quiet,
        };
        if matches!(turn, Turn::Received(_)) {
            heard = Instant::now();
        }
        // In a box of its own, so that an idle socket does not hold the room that the work takes.
        let message = match Box::pin(answer(turn, &mut feed, heard.elapsed())).await {
            Ok(Some(message)) => message,
            Ok(None) => continue,
            Err(end) => return end,
        };
        match timeout(WRITE_STALL, socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return End::Gone,
        }
    }
}

/// What is sent because of something that happened.
async fn answer(turn: Turn, feed: &mut Feed, silence: Duration) -> Result<Option<Message>, End> {
    match turn {
        Turn::Expired => Err(End::close(POLICY, "the token has expired")),
        Turn::Quiet if silence > SILENCE_MAX || !feed.has_begun() => Err(End::Gone),
        Turn::Quiet => Ok(Some(Message::Ping(axum::body::Bytes::new()))),
        Turn::Watched(Watched::Event(event)) => {
            let state = feed.show(event).await.map_err(End::of)?;
            Ok(state.map(|state| text(&Outgoing::State(state))))
        }
        Turn::Watched(Watched::Stopping) => Err(End::close(GOING_AWAY, "the server stops")),
        Turn::Watched(Watched::Failed(error)) => Err(End::of(error.into())),
        Turn::Received(Some(Ok(Message::Text(request)))) => Ok(Some(text(
            &answer_request(&feed.device, request.as_str()).await,
        ))),
        Turn::Received(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => Ok(None),
        Turn::Received(Some(Ok(Message::Binary(_)))) => Err(End::close(UNSUPPORTED, "text only")),
        Turn::Received(Some(Ok(Message::Close(_)))) => Err(End::Left),
        Turn::Received(Some(Err(error))) => Err(End::broken(error)),
        Turn::Received(None) => Err(End::Gone),
    }
}

/// What the server sends.
#[derive(Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Outgoing {
    State(LiveState),
    #[serde(untagged)]
    Answer(Answer),
}

/// The answer to a request.
#[derive(Serialize)]
struct Answer {
    /// The request's number, if it had one.
    n: Option<u64>,
    ok: bool,
    #[serde(flatten)]
    done: Option<Done>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Done {
    Changed(Changed),
    State { state: ReadState },
}

/// What a device asks.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Incoming {
    Ack {
        #[serde(default, rename = "n")]
        _n: Option<u64>,
        channel: String,
        id: IdText,
        era: Option<String>,
        #[serde(default)]
        private: bool,
        #[serde(default)]
        count: bool,
    },
    Unread {
        #[serde(default, rename = "n")]
        _n: Option<u64>,
        channel: String,
        id: IdText,
    },
    Mute {
        #[serde(default, rename = "n")]
        _n: Option<u64>,
        channel: String,
        level: String,
        #[serde(default)]
        until: u64,
    },
}

/// The number of a request that may be wrong otherwise, so that its answer finds it.
#[derive(Default, Deserialize)]
struct Numbered {
    #[serde(default)]
    n: Option<u64>,
}

async fn answer_request(device: &Device, request: &str) -> Outgoing {
    let numbered: Numbered = serde_json::from_str(request).unwrap_or_default();
    let done = match serde_json::from_str(request) {
        Ok(incoming) => carry_out(device, incoming).await,
        Err(error) => Err(Refused::syntax(format!("the message: {error}"))),
    };
    let (ok, done, problem) = match done {
        Ok(done) => (true, done, None),
        Err(refused) => (false, None, Some(refused.into_problem())),
    };
    Outgoing::Answer(Answer {
        n: numbered.n,
        ok,
        done,
        problem,
    })
}

async fn carry_out(device: &Device, incoming: Incoming) -> Result<Option<Done>, Refused> {
    match incoming {
        Incoming::Ack {
            _n,
            channel,
            id,
            era,
            private,
            count,
        } => {
            let body = body::Ack {
                channel,
                id,
                era,
                private,
                count,
            };
            let axum::Json(acked) = device.ack(body).await?;
            Ok(Some(match acked {
                Acked::Changed(changed) => Done::Changed(changed),
                Acked::ReadState(state) => Done::State { state },
            }))
        }
        Incoming::Unread { _n, channel, id } => {
            let axum::Json(state) = device.unread(body::Unread { channel, id }).await?;
            Ok(Some(Done::State { state }))
        }
        Incoming::Mute {
            _n,
            channel,
            level,
            until,
        } => {
            device.mute(channel, body::Mute { level, until }).await?;
            Ok(None)
        }
    }
}

fn text(outgoing: &Outgoing) -> Message {
    // Plain structures: there is nothing in them that can not be written.
    Message::Text(serde_json::to_string(outgoing).unwrap_or_default().into())
}
