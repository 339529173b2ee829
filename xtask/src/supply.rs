//! What the server is made of: the rules for it, and its bill of materials.

use crate::gates::{Outcome, last_line};
use crate::program::{self, command};
use crate::{root, setup};

/// Checks the rules of `deny.toml` and the bill of materials.
///
/// # Errors
/// What breaks a rule.
pub(crate) fn gate() -> Outcome {
    let script = root().join("tests/supply/gate.py");
    let python = setup::tools_python();
    last_line(
        "supply chain",
        command(&python.to_string_lossy(), &[&script.to_string_lossy()])
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    )
}

/// Writes the bill of materials to a file.
///
/// # Errors
/// What went wrong; Python and cargo have said more.
pub(crate) fn write_bill(file: &str) -> Result<(), String> {
    program::run(
        &format!("bill of materials: {file}"),
        command("python3", &["tests/supply/sbom.py", file]).env("PYTHONDONTWRITEBYTECODE", "1"),
    )
}
