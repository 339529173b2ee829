//! How long a start takes, by the torture that measures it.

use super::Size;
use crate::gates::last_line;
use crate::program::command;
use crate::root;

/// Read states of each line of the page.
const STATES: [&str; 2] = ["1000000", "10000000"];
const STATES_QUICK: [&str; 1] = ["100000"];

/// The page's section.
///
/// # Errors
/// A server that does not start, or answers wrong.
pub(super) fn section(size: Size) -> Result<String, String> {
    let states: &[&str] = match size {
        Size::Full => &STATES,
        Size::Quick => &STATES_QUICK,
    };
    let mut text = "\n## Restart\n\n`kidoku-torture restart`: users in ten channels each, joined \
                    over RESP; the server is killed right after the last, started and killed three \
                    times, stopped cleanly, and started and killed again. From the start of the \
                    process to the first right answers; the best of the starts. The aim is 1 s with \
                    a million and 10 s with a hundred million.\n\n"
        .to_owned();
    for states in states {
        let words = ["restart", "--states", states, "--seconds-max", "0"];
        let program = root().join("target/release/kidoku-torture");
        let mut command = command(&program.to_string_lossy(), &words);
        let line = last_line(&words.join(" "), &mut command)?;
        text.push_str(&format!("- {line}\n"));
    }
    Ok(text)
}
