//! Which processors servers and generator run on. Every server is given the same ones.

use std::fmt;

/// A set of processors by number; empty = wherever the system likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpus(Vec<usize>);

impl Cpus {
    /// Reads a list like `0-2,5`.
    ///
    /// # Errors
    /// What is no list of processors.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<usize>().ok();
            let (Some(first), Some(last)) = (number(first), number(last)) else {
                return Err(format!("{text:?} is no list of processors like 0-2,5"));
            };
            if last < first || last >= cpu_numbers_max() {
                return Err(format!("{part:?} is no range of processors"));
            }
            cpus.extend(first..=last);
        }
        cpus.sort_unstable();
        cpus.dedup();
        Ok(Self(cpus))
    }

    /// The processors that this process may use; empty where the system does not tell.
    pub(crate) fn allowed() -> Self {
        Self(system::allowed())
    }

    /// All but the last for servers, the last for the generator; nothing to share on a single one.
    pub(crate) fn split(self) -> (Self, Self) {
        let mut servers = self.0;
        if servers.len() < 2 {
            return (Self::default(), Self::default());
        }
        let last = servers.split_off(servers.len() - 1);
        (Self(servers), Self(last))
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("any processor");
        }
        let numbers: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        let word = if numbers.len() == 1 {
            "processor"
        } else {
            "processors"
        };
        write!(f, "{word} {}", numbers.join(","))
    }
}

/// This thread on some processors until it is dropped; what it starts meanwhile stays there.
#[derive(Debug)]
pub(crate) struct Placed {
    before: Vec<usize>,
}

impl Placed {
    /// Puts this thread there. Where the system can not, nothing happens: [`check`] has tried it.
    pub(crate) fn on(cpus: &Cpus) -> Self {
        if cpus.0.is_empty() {
            return Self { before: Vec::new() };
        }
        let before = system::allowed();
        if system::allow(&cpus.0).is_err() {
            return Self { before: Vec::new() };
        }
        Self { before }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if !self.before.is_empty() {
            // They were allowed before.
            drop(system::allow(&self.before));
        }
    }
}

/// Tries whether this process may run there.
///
/// # Errors
/// Why it may not.
pub(crate) fn check(cpus: &Cpus) -> Result<(), String> {
    if cpus.0.is_empty() {
        return Ok(());
    }
    let before = system::allowed();
    system::allow(&cpus.0).map_err(|why| format!("can not run on {cpus}: {why}"))?;
    system::allow(&before)
}

#[cfg(target_os = "linux")]
mod system {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub(super) fn allowed() -> Vec<usize> {
        let Ok(set) = sched_getaffinity(None) else {
            return Vec::new();
        };
        (0..CpuSet::MAX_CPU)
            .filter(|cpu| set.is_set(*cpu))
            .collect()
    }

    pub(super) fn allow(cpus: &[usize]) -> Result<(), String> {
        let mut set = CpuSet::new();
        for cpu in cpus {
            set.set(*cpu);
        }
        sched_setaffinity(None, &set).map_err(|error| error.to_string())
    }

    pub(super) const CPUS_MAX: usize = CpuSet::MAX_CPU;
}

#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) fn allowed() -> Vec<usize> {
        Vec::new()
    }

    pub(super) fn allow(_: &[usize]) -> Result<(), String> {
        Err("this system does not place threads".to_owned())
    }

    pub(super) const CPUS_MAX: usize = 1_024;
}

/// One more than the highest number a processor can have.
fn cpu_numbers_max() -> usize {
    system::CPUS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors_are_read_and_shown() {
        let shown = |text| Cpus::parse(text).map(|cpus| cpus.to_string());
        assert_eq!(shown("3"), Ok("processor 3".to_owned()));
        assert_eq!(shown("0-2,5,1"), Ok("processors 0,1,2,5".to_owned()));
        for wrong in ["", "a", "2-1", "1-", "99999"] {
            assert!(shown(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn servers_get_all_processors_but_the_last() {
        let (servers, client) = Cpus(vec![0, 1, 4]).split();
        assert_eq!((servers.0, client.0), (vec![0, 1], vec![4]));
        let (servers, client) = Cpus(vec![0]).split();
        assert_eq!((servers, client), (Cpus::default(), Cpus::default()));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_goes_back_where_it_was() {
        let before = Cpus::allowed();
        let last = Cpus(before.0.last().copied().into_iter().collect());
        let placed = Placed::on(&last);
        assert_eq!(Cpus::allowed(), last);
        drop(placed);
        assert_eq!(Cpus::allowed(), before);
    }
}
