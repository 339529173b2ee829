//! From a connection's requests to the router, and back.

use super::body::{Answered, Sent};
use super::deadlines::Deadlines;
use axum::Router;
use axum::http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// See the module.
pub(super) struct Routed {
    router: TowerToHyperService<Router>,
    deadlines: Arc<Deadlines>,
}

impl Routed {
    pub(super) fn new(router: Router, deadlines: Arc<Deadlines>) -> Self {
        Self {
            router: TowerToHyperService::new(router),
            deadlines,
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
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let underway = self.deadlines.enter();
        let stall = underway.times().body_stall;
        let mut request = request.map(|body| Sent::new(body, stall));
        request.extensions_mut().insert(underway.key_shown());
        let router = self.router.clone();
        Box::pin(async move {
            if request.version() == Version::HTTP_2 {
                // What is late is read by whoever wants it.
                drop(timeout(LOOK_AHEAD, request.body_mut().look_ahead()).await);
            }
            let answer = router.call(request).await?;
            underway.note_answer(answer.status() == StatusCode::UNAUTHORIZED);
            Ok(answer.map(|body| Answered::new(body, underway)))
        })
    }
}
