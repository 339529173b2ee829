//! From a connection's requests to the router, and back.

use super::body::{Answered, Sent};
use super::deadlines::Deadlines;
use axum::Router;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

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

impl Service<Request<Incoming>> for Routed {
    type Response = Response<Answered>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let underway = self.deadlines.enter();
        let stall = underway.times().body_stall;
        let answer = self.router.call(request.map(|body| Sent::new(body, stall)));
        Box::pin(async move {
            let answer = answer.await?;
            underway.note_key(answer.status() == StatusCode::UNAUTHORIZED);
            Ok(answer.map(|body| Answered::new(body, underway)))
        })
    }
}
