//! Undoes the `Content-Encoding` of a stream in small steps, so that a few bytes which stand for
//! gigabytes cost time but never memory.

use super::refused::Refused;
use flate2::write::MultiGzDecoder;
use kidoku_core::error::Code;
use kidoku_proto::json::problem::Problem;
use std::io::{self, Write};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

/// Bytes of plain input, or of zstd output, of one step.
const STEP_BYTES: usize = 64 << 10;

/// Bytes of gzip input of one step. Deflate expands at most 1,032 times, so a step makes at most
/// about 1 MiB.
const GZIP_STEP_BYTES: usize = 1 << 10;

/// zstd frames may ask for a window of up to 2^this bytes, what RFC 8878 tells every reader to have.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// What the stream is packed with.
pub(super) enum Decoder {
    Plain,
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
}

pub(super) struct Gzip {
    decoder: MultiGzDecoder<Vec<u8>>,
    any: bool,
}

pub(super) struct Zstd {
    decoder: ZstdDecoder<'static>,
    out: Vec<u8>,
    /// The last step filled `out`, so there may be more without more input.
    is_full: bool,
    /// A frame has begun and not ended.
    is_open: bool,
}

impl Decoder {
    /// The decoder of a `Content-Encoding`.
    pub(super) fn new(encoding: &str) -> Result<Self, Refused> {
        match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Plain),
            "gzip" | "x-gzip" => {
                let decoder = MultiGzDecoder::new(Vec::new());
                Ok(Self::Gzip(Box::new(Gzip {
                    decoder,
                    any: false,
                })))
            }
            "zstd" => Ok(Self::Zstd(Box::new(
                Zstd::new().map_err(|error| no_zstd(&error))?,
            ))),
            other => {
                let other = kidoku_proto::error::escape(other.as_bytes());
                Err(
                    Problem::new(Code::Syntax, format!("`{other}` is not a known encoding"))
                        .with_status(415)
                        .with_hint("Content-Encoding may be gzip or zstd, or be left out")
                        .into(),
                )
            }
        }
    }

    /// Takes some bytes off `input` and hands what they stand for to `into`. Call it until `input`
    /// is empty and it returns false.
    ///
    /// # Errors
    /// When the input is damaged; nothing more can be read then.
    pub(super) fn step(
        &mut self,
        input: &mut &[u8],
        into: &mut impl FnMut(&[u8]),
    ) -> io::Result<bool> {
        match self {
            Self::Plain => {
                into(take(input, STEP_BYTES));
                Ok(false)
            }
            Self::Gzip(gzip) => {
                let part = take(input, GZIP_STEP_BYTES);
                gzip.any |= !part.is_empty();
                gzip.decoder.write_all(part)?;
                // What is decoded goes through a buffer inside that only a flush empties.
                gzip.decoder.flush()?;
                into(gzip.decoder.get_ref());
                gzip.decoder.get_mut().clear();
                Ok(false)
            }
            Self::Zstd(zstd) => zstd.step(input, into),
        }
    }

    /// Checks that the stream ended where its format ends.
    ///
    /// # Errors
    /// When it was cut off.
    pub(super) fn finish(&mut self, into: &mut impl FnMut(&[u8])) -> io::Result<()> {
        let cut_off = || io::Error::new(io::ErrorKind::UnexpectedEof, "it ends early");
        match self {
            Self::Plain => Ok(()),
            Self::Gzip(gzip) => {
                if gzip.any {
                    gzip.decoder.try_finish()?;
                    into(gzip.decoder.get_ref());
                    gzip.decoder.get_mut().clear();
                }
                Ok(())
            }
            Self::Zstd(zstd) if zstd.is_open => Err(cut_off()),
            Self::Zstd(_) => Ok(()),
        }
    }
}

impl Zstd {
    fn new() -> io::Result<Self> {
        let mut decoder = ZstdDecoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        Ok(Self {
            decoder,
            out: vec![0; STEP_BYTES],
            is_full: false,
            is_open: false,
        })
    }

    fn step(&mut self, input: &mut &[u8], into: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        if input.is_empty() && !self.is_full {
            return Ok(false);
        }
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(self.out.as_mut_slice());
        let hint = self.decoder.run(&mut from, &mut to)?;
        let (read, written) = (from.pos(), to.pos());
        *input = input.get(read..).unwrap_or_default();
        if read > 0 || written > 0 {
            // 0 = a frame has just ended and everything of it is out.
            self.is_open = hint != 0;
        }
        self.is_full = self.is_open && written == self.out.len();
        into(self.out.get(..written).unwrap_or_default());
        Ok(self.is_full)
    }
}

fn take<'a>(input: &mut &'a [u8], max: usize) -> &'a [u8] {
    let (part, rest) = input.split_at(input.len().min(max));
    *input = rest;
    part
}

fn no_zstd(error: &io::Error) -> Refused {
    Problem::new(Code::Internal, format!("zstd does not start: {error}")).into()
}
