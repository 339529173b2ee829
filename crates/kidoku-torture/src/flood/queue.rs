//! How long threads were ready to run and something else had the processor: what a machine that does
//! much else adds to every answer, and no fault of the server's.

use std::fs;
use std::time::Duration;

/// Threads of the server that a request goes through.
const THREADS: [&str; 2] = ["core-0", "log-writer"];

/// The threads whose waits are added up: those of a server of one core, and the one that asks.
#[derive(Debug)]
pub(super) struct Queue {
    files: Vec<String>,
}

impl Queue {
    /// Of the server of this process, as seen by this thread.
    pub(super) fn new(pid: u32) -> Self {
        let own = "/proc/thread-self/schedstat".to_owned();
        let threads = fs::read_dir(format!("/proc/{pid}/task"));
        let of_server = threads
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|thread| {
                let path = thread.path();
                let name = fs::read_to_string(path.join("comm")).ok()?;
                let is_on_the_way = THREADS.contains(&name.trim());
                is_on_the_way.then(|| path.join("schedstat").to_string_lossy().into_owned())
            });
        Self {
            files: of_server.chain([own]).collect(),
        }
    }

    /// How long they have waited since they began, together. A system that does not count it says 0,
    /// and then the measurement needs a quiet machine.
    pub(super) fn waited(&self) -> Duration {
        self.files.iter().map(|file| waited(file)).sum()
    }
}

/// The second number: nanoseconds in the queue of a processor.
fn waited(file: &str) -> Duration {
    let text = fs::read_to_string(file).unwrap_or_default();
    let nanos = text.split_whitespace().nth(1);
    Duration::from_nanos(nanos.and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_among_more_than_there_are_processors_has_waited() {
        let queue = Queue::new(std::process::id());
        let before = queue.waited();
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| (0..2_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n)));
            }
            for _ in 0..100 {
                std::thread::yield_now();
            }
        });
        assert!(queue.waited() > before, "{before:?}");
    }
}
