//! All facts of an app as a stream of events.

use crate::engine::Engine;
use crate::http::caller::Caller;
use crate::http::refused::Refused;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use http_body::Frame;
use kidoku_core::error::Error;
use kidoku_core::fact::{Fact, Partition};
use kidoku_core::id::App;
use kidoku_proto::event::write_fact;
use kidoku_store::{ScanPage, Skipped};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Bytes of lines that are made at a time; about half a millisecond of work.
const PIECE_BYTES: usize = 64 << 10;

/// Pieces that wait for a slow reader.
const PIECES_WAITING: usize = 2;

/// Export all facts
///
/// JSON Lines: every fact of the app, with clocks and eras. Given to `POST /v1/events` of any
/// server, in any order and any number of times, they make the same numbers there. An export that
/// fails on the way, or meets something damaged, is cut off without the end that chunked encoding
/// has: it would not be everything.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "events",
    operation_id = "getEvents",
    responses((status = 200, description = "One fact a line", body = String,
        content_type = "application/x-ndjson"))
)]
pub(super) async fn get(caller: Caller) -> Result<Response, Refused> {
    let (engine, app) = (caller.engine, caller.app);
    // The first page comes before the status, so that a store which can not be read is told as 500.
    let first = whole(engine.scan(app.clone(), None).await)?;
    let (sender, pieces) = mpsc::channel(PIECES_WAITING);
    tokio::spawn(async move { send_pages(&engine, &app, first, &sender).await });
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, Body::new(Pieces { pieces })).into_response())
}

/// Facts, and after which partition the next page begins.
type Page = (Vec<Fact>, Option<Partition>);

/// A page with nothing left out.
fn whole(page: Result<ScanPage, Error>) -> Result<Page, Error> {
    let page = page?;
    match page.skipped.into_iter().next() {
        None => Ok((page.facts, page.next)),
        Some(Skipped::Owner(damaged)) => Err(Error::Damaged(Box::new(damaged))),
        Some(Skipped::Stretch { .. }) => Err(Error::Storage),
    }
}

type Piece = Result<Bytes, Error>;

/// Returns early when nobody reads any more.
async fn send_pages(engine: &Engine, app: &App, first: Page, sender: &mpsc::Sender<Piece>) {
    let (mut facts, mut after) = first;
    loop {
        if !send_facts(&facts, sender).await || after.is_none() {
            return;
        }
        match whole(engine.scan(app.clone(), after).await) {
            Ok(page) => (facts, after) = page,
            Err(error) => {
                // Whether somebody still reads it does not matter any more.
                let _unread = sender.send(Err(error)).await.is_err();
                return;
            }
        }
    }
}

async fn send_facts(facts: &[Fact], sender: &mpsc::Sender<Piece>) -> bool {
    let mut lines = Vec::with_capacity(PIECE_BYTES);
    for fact in facts {
        write_fact(fact, &mut lines);
        if lines.len() >= PIECE_BYTES {
            let full = std::mem::replace(&mut lines, Vec::with_capacity(PIECE_BYTES));
            if sender.send(Ok(Bytes::from(full))).await.is_err() {
                return false;
            }
        }
    }
    lines.is_empty() || sender.send(Ok(Bytes::from(lines))).await.is_ok()
}

/// A body of the pieces that come through a channel.
struct Pieces {
    pieces: mpsc::Receiver<Piece>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.pieces
            .poll_recv(context)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
