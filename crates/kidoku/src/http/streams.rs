//! How many live streams are open: by user, so that one user's devices can not take the places of
//! all others, and in all.

use super::refused::Refused;
use kidoku_core::error::Code;
use kidoku_core::id::UserKey;
use kidoku_core::limits::STREAMS_PER_USER_MAX;
use kidoku_proto::json::problem::Problem;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module. One for the process.
#[derive(Debug)]
pub(super) struct Streams {
    max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_user: BTreeMap<UserKey, usize>,
}

impl Streams {
    /// None open, at most `max`.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            open: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a stream of a user until the guard is dropped.
    ///
    /// # Errors
    /// 429 when the user or the server has as many as may be.
    pub(super) fn enter(self: &Arc<Self>, user: &UserKey) -> Result<StreamGuard, Refused> {
        let mut open = self.lock();
        if open.total >= self.max {
            let detail = format!("{} live streams are open, as many as may be", self.max);
            return Err(Problem::new(Code::Busy, detail).with_limit(self.max).into());
        }
        let own = open.by_user.get(user).copied().unwrap_or_default();
        if own >= STREAMS_PER_USER_MAX {
            let detail = format!("a user has at most {STREAMS_PER_USER_MAX} live streams open");
            let problem = Problem::new(Code::Limit, detail).with_status(429);
            return Err(problem.with_limit(STREAMS_PER_USER_MAX).into());
        }
        open.total += 1;
        open.by_user.insert(user.clone(), own + 1);
        Ok(StreamGuard {
            streams: Arc::clone(self),
            user: user.clone(),
        })
    }
}

/// An open stream.
#[derive(Debug)]
pub(super) struct StreamGuard {
    streams: Arc<Streams>,
    user: UserKey,
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        open.total -= 1;
        if let Some(own) = open.by_user.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                open.by_user.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kidoku_core::id::App;

    fn user(name: &str) -> UserKey {
        UserKey::new(&App::default_app(), name).unwrap()
    }

    fn refusal(result: Result<StreamGuard, Refused>) -> (u16, &'static str, Option<u64>) {
        let problem = result.unwrap_err().into_problem();
        (problem.status, problem.code, problem.limit)
    }

    #[test]
    fn a_user_has_16_streams_and_not_17_and_a_closed_one_makes_room() {
        let streams = Arc::new(Streams::new(100));
        let mut guards: Vec<_> = (0..STREAMS_PER_USER_MAX)
            .map(|_| streams.enter(&user("u")).unwrap())
            .collect();
        assert_eq!(refusal(streams.enter(&user("u"))), (429, "LIMIT", Some(16)));
        let other = streams.enter(&user("v")).unwrap();
        guards.pop();
        guards.push(streams.enter(&user("u")).unwrap());
        drop((guards, other));
        let open = streams.lock();
        assert_eq!((open.total, open.by_user.len()), (0, 0));
    }

    #[test]
    fn the_server_has_as_many_as_configured_and_not_one_more() {
        let streams = Arc::new(Streams::new(2));
        let guards = [
            streams.enter(&user("u")).unwrap(),
            streams.enter(&user("v")).unwrap(),
        ];
        assert_eq!(refusal(streams.enter(&user("w"))), (429, "BUSY", Some(2)));
        drop(guards);
        assert!(streams.enter(&user("w")).is_ok());
    }
}
