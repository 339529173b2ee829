//! Conformance by others' tools: the server against programs that share no code with it. Each is a
//! Python driver under `tests/conformance` that starts a server of its own and tells its outcome in its
//! last line.

use crate::gates::{Outcome, Turn, gate_path, last_line};
use crate::program::command;
use crate::{root, setup};

/// What continuous integration runs with.
const SEED: u64 = 1;

/// Requests of each kind that schemathesis draws for a route in continuous integration.
const OPENAPI_EXAMPLES: u64 = 25;

/// The same in a long run, which ends by its time.
const OPENAPI_EXAMPLES_LONG: u64 = 1_000;

/// The OpenAPI document against the server, by schemathesis.
///
/// # Errors
/// Where they differ.
pub(crate) fn openapi() -> Outcome {
    drive("openapi", &[&text(SEED), &text(OPENAPI_EXAMPLES)])
}

/// The same with another seed and for longer.
///
/// # Errors
/// As [`openapi`].
pub(crate) fn openapi_turn(turn: &Turn) -> Outcome {
    let examples = text(OPENAPI_EXAMPLES_LONG);
    drive(
        "openapi",
        &[&text(turn.seed), &examples, &text(turn.seconds)],
    )
}

/// HTTP/2 in the clear by h2spec and by `h2` of `PyPI`.
///
/// # Errors
/// What did not hold.
pub(crate) fn http2() -> Outcome {
    drive("http2", &[&h2spec(), &text(SEED)])
}

/// The same with another seed and more rounds.
///
/// # Errors
/// As [`http2`].
pub(crate) fn http2_turn(turn: &Turn) -> Outcome {
    let rounds = turn.seconds * 50;
    drive("http2", &[&h2spec(), &text(turn.seed), &text(rounds)])
}

/// WebSockets by wsproto.
///
/// # Errors
/// What did not hold.
pub(crate) fn websocket() -> Outcome {
    drive("websocket", &[&text(SEED)])
}

/// The same with another seed and more rounds.
///
/// # Errors
/// As [`websocket`].
pub(crate) fn websocket_turn(turn: &Turn) -> Outcome {
    drive("websocket", &[&text(turn.seed), &text(turn.seconds * 200)])
}

/// TLS by sslyze and h2spec.
///
/// # Errors
/// What is weak.
pub(crate) fn tls() -> Outcome {
    drive("tls", &[&h2spec()])
}

fn h2spec() -> String {
    setup::tools().join("h2spec").to_string_lossy().into_owned()
}

fn text(number: u64) -> String {
    number.to_string()
}

/// Runs a driver on the server of the gate profile.
fn drive(name: &str, options: &[&str]) -> Outcome {
    let script = root().join(format!("tests/conformance/{name}.py"));
    let server = gate_path("kidoku");
    let mut words = vec![script.to_string_lossy(), server.to_string_lossy()];
    words.extend(options.iter().map(|word| (*word).into()));
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    last_line(
        &format!("conformance {name}"),
        command(&setup::tools_python().to_string_lossy(), &words)
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    )
}
