//! Open files that connections leave to the log and the store: a server whose descriptors are all
//! taken by clients could not begin a new segment, and would refuse every write.

use std::fs;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

/// Descriptors that no connection takes; of a very low limit, a quarter.
pub(crate) const DESCRIPTORS_RESERVED: i32 = 256;

/// True when a connection just accepted has one of the last descriptors and has to be closed. The
/// system gives the lowest that is free, so its number says how many are taken.
pub(crate) fn is_one_too_many(socket: &impl AsRawFd) -> bool {
    static MAX: OnceLock<Option<i32>> = OnceLock::new();
    let max = MAX.get_or_init(|| {
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        most(&limits)
    });
    max.is_some_and(|max| is_reserved(socket.as_raw_fd(), max))
}

fn is_reserved(descriptor: i32, max: i32) -> bool {
    descriptor >= max - DESCRIPTORS_RESERVED.min(max / 4)
}

/// The limit in force, of `/proc/self/limits`; `None` = there is none, or it can not be read.
fn most(limits: &str) -> Option<i32> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_descriptors_are_reserved_and_the_one_before_them_is_not() {
        assert!(!is_reserved(19_743, 20_000));
        assert!(is_reserved(19_744, 20_000));
        assert!(!is_reserved(95, 128));
        assert!(is_reserved(96, 128));
    }

    #[test]
    fn the_limit_in_force_is_the_first_of_the_two() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max open files            1024                 524288               files\n";
        assert_eq!(most(text), Some(1_024));
        assert_eq!(
            most("Max open files            unlimited  unlimited  files"),
            None
        );
        assert_eq!(most(""), None);
    }
}
