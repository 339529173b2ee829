//! The primitives of the fact codec: varints and length-prefixed text.
//!
//! Numbers are LEB128, seven bits a byte, low bits first, in the one shortest form. A length is
//! never trusted: it is checked against what is left before anything is taken or allocated.

use super::codec::DecodeError;
use std::str;

/// Appends a number in 1 to 10 bytes.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The mask keeps seven bits, so the conversion never falls back.
        out.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap_or_default());
}

/// Appends a length and the text.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Takes values from the front of a byte string.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when none is left.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    /// Takes a number.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it is cut off; [`DecodeError::Number`] when it is over 64
    /// bits or not in its shortest form.
    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            // The tenth byte has room for the topmost bit only.
            if shift == 63 && low > 1 {
                return Err(DecodeError::Number);
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                let shortest = shift == 0 || low != 0;
                return if shortest {
                    Ok(value)
                } else {
                    Err(DecodeError::Number)
                };
            }
        }
        Err(DecodeError::Number)
    }

    /// Takes a length-prefixed text; its rules are checked by the caller.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it is cut off, [`DecodeError::Text`] when it is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
        let (text, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        str::from_utf8(text).map_err(|_| DecodeError::Text)
    }

    /// Takes how many entries follow, each of at least `entry_bytes_min` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when so many can't be in what is left, so that the count is safe
    /// to allocate for.
    pub fn count(&mut self, entry_bytes_min: usize) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.varint()?).map_err(|_| DecodeError::Truncated)?;
        if count > self.rest.len() / entry_bytes_min.max(1) {
            return Err(DecodeError::Truncated);
        }
        Ok(count)
    }

    /// Says that nothing may be left.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] when something is.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }
}
