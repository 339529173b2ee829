//! Servers measured in turns, and what may be said of the difference.

mod contest;
mod noise;
mod sample;

pub(crate) use contest::{Contest, Entry, Line, Load, hold, settle};
pub(crate) use noise::{Comparison, Spread};
pub(crate) use sample::{Point, Sample};
