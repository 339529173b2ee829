//! Overload and hostile clients: what is asked of the server here is more than it can do, or
//! nothing it should ever have been asked.
//!
//! The server has one core of the machine and the load the other, so that what is compared, before
//! and during, differs in nothing but the load.

mod crowd;
mod good;
mod hostile;
mod http_busy;
mod load;
mod machine;
mod overload;
mod queue;
mod replies;
mod slow_disk;
mod times;
mod world;

use crate::options::Options;

/// Runs the parts and prints a table of what was measured.
///
/// # Errors
/// The first promise that was not kept.
pub fn run(options: &mut Options) -> Result<String, String> {
    let seconds: f64 = options.take("seconds", 3.0)?;
    let rounds: usize = options.take("rounds", 3)?;
    let connections: usize = options.take("connections", 5_000)?;
    let part: String = options.take("part", "all".to_owned())?;
    let _forward = machine::step_forward();
    machine::pin(std::process::id(), machine::LOAD_CORE)?;
    let wanted = |name: &str| part == "all" || part == name;
    // They take a minute and ask for next to nothing, so they go on beside what does not compare
    // throughput.
    let times = if wanted("times") {
        let servers = times::Servers::start()?;
        Some(std::thread::spawn(move || servers.run()))
    } else {
        None
    };
    let beside = run_beside(&wanted, seconds, connections);
    // Also when something has failed: its servers have to go.
    let times = times.map(std::thread::JoinHandle::join);
    let mut held = print(&beside?);
    if let Some(times) = times {
        held += print(&[times.map_err(|_| "the time limits panicked")??]);
    }
    if wanted("overload") {
        held += print(&overload::run(seconds, rounds)?);
    }
    if wanted("slow") {
        held += print(&overload::run_slow(seconds, rounds)?);
    }
    Ok(format!("{held} measurements held"))
}

/// Prints them at once, so that they are seen also when a later part fails. Answers how many there are.
#[expect(
    clippy::print_stdout,
    reason = "a developer command talks to the terminal"
)]
fn print(lines: &[String]) -> usize {
    lines.iter().for_each(|line| println!("    {line}"));
    lines.len()
}

fn run_beside(
    wanted: &dyn Fn(&str) -> bool,
    seconds: f64,
    connections: usize,
) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    if wanted("cost") {
        lines.extend(hostile::cost(connections)?);
    }
    if wanted("files") {
        lines.push(hostile::files()?);
    }
    if wanted("hostile") {
        lines.extend(hostile::run(seconds, connections)?);
    }
    if wanted("busy") {
        lines.push(http_busy::run()?);
    }
    Ok(lines)
}
