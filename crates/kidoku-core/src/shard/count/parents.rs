//! Which channels show the numbers of threads, and so change with them.

use super::Counting;
use crate::id::ChannelKey;
use std::collections::BTreeSet;

impl Counting {
    /// The counted channels that show numbers of these. Of what can not be read it may not be known
    /// whose thread it is: then every channel says that its threads are not all counted.
    pub(super) fn parents_of<'a>(
        &'a self,
        channels: &BTreeSet<&'a ChannelKey>,
    ) -> Vec<&'a ChannelKey> {
        let mut parents = BTreeSet::new();
        let mut any = false;
        for subject in channels.iter().filter_map(|channel| self.subject(channel)) {
            let answered = subject.answer.as_ref();
            let parent = match &subject.damaged {
                Some(damaged) => {
                    any |= damaged.parent.is_none();
                    damaged.parent.as_ref().and_then(Option::as_ref)
                }
                None => answered.and_then(|answer| answer.parent.as_ref()),
            };
            parents.extend(parent.map(|parent| parent.as_str()));
        }
        let members = self.subjects.iter().filter(|subject| subject.member);
        let shown = members.map(|subject| &subject.channel);
        shown
            .filter(|channel| any || parents.contains(channel.name()))
            .collect()
    }
}
