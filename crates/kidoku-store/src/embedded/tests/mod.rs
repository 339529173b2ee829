//! The embedded store alone.

mod reads;
mod reopen;
mod rot;
