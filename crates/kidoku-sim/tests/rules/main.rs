//! Every rule of the semantics by hand, on the model and on the shards at once: each number written
//! here is what both must answer.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

mod both;
mod rules_13_to_21;
mod rules_1_to_12;
