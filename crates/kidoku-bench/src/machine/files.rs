//! How many files and connections a process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of this process as far as it may, for itself and all that it starts.
///
/// # Errors
/// `most` would still not fit.
pub(crate) fn raise_limit(most: u64) -> Result<(), String> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What was allowed before is still allowed when this fails.
    let _raised = setrlimit(Resource::Nofile, limit);
    match getrlimit(Resource::Nofile).current {
        Some(current) if current < most => Err(format!(
            "only {current} files may be open, and {most} are needed: raise it with `ulimit -n {most}`"
        )),
        Some(_) | None => Ok(()),
    }
}
