//! What a count that begins leaves with the user, and what others under way have.

use super::{Counting, Pending, Shard};
use crate::fact::Cursor;
use crate::id::{ChannelKey, UserKey};

impl Shard {
    /// The cursor in another count of the user that is under way.
    pub(super) fn cursor_counted(&self, user: &UserKey, channel: &ChannelKey) -> Option<Cursor> {
        let mut counts = self.pending.values().filter_map(|pending| match pending {
            Pending::Count(counting) if counting.user == *user => Some(counting),
            _ => None,
        });
        let subject = counts.find_map(|counting| counting.subject(channel))?;
        Some(subject.cursor)
    }

    /// A mute that has ended by itself is a change of the user like any other from now on, so that
    /// the revision does not go back with it when wall time does.
    pub(super) fn note_ended_mutes(&mut self, counting: &mut Counting) {
        let ended = counting.subjects.iter();
        let ended = ended
            .filter_map(|subject| counting.unmuted_at(subject))
            .max();
        let ended = ended.unwrap_or_default();
        if ended > counting.user_changed
            && let Some(known) = self.users.get_mut(&counting.user)
        {
            known.changed = known.changed.max(ended);
            counting.user_changed = ended;
        }
    }
}
