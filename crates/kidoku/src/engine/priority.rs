//! Which threads go first where there are more of them than processors.

use rustix::process::{getpriority_process, setpriority_process};
use std::{io, thread};

/// How far the log's thread goes ahead of all others, in the system's scale from -20 to 19.
const AHEAD: i32 = -10;

/// Lets the calling thread run as soon as it has something to do: for the log's thread, which does
/// little at a time and keeps everybody waiting who waits for an ack. Beside a core that is never
/// idle on the same processor it would else wait for the end of a slice of the scheduler, some
/// milliseconds, once to write and once more to tell that it is done.
///
/// It takes root, `CAP_SYS_NICE` or `LimitNICE=-10`. Without, all threads are equal.
pub(crate) fn go_ahead() {
    // No process: the calling thread, which for Linux is what a priority belongs to.
    let _as_any_other = setpriority_process(None, AHEAD).is_err();
}

/// How far what moves facts into the store goes behind all others: where there are more threads than
/// processors a thread gets a third of what another one gets. Less would let the overlays fill up, and then
/// nobody gets anything.
const BEHIND: i32 = 5;

/// The end of the system's scale.
const LAST: i32 = 19;

/// Lets all others go first, from here on: for threads that nobody waits for, but which have much to do
/// at a time. Needs no right, and can not be taken back without one.
pub(crate) fn go_behind() {
    let priority = getpriority_process(None).map(|own| (own + BEHIND).min(LAST));
    let _as_any_other = priority.and_then(|p| setpriority_process(None, p)).is_err();
}

/// Does something whose threads, those that it makes, go behind all others.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn behind<T: Send>(make: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("store-open".to_owned());
        let thread = thread.spawn_scoped(scope, || {
            go_behind();
            make()
        })?;
        thread
            .join()
            .map_err(|_| io::Error::other("the thread that makes the store panicked"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_behind_stays_there_and_its_maker_does_not() {
        let before = getpriority_process(None).unwrap();
        let of_another = behind(|| thread::spawn(|| getpriority_process(None).unwrap()));
        assert_eq!(
            of_another.unwrap().join().unwrap(),
            (before + BEHIND).min(LAST)
        );
        assert_eq!(getpriority_process(None).unwrap(), before);
    }

    #[test]
    fn only_the_calling_thread_goes_ahead_if_it_may() {
        let before = getpriority_process(None).unwrap();
        let after = std::thread::spawn(|| {
            go_ahead();
            getpriority_process(None).unwrap()
        });
        assert!([before, AHEAD].contains(&after.join().unwrap()));
        assert_eq!(getpriority_process(None).unwrap(), before);
    }
}
