//! The memory that the bodies of all requests under way may take together.

use super::refused::Refused;
use kidoku_core::error::Code;
use kidoku_proto::json::problem::Problem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of bodies of which more is to come, over all cores.
pub(super) const BODY_BYTES_MAX: usize = 64 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    taken: AtomicUsize,
}

/// What one body takes; given back when dropped.
#[derive(Debug)]
pub(super) struct BodyRoom {
    bodies: Arc<Bodies>,
    bytes: usize,
}

impl Bodies {
    /// Room for a body of which nothing has come yet.
    pub(super) fn room(self: &Arc<Self>) -> BodyRoom {
        BodyRoom {
            bodies: Arc::clone(self),
            bytes: 0,
        }
    }
}

impl BodyRoom {
    /// Takes room for so many more bytes.
    ///
    /// # Errors
    /// Bodies take as much as they may.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Refused> {
        let before = self.bodies.taken.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes <= BODY_BYTES_MAX {
            return Ok(());
        }
        let detail = "the bodies being read take as much memory as they may";
        Err(Problem::new(Code::Busy, detail)
            .with_limit(BODY_BYTES_MAX)
            .into())
    }
}

impl Drop for BodyRoom {
    fn drop(&mut self) {
        self.bodies.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_taken_up_to_the_bound_and_one_byte_past_it_is_told_to_come_again() {
        let bodies = Arc::new(Bodies::default());
        let mut all = bodies.room();
        assert!(all.grow(BODY_BYTES_MAX).is_ok());
        let mut more = bodies.room();
        let problem = more.grow(1).unwrap_err().into_problem();
        assert_eq!((problem.status, problem.code), (429, "BUSY"));
        assert_eq!(problem.retry_after_s(), Some(1));
        drop(more);
        drop(all);
        assert!(bodies.room().grow(BODY_BYTES_MAX).is_ok());
        assert_eq!(bodies.taken.load(Ordering::Relaxed), 0);
    }
}
