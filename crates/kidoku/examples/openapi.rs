//! Writes the OpenAPI document to standard output, for `docs/reference/openapi.json`:
//! `cargo run -p kidoku --example openapi > docs/reference/openapi.json`.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    io::stdout().write_all(kidoku::http::openapi_json().as_bytes())
}
