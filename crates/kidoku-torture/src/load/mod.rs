//! A load of every kind of write, with a book of what the server owes for it.
//!
//! The load is split into lanes. A lane has users and channels of its own, sends over one connection
//! and gets its replies in order, so what it is owed follows from its own operations alone. One
//! channel is shared by all lanes. After a crash [`check`](check::check) compares the book with what
//! a new server answers.

pub mod book;
pub mod check;
pub mod lane;

pub use book::{Book, Fate, Op};
pub use check::check;
pub use lane::{Lane, Port, Signals, drive};
