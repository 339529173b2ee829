//! What the system says: of a process, of the machine, and where things run. Reads `/proc` and never
//! changes anything but the places of the bench's own threads and children.

mod about;
pub(crate) mod cpu;
mod disk;
mod files;
mod memory;
pub(crate) mod place;
mod pressure;

pub(crate) use about::About;
pub(crate) use cpu::Cpu;
pub(crate) use disk::{file_system, sync_time, written_bytes};
pub(crate) use files::raise_limit;
pub(crate) use memory::resident_bytes;
pub(crate) use pressure::{Pressure, load_average};

use std::fs;

/// A process and all that descend from it, by what the system lists now.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let parents = parents();
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        family.extend(children.map(|(child, _)| *child));
        next += 1;
    }
    family
}

/// Every process and its parent.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parent(&stat)?))
        })
        .collect()
}

/// The parent in a line of `/proc/PID/stat`.
fn parent(stat: &str) -> Option<u32> {
    fields(stat).get(1)?.parse().ok()
}

/// The fields of a line of `/proc/PID/stat` behind the name, which may hold spaces and brackets.
fn fields(stat: &str) -> Vec<&str> {
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    after.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_with_brackets_and_spaces_hides_no_field() {
        let stat = "7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 11 12 13 14";
        assert_eq!(parent(stat), Some(3));
        assert_eq!(fields(stat).get(11).copied(), Some("11"));
    }

    #[test]
    fn a_family_has_children_of_children() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & read line"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut found = Vec::new();
        for _ in 0..200 {
            found = family(std::process::id());
            if found.len() >= 3 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(found.contains(&shell.id()));
        let children: Vec<u32> = family(shell.id()).into_iter().skip(1).collect();
        assert_eq!(children.len(), 1);
        for child in children {
            let ended = Command::new("kill").arg(child.to_string()).status();
            assert!(ended.unwrap().success());
        }
        drop(shell.stdin.take());
        assert!(shell.wait().is_ok());
    }
}
