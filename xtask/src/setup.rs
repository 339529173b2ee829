//! Installs what the tests need on a fresh Debian or Ubuntu machine that has only Rust: programs
//! through apt, the Redis client libraries through the package managers of their languages.
//! What is there already is left alone, so a second run takes a second.

use crate::program::{self, command, output};
use crate::root;
use std::fs;
use std::path::{Path, PathBuf};

/// The oldest Node.js that the two JavaScript clients support.
const NODE_MAJOR_MIN: u32 = 20;

/// The Node.js put beside the clients when the system has an older one.
const NODE_PACKAGE: &str = "node@22.23.3";

/// The conformance suite of HTTP/2, by others; its go.mod has the version.
const H2SPEC: &str = "github.com/summerwind/h2spec/cmd/h2spec";

/// The version of cargo-fuzz.
const CARGO_FUZZ: &str = "0.13.2";

/// What the tests run, and the Debian package that brings it.
const PROGRAMS: [(&str, &[&str], &str); 11] = [
    ("redis-cli", &["--version"], "redis-tools"),
    ("redis-benchmark", &["--version"], "redis-tools"),
    ("redis-server", &["--version"], "redis-server"),
    ("python3", &["-c", "import ensurepip, venv"], "python3-venv"),
    ("npm", &["--version"], "npm"),
    ("strace", &["--version"], "strace"),
    ("go", &["version"], "golang-go"),
    ("mkfs.btrfs", &["--version"], "btrfs-progs"),
    ("mkfs.ext4", &["-V"], "e2fsprogs"),
    ("openssl", &["version"], "openssl"),
    ("curl", &["--version"], "curl"),
];

/// Installs what is missing.
///
/// # Errors
/// What could not be installed.
pub(crate) fn run() -> Result<(), String> {
    system_packages()?;
    python_client()?;
    node_clients()?;
    go_client()?;
    python_tools()?;
    go_tools()?;
    fuzzing()
}

/// The nightly toolchain and cargo-fuzz. A developer's machine may do without: the gate says so
/// there, and fails in continuous integration.
fn fuzzing() -> Result<(), String> {
    if output("rustup", &["run", "nightly", "rustc", "--version"]).is_none() {
        let words = ["toolchain", "install", "nightly", "--profile", "minimal"];
        if let Err(why) = program::run("rustup", &mut command("rustup", &words)) {
            println!("    no nightly toolchain, so no fuzzing: {why}");
            return Ok(());
        }
    }
    if output("cargo-fuzz", &["--version"]).is_none() {
        let words = ["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked"];
        program::run("cargo install cargo-fuzz", &mut command("cargo", &words))?;
    }
    Ok(())
}

fn system_packages() -> Result<(), String> {
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, args, _)| output(program, args).is_none())
        .map(|(_, _, package)| *package)
        .collect();
    if output("node", &["--version"]).is_none() {
        packages.push("nodejs");
    }
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    if output("apt-get", &["--version"]).is_none() {
        return Err(format!("please install: {}", packages.join(", ")));
    }
    apt(&["update"])?;
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend(packages);
    apt(&args)
}

fn apt(args: &[&str]) -> Result<(), String> {
    let title = format!("apt-get {}", args.join(" "));
    let mut words = vec![
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "--quiet",
    ];
    if output("id", &["-u"]).as_deref() != Some("0") {
        words.insert(0, "sudo");
    }
    words.extend(args);
    let (program, rest) = words.split_first().ok_or("no words")?;
    program::run(&title, &mut command(program, rest))
}

/// Where the client libraries are installed; outside of the cargo target directory's own names.
fn clients() -> PathBuf {
    root().join("target/clients")
}

/// True when `stamp` says that what is installed came from exactly this list.
fn is_fresh(stamp: &Path, list: &Path) -> bool {
    match (fs::read(stamp), fs::read(list)) {
        (Ok(old), Ok(new)) => old == new,
        _ => false,
    }
}

fn stamp(stamp: &Path, list: &Path) -> Result<(), String> {
    fs::copy(list, stamp)
        .map(drop)
        .map_err(|e| format!("{}: {e}", stamp.display()))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn make_dir(dir: &Path) -> Result<(), String> {
    fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))
}

fn python_client() -> Result<(), String> {
    let list = root().join("tests/clients/requirements.txt");
    python_packages(&clients().join("py"), &list)
}

/// Where the tools of others are installed that the gates run.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}

/// The Python of the gates' tools.
pub(crate) fn tools_python() -> PathBuf {
    tools().join("py/bin/python")
}

fn python_tools() -> Result<(), String> {
    let list = root().join("tests/conformance/requirements.txt");
    python_packages(&tools().join("py"), &list)
}

/// Builds each time, as [`go_client`] does.
fn go_tools() -> Result<(), String> {
    make_dir(&tools())?;
    let binary = text(&tools().join("h2spec"));
    let mut build = command("go", &["build", "-o", &binary, H2SPEC]);
    program::run(
        "go build h2spec",
        build.current_dir(root().join("tests/conformance/go")),
    )
}

/// A virtual environment with what a list names.
fn python_packages(dir: &Path, list: &Path) -> Result<(), String> {
    let mark = dir.join("installed");
    if is_fresh(&mark, list) {
        return Ok(());
    }
    make_dir(dir)?;
    program::run(
        "python3 -m venv",
        &mut command("python3", &["-m", "venv", "--clear", &text(dir)]),
    )?;
    program::run(
        &format!("pip install -r {}", list.display()),
        &mut command(
            &text(&dir.join("bin/pip")),
            &["install", "--quiet", "--requirement", &text(list)],
        ),
    )?;
    stamp(&mark, list)
}

fn node_clients() -> Result<(), String> {
    let dir = clients().join("node");
    let list = root().join("tests/clients/package.json");
    let mark = dir.join("installed");
    if is_fresh(&mark, &list) {
        return Ok(());
    }
    make_dir(&dir)?;
    stamp(&dir.join("package.json"), &list)?;
    let dir_text = text(&dir);
    let install = [
        "install",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        "--prefix",
        &dir_text,
    ];
    program::run("npm install ioredis redis", &mut command("npm", &install))?;
    if node_major() < NODE_MAJOR_MIN {
        let mut with_node = install.to_vec();
        with_node.extend(["--no-save", NODE_PACKAGE]);
        program::run("npm install node", &mut command("npm", &with_node))?;
    }
    stamp(&mark, &list)
}

fn node_major() -> u32 {
    output("node", &["--version"])
        .and_then(|version| {
            version
                .trim_start_matches('v')
                .split('.')
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

/// Builds each time: Go's own cache knows what is fresh.
fn go_client() -> Result<(), String> {
    make_dir(&clients())?;
    let binary = text(&clients().join("go-redis"));
    let mut build = command("go", &["build", "-o", &binary, "."]);
    program::run(
        "go build",
        build.current_dir(root().join("tests/clients/go")),
    )
}
