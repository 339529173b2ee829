//! Running other programs: what is run, how long it took, and whether it worked.

use crate::root;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What cargo tells the program that it runs about that program. Build scripts look at some of it, so
/// that everything behind them would be built again by `cargo xtask`, and again by cargo itself after it.
const ABOUT_US: [&str; 5] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_PRIMARY_",
];

/// A command that runs in the root of the repository.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ABOUT_US.iter().any(|head| text.starts_with(head)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command to its end, saying what and how long.
///
/// # Errors
/// It could not start, or ended with another status than 0.
pub(crate) fn run(title: &str, command: &mut Command) -> Result<(), String> {
    println!("==> {title}");
    let begun = Instant::now();
    let status = command
        .status()
        .map_err(|e| format!("{title}: can not start: {e}"))?;
    println!("    {title}: {:.1} s", begun.elapsed().as_secs_f64());
    if status.success() {
        Ok(())
    } else {
        Err(format!("{title}: {status}"))
    }
}

/// Runs cargo, the one that runs us.
///
/// # Errors
/// As [`run`].
pub(crate) fn cargo(args: &[&str]) -> Result<(), String> {
    run(
        &format!("cargo {}", args.join(" ")),
        &mut command(&cargo_path(), args),
    )
}

/// The cargo that runs us, so that the pinned toolchain stays the same.
pub(crate) fn cargo_path() -> String {
    std::env::var_os("CARGO")
        .and_then(|path| path.into_string().ok())
        .unwrap_or_else(|| "cargo".to_owned())
}

/// Runs a command, shows its output line by line and hands each line to `on_line`.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_lines(
    title: &str,
    command: &mut Command,
    mut on_line: impl FnMut(&str),
) -> Result<(), String> {
    println!("==> {title}");
    let begun = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{title}: can not start: {e}"))?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            on_line(&line);
        }
    }
    let status = child.wait().map_err(|e| format!("{title}: {e}"))?;
    println!("    {title}: {:.1} s", begun.elapsed().as_secs_f64());
    if status.success() {
        Ok(())
    } else {
        Err(format!("{title}: {status}"))
    }
}

/// What a command prints, if it can be run and succeeds.
pub(crate) fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = command(program, args).stderr(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
