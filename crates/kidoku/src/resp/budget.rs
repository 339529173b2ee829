//! How much of one connection is worked off before others get their turn.

use super::limits::{COMMANDS_PER_TURN, TURN_TIME};
use std::time::Instant;

/// Commands between two looks at the clock.
const COMMANDS_PER_LOOK: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Budget {
    commands: usize,
    until: Option<Instant>,
}

impl Budget {
    /// A turn that begins now.
    pub(super) fn new() -> Self {
        Self {
            commands: COMMANDS_PER_TURN,
            until: Instant::now().checked_add(TURN_TIME),
        }
    }

    /// One command was worked off.
    pub(super) fn spend(&mut self) {
        self.commands = self.commands.saturating_sub(1);
        if self.commands.is_multiple_of(COMMANDS_PER_LOOK)
            && self.until.is_some_and(|until| until <= Instant::now())
        {
            self.until = None;
        }
    }

    /// True when others come next.
    pub(super) fn is_spent(&self) -> bool {
        self.commands == 0 || self.until.is_none()
    }

    /// Commands worked off.
    pub(super) fn spent(&self) -> usize {
        COMMANDS_PER_TURN - self.commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_with_its_last_command() {
        let mut budget = Budget {
            commands: COMMANDS_PER_TURN,
            until: Instant::now().checked_add(std::time::Duration::from_secs(3_600)),
        };
        for _ in 1..COMMANDS_PER_TURN {
            budget.spend();
            assert!(!budget.is_spent());
        }
        budget.spend();
        assert!(budget.is_spent());
        assert_eq!(budget.spent(), COMMANDS_PER_TURN);
    }

    #[test]
    fn a_turn_of_long_commands_ends_with_its_time() {
        let mut budget = Budget {
            commands: COMMANDS_PER_TURN,
            until: Some(Instant::now()),
        };
        assert!(!budget.is_spent());
        for _ in 0..COMMANDS_PER_LOOK {
            budget.spend();
        }
        assert!(budget.is_spent());
    }
}
