//! What goes over a connection: requests from templates, where a reply ends, and a client that waits
//! for its answers. Knows no server; must cost next to nothing for each request, as it runs beside what
//! is measured.

mod client;
pub(crate) mod postgres;
mod scan;
mod template;
mod value;

pub(crate) use client::Client;
pub(crate) use scan::{Framing, RESP, Scan};
pub(crate) use template::{Template, command, message};
pub(crate) use value::Value;
