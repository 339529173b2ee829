//! Which threads go first where there are more of them than processors.

use rustix::process::setpriority_process;

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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::getpriority_process;

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
