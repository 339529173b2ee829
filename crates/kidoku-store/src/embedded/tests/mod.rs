//! The embedded store alone.

mod groups;
mod reads;
mod reopen;
mod rot;
