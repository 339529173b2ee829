//! Work whose requests differ in a few numbers and are all answered by the same bytes.

use super::place::Place;
use crate::load::Work;
use crate::number::count_of;
use crate::peer::STATEMENTS;
use crate::wire::{Framing, RESP, Template, postgres};

/// The numbers of the n-th request.
pub(super) type Numbers = fn(u64) -> [u64; 3];

/// Requests made of numbers that a function counts out.
pub(super) struct Fixed {
    template: Template,
    answer: Vec<u8>,
    /// As right as the other.
    or: Vec<u8>,
    framing: Framing,
    greeting: Vec<(Vec<u8>, &'static [u8])>,
    numbers: Numbers,
    next: u64,
}

impl Fixed {
    /// One RESP command, with one reply.
    pub(super) fn resp(
        place: &Place,
        words: &[impl AsRef<str>],
        answer: &str,
        numbers: Numbers,
    ) -> Box<dyn Work> {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        Self::either(place, &words, [answer, answer], numbers)
    }

    /// The same with two answers that are both right.
    pub(super) fn either(
        place: &Place,
        words: &[&str],
        [answer, or]: [&str; 2],
        numbers: Numbers,
    ) -> Box<dyn Work> {
        Box::new(Self {
            template: Template::resp(words),
            answer: answer.as_bytes().to_vec(),
            or: or.as_bytes().to_vec(),
            framing: RESP,
            greeting: place.greeting(),
            numbers,
            next: 0,
        })
    }

    /// RESP commands that are one request, with as many replies.
    pub(super) fn pipeline(commands: &[&[&str]], answer: &str, numbers: Numbers) -> Box<dyn Work> {
        let templates = commands.iter().map(|words| Template::resp(words));
        Box::new(Self {
            template: Template::joined(templates),
            answer: answer.as_bytes().to_vec(),
            or: answer.as_bytes().to_vec(),
            framing: Framing::Resp {
                replies: count_of(commands.len()),
            },
            greeting: Vec::new(),
            numbers,
            next: 0,
        })
    }

    /// A prepared statement of PostgreSQL, each a transaction of its own.
    pub(super) fn postgres(
        statement: &str,
        parameters: &[&str],
        answer: Vec<u8>,
        numbers: Numbers,
    ) -> Box<dyn Work> {
        Box::new(Self {
            template: Template::postgres(statement, parameters),
            or: answer.clone(),
            answer,
            framing: Framing::Postgres,
            greeting: postgres::opening("postgres", "peers", STATEMENTS),
            numbers,
            next: 0,
        })
    }
}

impl Work for Fixed {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn greeting(&self) -> Vec<(Vec<u8>, &'static [u8])> {
        self.greeting.clone()
    }

    fn next(&mut self, out: &mut Vec<u8>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.template.write(&(self.numbers)(number), out);
        number
    }

    fn is_right(&mut self, _: u64, reply: &[u8]) -> bool {
        reply == self.answer || reply == self.or
    }
}
