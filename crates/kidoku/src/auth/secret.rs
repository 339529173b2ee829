//! The text of a key and the hash of its secret.

use super::KeysError;
use sha2::Digest as _;
use sha2::Sha256;
use std::fmt;

/// What every key begins with, so that scanners for leaked secrets know it.
const PREFIX: &str = "kd_";
/// Characters of a key's id: 40 random bits, enough that ids of one directory do not collide.
pub(crate) const ID_CHARS: usize = 8;
/// Random bytes of the secret.
const SECRET_BYTES: usize = 32;
/// Longest key text looked at; a real one has 64 characters.
const KEY_BYTES_MAX: usize = 128;
/// Base 32 without the letters that look like digits.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A key as its owner sees it, once. Its `Debug` shows the id only.
pub struct KeyText {
    text: String,
}

impl KeyText {
    /// Makes a new key: its id and its text.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn random() -> Result<(String, Self), KeysError> {
        let mut bytes = [0_u8; ID_CHARS + SECRET_BYTES];
        getrandom::fill(&mut bytes).map_err(|_| KeysError::NoRandomness)?;
        let (id, secret) = bytes.split_at(ID_CHARS);
        let mut id = base32(id);
        id.truncate(ID_CHARS);
        let text = format!("{PREFIX}{id}_{}", base32(secret));
        Ok((id, Self { text }))
    }

    /// The whole key.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The hash of the secret part.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(split(&self.text).map_or("", |(_, secret)| secret))
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = split(&self.text).map_or("", |(id, _)| id);
        write!(f, "{PREFIX}{id}_(hidden)")
    }
}

/// Id and secret of a presented key; `None` when it has not the form of one.
pub(crate) fn split(presented: &str) -> Option<(&str, &str)> {
    if presented.len() > KEY_BYTES_MAX {
        return None;
    }
    let (id, secret) = presented.strip_prefix(PREFIX)?.split_once('_')?;
    (id.len() == ID_CHARS && !secret.is_empty()).then_some((id, secret))
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let mut held = 0_u32;
    let mut held_bits = 0;
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        held_bits += 8;
        while held_bits >= 5 {
            held_bits -= 5;
            text.push(digit(held >> held_bits));
        }
        held &= (1 << held_bits) - 1;
    }
    if held_bits > 0 {
        text.push(digit(held << (5 - held_bits)));
    }
    text
}

fn digit(value: u32) -> char {
    let index = usize::try_from(value & 31).unwrap_or_default();
    char::from(ALPHABET[index])
}

/// The SHA-256 of a secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    pub(crate) fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text
            .chars()
            .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
            .collect::<Option<_>>()?;
        let (pairs, rest) = digits.as_chunks::<2>();
        let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
        if rest.is_empty() {
            bytes.try_into().ok().map(Self)
        } else {
            None
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| {
            [
                digits[usize::from(byte >> 4)],
                digits[usize::from(byte & 15)],
            ]
        })
        .map(char::from)
        .collect()
}
