//! The embedded store alone.

mod reopen;
mod rot;
