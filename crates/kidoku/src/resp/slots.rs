//! The answers that a connection owes, in the order of its requests.
//!
//! Every request opens a slot, answers fill slots in any order, and what stands ready at the front
//! goes out. A slot that waits for the disk holds back those behind it.

use crate::engine::gate::{Verdict, View};
use kidoku_core::error::Error;
use kidoku_core::reply::Reply;
use kidoku_proto::resp::Protocol;
use std::collections::VecDeque;

/// Sum of the weights of requests that a connection may have out. One request is let in whatever
/// its weight.
pub(crate) const WEIGHT_MAX: usize = 10_240;

/// Bytes of an answer that weigh as much as an entry.
const ENTRY_BYTES: usize = 100;

/// An answer that may leave.
#[derive(Debug)]
pub(crate) enum Ready {
    /// From a shard, for a request made while the connection spoke this protocol.
    Answer(Result<Reply, Error>, Protocol),
    /// Already in the form that goes out.
    Bytes(Vec<u8>),
}

#[derive(Debug)]
enum State {
    Waiting,
    Answered {
        result: Result<Reply, Error>,
        stamp: u64,
    },
    Written(Vec<u8>),
}

/// One answer owed.
#[derive(Debug)]
pub(crate) struct Slot {
    state: State,
    /// How many entries the answer may have.
    weight: usize,
    /// The request may change something.
    writes: bool,
    /// The request has had its effect.
    applied: bool,
    /// What the connection spoke when it asked.
    protocol: Protocol,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    queue: VecDeque<Slot>,
    /// The number of the front slot.
    first: u32,
    weight: usize,
    unapplied: usize,
}

impl Slots {
    /// Opens a slot for a request and answers its number.
    pub(crate) fn open(&mut self, weight: usize, writes: bool, protocol: Protocol) -> u32 {
        let length = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        self.weight += weight;
        self.unapplied += 1;
        let state = State::Waiting;
        self.queue.push_back(Slot {
            state,
            weight,
            writes,
            applied: false,
            protocol,
        });
        self.first.wrapping_add(length)
    }

    /// Adds an answer that is known already.
    pub(crate) fn push_written(&mut self, bytes: Vec<u8>) {
        let weight = 1 + bytes.len() / ENTRY_BYTES;
        let state = State::Written(bytes);
        self.weight += weight;
        let protocol = Protocol::Resp2;
        self.queue.push_back(Slot {
            state,
            weight,
            writes: false,
            applied: true,
            protocol,
        });
    }

    fn slot(&mut self, sequence: u32) -> Option<&mut Slot> {
        let at = usize::try_from(sequence.wrapping_sub(self.first)).ok()?;
        self.queue.get_mut(at)
    }

    /// Notes that a request has had its effect, before its answer comes.
    pub(crate) fn note_applied(&mut self, sequence: u32) {
        let Some(slot) = self.slot(sequence) else {
            return;
        };
        if !std::mem::replace(&mut slot.applied, true) {
            self.unapplied -= 1;
        }
    }

    /// Fills in an answer from a shard.
    pub(crate) fn answer(&mut self, sequence: u32, result: Result<Reply, Error>, stamp: u64) {
        let entries = result.as_ref().map_or(1, entries);
        self.fill(sequence, State::Answered { result, stamp });
        // What it might have been is known to be less; others may use the difference.
        let Some(slot) = self.slot(sequence) else {
            return;
        };
        let less = slot.weight.saturating_sub(entries);
        slot.weight -= less;
        self.weight -= less;
    }

    /// Fills in an answer in the form that goes out.
    pub(crate) fn write(&mut self, sequence: u32, bytes: Vec<u8>) {
        self.fill(sequence, State::Written(bytes));
    }

    fn fill(&mut self, sequence: u32, state: State) {
        self.note_applied(sequence);
        let Some(slot) = self.slot(sequence) else {
            return;
        };
        slot.state = state;
    }

    /// What stands at the front.
    pub(crate) fn outlook(&self, view: View) -> Outlook {
        match self.queue.front().map(|slot| (&slot.state, slot.writes)) {
            None | Some((State::Waiting, _)) => Outlook::Nothing,
            Some((State::Written(_), _)) => Outlook::Ready,
            Some((State::Answered { stamp, .. }, writes)) => match view.judge(*stamp, writes) {
                Verdict::Wait => Outlook::Held,
                Verdict::Go | Verdict::Refuse => Outlook::Ready,
            },
        }
    }

    /// Takes the front answer if it may leave. [`Front::Held`] = it waits for the disk.
    pub(crate) fn take_front(&mut self, view: View) -> Front {
        let Some(slot) = self.queue.front() else {
            return Front::Nothing;
        };
        let refused = match &slot.state {
            State::Waiting => return Front::Nothing,
            State::Written(_) => false,
            State::Answered { stamp, result } => match view.judge(*stamp, slot.writes) {
                Verdict::Wait => return Front::Held,
                Verdict::Go => false,
                Verdict::Refuse => result.is_ok(),
            },
        };
        let Some(slot) = self.queue.pop_front() else {
            return Front::Nothing;
        };
        self.first = self.first.wrapping_add(1);
        self.weight -= slot.weight;
        match slot.state {
            State::Waiting => Front::Nothing,
            State::Answered { .. } if refused => {
                Front::Ready(Ready::Answer(Err(Error::DiskFull), slot.protocol))
            }
            State::Answered { result, .. } => Front::Ready(Ready::Answer(result, slot.protocol)),
            State::Written(bytes) => Front::Ready(Ready::Bytes(bytes)),
        }
    }

    /// True when a request of this weight may be opened.
    pub(crate) fn has_room(&self, weight: usize) -> bool {
        self.queue.is_empty() || self.weight + weight <= WEIGHT_MAX
    }

    /// Answers owed, and the sum of their weights.
    pub(crate) fn owed(&self) -> (usize, usize) {
        (self.queue.len(), self.weight)
    }

    /// True when no answer is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// True when all requests have had their effect.
    pub(crate) fn all_applied(&self) -> bool {
        self.unapplied == 0
    }

    /// Takes the queue's memory away while nothing is owed.
    pub(crate) fn take_memory(&mut self) -> VecDeque<Slot> {
        debug_assert!(self.queue.is_empty());
        std::mem::take(&mut self.queue)
    }

    /// Gives memory for the queue, if it has none.
    pub(crate) fn give_memory(&mut self, memory: VecDeque<Slot>) {
        if self.queue.capacity() == 0 {
            self.queue = memory;
        }
    }

    /// True when the queue has memory.
    pub(crate) fn has_memory(&self) -> bool {
        self.queue.capacity() > 0
    }
}

/// How many entries an answer has; at least 1.
fn entries(reply: &Reply) -> usize {
    let entries = match reply {
        Reply::State { channels, .. } => channels.len(),
        Reply::ReadStates(states) => states.len(),
        Reply::Seen { users, .. } => users.as_ref().map_or(0, Vec::len),
        Reply::Explanation(explanation) => {
            explanation.unread_ids.len() + explanation.mention_ids.len()
        }
        Reply::Resolved(ids) => ids.len(),
        Reply::Names(names) => names.len(),
        Reply::Ok
        | Reply::Number(_)
        | Reply::ReadState(_)
        | Reply::Badge(_)
        | Reply::Settings { .. }
        | Reply::Erased { .. } => 0,
    };
    entries.max(1)
}

/// What stands at the front, where nobody takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// Nothing, or what has no answer yet.
    Nothing,
    /// An answer that waits for the disk.
    Held,
    /// An answer that may leave.
    Ready,
}

/// What stands at the front.
#[derive(Debug)]
pub(crate) enum Front {
    /// Nothing, or what has no answer yet.
    Nothing,
    /// An answer that waits for the disk.
    Held,
    /// An answer that may leave.
    Ready(Ready),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::gate::Gate;

    fn number(front: Front) -> Result<u64, Error> {
        match front {
            Front::Ready(Ready::Answer(Ok(Reply::Number(number)), _)) => Ok(number),
            Front::Ready(Ready::Answer(Err(error), _)) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_leave_in_the_order_of_requests_whatever_the_order_they_come_in() {
        let view = Gate::new(1, 10, true).view();
        let mut slots = Slots::default();
        let (first, second) = (
            slots.open(1, true, Protocol::Resp2),
            slots.open(1, true, Protocol::Resp2),
        );
        slots.answer(second, Ok(Reply::Number(2)), 1);
        assert!(matches!(slots.take_front(view), Front::Nothing));
        slots.answer(first, Ok(Reply::Number(1)), 1);
        assert_eq!(number(slots.take_front(view)), Ok(1));
        assert_eq!(number(slots.take_front(view)), Ok(2));
        assert!(slots.is_empty() && slots.all_applied());
    }

    #[test]
    fn an_answer_that_waits_for_the_disk_holds_back_those_behind_it() {
        let gate = Gate::new(1, 0, true);
        let mut slots = Slots::default();
        let first = slots.open(1, true, Protocol::Resp2);
        slots.answer(first, Ok(Reply::Number(1)), 5);
        slots.push_written(b"+PONG\r\n".to_vec());
        assert!(slots.all_applied());
        assert!(matches!(slots.take_front(gate.view()), Front::Held));
        assert_eq!(gate.publish(5).count(), 0);
        assert_eq!(number(slots.take_front(gate.view())), Ok(1));
        let front = slots.take_front(gate.view());
        assert!(matches!(front, Front::Ready(Ready::Bytes(bytes)) if bytes == b"+PONG\r\n"));
    }

    #[test]
    fn while_the_log_fails_a_write_is_answered_with_an_error_and_a_read_as_it_is() {
        let gate = Gate::new(1, 0, true);
        assert_eq!(gate.set_failing(true).count(), 0);
        let mut slots = Slots::default();
        let (write, read) = (
            slots.open(1, true, Protocol::Resp2),
            slots.open(1, false, Protocol::Resp2),
        );
        slots.answer(write, Ok(Reply::Number(1)), 5);
        slots.answer(read, Ok(Reply::Number(2)), 5);
        assert_eq!(number(slots.take_front(gate.view())), Err(Error::DiskFull));
        assert_eq!(number(slots.take_front(gate.view())), Ok(2));
    }

    #[test]
    fn weights_bound_what_is_out_but_one_request_always_fits() {
        let mut slots = Slots::default();
        assert!(slots.has_room(WEIGHT_MAX + 1));
        slots.open(WEIGHT_MAX - 1, false, Protocol::Resp2);
        assert!(slots.has_room(1));
        assert!(!slots.has_room(2));
    }

    #[test]
    fn an_answer_weighs_what_it_holds_and_not_what_it_might_have_held() {
        let view = Gate::new(1, 10, true).view();
        let mut slots = Slots::default();
        let first = slots.open(1_000, false, Protocol::Resp2);
        assert_eq!(slots.owed(), (1, 1_000));
        slots.answer(first, Ok(Reply::Names(vec![None; 3])), 1);
        assert_eq!(slots.owed(), (1, 3));
        assert!(matches!(slots.take_front(view), Front::Ready(_)));
        assert_eq!(slots.owed(), (0, 0));
        // An answer with more than was reckoned with does not make it weigh more.
        let second = slots.open(2, false, Protocol::Resp2);
        slots.answer(second, Ok(Reply::Names(vec![None; 3])), 1);
        assert_eq!(slots.owed(), (1, 2));
    }

    #[test]
    fn numbers_go_on_past_the_end_of_their_range() {
        let view = Gate::new(1, 10, true).view();
        let mut slots = Slots {
            first: u32::MAX,
            ..Slots::default()
        };
        let (first, second) = (
            slots.open(1, true, Protocol::Resp2),
            slots.open(1, true, Protocol::Resp2),
        );
        assert_eq!((first, second), (u32::MAX, 0));
        slots.answer(second, Ok(Reply::Number(2)), 1);
        slots.answer(first, Ok(Reply::Number(1)), 1);
        assert_eq!(number(slots.take_front(view)), Ok(1));
        assert_eq!(number(slots.take_front(view)), Ok(2));
    }
}
