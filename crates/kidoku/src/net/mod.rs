//! What all ports have in common below their protocol: accepting connections, and the limits that
//! hold for somebody who has not yet said who they are.
//!
//! `accept` takes connections, `tls` comes to an understanding with their other end, `stream` is what
//! they are then, and `web` speaks HTTP/1.1 and HTTP/2 on them for the HTTP and the admin port. RESP has its own connection code beside its protocol. Nothing here knows a route, a
//! command or a key.

pub(crate) mod accept;
pub(crate) mod descriptors;
pub(crate) mod limits;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod web;
