//! From a connection's requests to the router, and back.

use super::body::{Answered, Sent};
use super::deadlines::Deadlines;
use crate::engine::line::Seat;
use axum::Router;
use axum::http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::timeout;

/// See the module.
pub(super) struct Routed {
    router: TowerToHyperService<Router>,
    deadlines: Arc<Deadlines>,
    seat: Option<Rc<Seat>>,
}

impl Routed {
    pub(super) fn new(router: Router, deadlines: Arc<Deadlines>, seat: Option<Rc<Seat>>) -> Self {
        Self {
            router: TowerToHyperService::new(router),
            deadlines,
            seat,
        }
    }
}

/// How long the first piece of a body is waited for before the request is looked at. An answer that
/// is quicker than what belongs to its own request ends the stream, and what is wrong with that (a
/// length that does not fit, a trailer that may not be) could no longer be told.
const LOOK_AHEAD: Duration = Duration::from_millis(500);

impl Service<Request<Incoming>> for Routed {
    type Response = Response<Answered>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let underway = self.deadlines.enter();
        let stall = underway.times().body_stall;
        let mut request = request.map(|body| Sent::new(body, stall));
        request.extensions_mut().insert(underway.key_shown());
        let router = self.router.clone();
        let seat = self.seat.clone();
        Box::pin(async move {
            if request.version() == Version::HTTP_2 {
                // What is late is read by whoever wants it.
                drop(timeout(LOOK_AHEAD, request.body_mut().look_ahead()).await);
            }
            let turn = match &seat {
                Some(seat) => Some(seat.turn().await),
                None => None,
            };
            let mut call = pin!(router.call(request));
            // The turn is over as soon as the request waits for something.
            let begun = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await;
            drop(turn);
            let answer = match begun {
                Poll::Ready(done) => done?,
                Poll::Pending => call.await?,
            };
            underway.note_answer(answer.status() == StatusCode::UNAUTHORIZED);
            Ok(answer.map(|body| Answered::new(body, underway)))
        })
    }
}
