//! JSON shapes of the HTTP API: bodies that come in, answers and problems that go out.
//!
//! Field names are those of the command reference. Message ids, eras and revisions are strings,
//! because many JSON readers round numbers above 2^53; a body may also give an id as a number. A
//! field that a body does not know is an error that names it. With the feature `openapi` every shape
//! describes itself for the OpenAPI document.

pub mod answer;
pub mod body;
mod id;
pub mod problem;
#[cfg(feature = "openapi")]
pub mod schema;

pub use id::IdText;

#[cfg(test)]
mod tests;
