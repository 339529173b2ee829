//! Disks that fail: what the server does meanwhile, and that it goes on by itself.
//!
//! In all of it reads and pushes go on, writes are answered with an error and never hang, nothing
//! acknowledged is lost, and when the cause is gone the server takes writes and moves them into the
//! store again within `RECOVERY_MAX`, without a restart.

mod disks;
mod subject;
mod sweep;

use crate::options::Options;
use crate::sandbox;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
struct Settings {
    seed: u64,
    /// The call that fails is the first, the second, up to this one.
    calls: u64,
    /// How often each kind of lasting fault is made.
    rounds: u64,
}

/// Runs it. Options: `--calls`, `--rounds`, `--seed`.
///
/// # Errors
/// What did not hold.
pub fn run(options: &mut Options) -> Result<String, String> {
    let settings = Settings {
        seed: options.take("seed", 1)?,
        calls: options.take("calls", 200)?,
        rounds: options.take("rounds", 1)?,
    };
    let of_seed = |why: String| format!("seed {}: {why}", settings.seed);
    if sandbox::is_inside() {
        return sandbox::run(|dir| disks::run(dir, &settings)).map_err(of_seed);
    }
    let swept = sweep::run(&settings).map_err(of_seed)?;
    let disks = sandbox::run(|dir| disks::run(dir, &settings))?;
    Ok(format!("seed {}, {swept}, {disks}", settings.seed))
}
