//! Which channels show the numbers of threads, and so change with them.

use super::Counting;
use std::collections::BTreeSet;

impl Counting {
    /// Marks the counted channels that show numbers of the marked ones. Of what can not be read it may
    /// not be known whose thread it is: then every channel says that its threads are not all counted.
    pub(super) fn add_parents(&self, marks: &mut [bool]) {
        let mut parents = BTreeSet::new();
        let mut any = false;
        let marked = self.subjects.iter().zip(marks.iter());
        for subject in marked
            .filter(|(_, mark)| **mark)
            .map(|(subject, _)| subject)
        {
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
        if !any && parents.is_empty() {
            return;
        }
        for (subject, mark) in self.subjects.iter().zip(marks) {
            *mark |= subject.member && (any || parents.contains(subject.channel.name()));
        }
    }
}
