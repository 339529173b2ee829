//! How much of one connection is worked off before others get their turn.

use super::limits::COMMANDS_PER_TURN;
use crate::engine::line::Turn;
use std::time::Instant;

/// Commands between two looks at the clock.
const COMMANDS_PER_LOOK: usize = 4;

/// What one poll of a connection may take in: nothing until it has a turn.
#[derive(Debug)]
pub(super) struct Budget {
    commands: usize,
    turn: Option<Turn>,
    is_over: bool,
}

impl Budget {
    /// Of one that has no turn yet, or was called.
    pub(super) fn new(turn: Option<Turn>) -> Self {
        Self {
            commands: COMMANDS_PER_TURN,
            turn,
            is_over: false,
        }
    }

    /// True when it has got its turn.
    pub(super) fn has_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// One command was worked off.
    pub(super) fn spend(&mut self) {
        self.commands = self.commands.saturating_sub(1);
        let until = self.turn.as_ref().and_then(Turn::until);
        if self.commands.is_multiple_of(COMMANDS_PER_LOOK)
            && until.is_some_and(|until| until <= Instant::now())
        {
            self.is_over = true;
        }
    }

    /// True when others come next.
    pub(super) fn is_spent(&self) -> bool {
        self.commands == 0 || self.is_over
    }

    /// Commands worked off.
    pub(super) fn spent(&self) -> usize {
        COMMANDS_PER_TURN - self.commands
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn until(after: Duration) -> Budget {
        Budget::new(Some(Turn::free(Instant::now() + after)))
    }

    #[test]
    fn a_turn_ends_with_its_last_command() {
        let mut budget = until(Duration::from_secs(3_600));
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
        let mut budget = until(Duration::ZERO);
        assert!(!budget.is_spent());
        for _ in 0..COMMANDS_PER_LOOK {
            budget.spend();
        }
        assert!(budget.is_spent());
    }
}
