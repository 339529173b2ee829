//! Why a number is what it is: the parts of the user's side put beside those of the channel's.

use super::Counting;
use crate::clock::Millis;
use crate::fact::StateRow;
use crate::id::Position;
use crate::reply::{Explanation, LinePart};

impl Counting {
    pub(super) fn explanation(&self, stored: &StateRow) -> Explanation {
        let subject = self.asked().next();
        let state = subject
            .map(|subject| self.state_of(subject, &self.threads()))
            .unwrap_or_default();
        let answer = subject.and_then(|subject| subject.answer.as_ref());
        let membership = stored.membership.unwrap_or_default();
        let mut explanation = Explanation {
            state,
            line: Position::START,
            part: LinePart::Nothing,
            set_at: None,
            floor: Position::START,
            join: membership.from,
            trim: Position::START,
            unread_ids: Vec::new(),
            mention_ids: Vec::new(),
            own: 0,
            next: None,
        };
        let Some(explained) = answer.and_then(|answer| answer.explained.as_deref()) else {
            return explanation;
        };
        let known = |time: Millis| (time != Millis(0)).then_some(time);
        explanation.line = explained.line.position;
        explanation.part = explained.line.part;
        explanation.set_at = match explained.line.part {
            LinePart::Cursor => known(stored.cursor_at),
            LinePart::Join => known(membership.clock.millis()),
            LinePart::Nothing | LinePart::Trim | LinePart::SpaceFloor | LinePart::Floor => {
                explained.line.set_at
            }
        };
        explanation.floor = explained.floor;
        explanation.trim = explained.trim;
        explanation.unread_ids.clone_from(&explained.unread_ids);
        explanation.mention_ids.clone_from(&explained.mention_ids);
        explanation.own = explained.own;
        explanation.next = explained.next;
        explanation
    }
}
