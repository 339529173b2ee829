//! As much of DER, the encoding of keys and certificates (X.690), as it takes to look into them.

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OBJECT_ID: u8 = 0x06;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
/// A value whose meaning its number tells, here number 0.
pub(crate) const CONTEXT_0: u8 = 0xa0;

/// What is left to read of some DER.
pub(crate) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// All of it is still to be read.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// True when all is read.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The content of the next value, if it has this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let rest = self.0.strip_prefix(&[tag])?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            // A key or certificate has at most a few thousand bytes, so a length has one or two.
            let count = usize::from(first & 0x7f);
            if !(1..=2).contains(&count) || rest.len() < count {
                return None;
            }
            let (digits, after) = rest.split_at(count);
            length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some(content)
    }

    /// The next value as a whole number above 0, without the zero that keeps it positive.
    pub(crate) fn take_positive(&mut self) -> Option<&'a [u8]> {
        let content = self.take(INTEGER)?;
        let digits = content.strip_prefix(&[0]).unwrap_or(content);
        let negative = content.first().is_some_and(|byte| byte & 0x80 != 0);
        (!negative && digits.first().is_some_and(|byte| *byte != 0)).then_some(digits)
    }
}
