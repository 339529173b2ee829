//! Work whose answers are long: each is read and compared with what it has to say the first time, and
//! byte by byte with that answer from then on, as nothing changes while it is measured.

use super::place::Place;
use crate::load::Work;
use crate::peer::STATEMENTS;
use crate::wire::{Framing, postgres};

/// Questions in turn, each with a reader of its answer.
pub(super) struct Told {
    requests: Vec<Vec<u8>>,
    /// The right answer to each, once it was seen.
    answers: Vec<Option<Vec<u8>>>,
    framing: Framing,
    greeting: Vec<(Vec<u8>, &'static [u8])>,
    is_right: fn(usize, &[u8]) -> bool,
    next: usize,
}

impl Told {
    /// `is_right` is given the number of the question and its answer.
    pub(super) fn resp(
        place: &Place,
        replies: u64,
        requests: Vec<Vec<u8>>,
        is_right: fn(usize, &[u8]) -> bool,
    ) -> Box<dyn Work> {
        Self::boxed(
            Framing::Resp { replies },
            place.greeting(),
            requests,
            is_right,
        )
    }

    /// The same for prepared statements.
    pub(super) fn postgres(
        requests: Vec<Vec<u8>>,
        is_right: fn(usize, &[u8]) -> bool,
    ) -> Box<dyn Work> {
        let greeting = postgres::opening("postgres", "peers", STATEMENTS);
        Self::boxed(Framing::Postgres, greeting, requests, is_right)
    }

    fn boxed(
        framing: Framing,
        greeting: Vec<(Vec<u8>, &'static [u8])>,
        requests: Vec<Vec<u8>>,
        is_right: fn(usize, &[u8]) -> bool,
    ) -> Box<dyn Work> {
        Box::new(Self {
            answers: vec![None; requests.len()],
            requests,
            framing,
            greeting,
            is_right,
            next: 0,
        })
    }
}

impl Work for Told {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn greeting(&self) -> Vec<(Vec<u8>, &'static [u8])> {
        self.greeting.clone()
    }

    fn next(&mut self, out: &mut Vec<u8>) -> u64 {
        let number = self.next;
        self.next = (number + 1) % self.requests.len().max(1);
        out.extend_from_slice(self.requests.get(number).map_or(&[], Vec::as_slice));
        crate::number::count_of(number)
    }

    fn is_right(&mut self, request: u64, reply: &[u8]) -> bool {
        let number = usize::try_from(request).unwrap_or(usize::MAX);
        let Some(answer) = self.answers.get_mut(number) else {
            return false;
        };
        if let Some(answer) = answer {
            return answer.as_slice() == reply;
        }
        let is_right = (self.is_right)(number, reply);
        if is_right {
            *answer = Some(reply.to_vec());
        }
        is_right
    }
}
