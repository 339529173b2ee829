//! Histories that have failed once, as files that are run for ever.
//!
//! A file names a seed and those of its events that the failure needs; the other lines, which begin
//! with `#`, say in words what they are and what went wrong. It means what it meant as long as
//! `world/plan.rs` draws as it did; whoever changes that draws those worlds anew from the words.

use crate::world::{Event, Failure, Plan};
use std::fmt::Write as _;

/// A history as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Decides everything but which events happen.
    pub seed: u64,
    /// The places of the events that happen, rising.
    pub events: Vec<usize>,
}

impl Kept {
    /// The history of these events out of a plan's.
    pub fn new(plan: &Plan, events: &[Event]) -> Self {
        let mut rest = events.iter();
        let mut next = rest.next();
        let mut places = Vec::new();
        for (place, event) in plan.events().iter().enumerate() {
            if Some(event) == next {
                places.push(place);
                next = rest.next();
            }
        }
        Self {
            seed: plan.seed,
            events: places,
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// The line that says nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut seed, mut events) = (None, Vec::new());
        let number = |word: &str| word.parse().map_err(|_| format!("no number: {word:?}"));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once(' ') {
                Some(("seed", word)) => seed = Some(number(word)?),
                Some(("event", word)) => {
                    let place = usize::try_from(number(word)?);
                    events.push(place.map_err(|_| format!("no place: {line:?}"))?);
                }
                Some(_) | None => return Err(format!("neither seed nor event: {line:?}")),
            }
        }
        let seed = seed.ok_or("it names no seed")?;
        Ok(Self { seed, events })
    }

    /// Plan and events.
    pub fn world(&self) -> (Plan, Vec<Event>) {
        let plan = Plan::new(self.seed);
        let mut events = plan.events();
        let mut place = 0;
        events.retain(|_| {
            place += 1;
            self.events.binary_search(&(place - 1)).is_ok()
        });
        (plan, events)
    }

    /// The file.
    pub fn text(&self, failure: &Failure) -> String {
        let (plan, events) = self.world();
        let mut text = String::new();
        // Writing to a string never fails.
        for line in failure.text.lines() {
            writeln!(text, "# {line}").unwrap_or_default();
        }
        writeln!(text, "# {plan:?}\nseed {}", self.seed).unwrap_or_default();
        for (place, event) in self.events.iter().zip(&events) {
            writeln!(text, "# {event:?}\nevent {place}").unwrap_or_default();
        }
        text
    }
}
