//! What goes over a connection: requests from templates, where a reply ends, and a client that waits
//! for its answers. Knows no server; must cost next to nothing for each request, as it runs beside what
//! is measured.

mod client;
mod scan;
mod template;

pub(crate) use client::{Client, Reply};
pub(crate) use scan::Scan;
pub(crate) use template::{Template, command};
