//! RESP2 and RESP3: the request parser and reply writer of the server, the encoder of Kidoku's
//! replies, and a decoder of replies for the client side.

pub mod decode;
mod inline;
pub mod parse;
pub mod reply;
pub mod write;

/// Which version of RESP a connection speaks; `HELLO` changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// What every connection starts with: maps are flat arrays, booleans are integers.
    #[default]
    Resp2,
    /// With maps, nulls, booleans and push frames.
    Resp3,
}

impl Protocol {
    /// The number that `HELLO` takes and answers.
    pub fn number(self) -> u64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}
