//! How the message ids that a caller writes become numbers, by the app's setting.

use kidoku_core::clock::Millis;
use kidoku_core::error::Error;
use kidoku_core::id::{ChannelKey, MessageId, Name, NameKind};
use kidoku_core::limits::CLOCK_AHEAD_MAX_MS;
use kidoku_core::request::Request;
use std::collections::BTreeMap;

/// Turns the text of a message id into its number.
pub trait IdSource {
    /// The id of a message of `channel`.
    ///
    /// # Errors
    /// When the text breaks the rule of the app's ids.
    fn id(&mut self, channel: &ChannelKey, text: &[u8]) -> Result<MessageId, Error>;

    /// An id that is a bound over many channels (`KD.ACKALL UPTO`).
    ///
    /// # Errors
    /// As [`Self::id`]; always for ids that have an order only inside their channel.
    fn global(&mut self, text: &[u8]) -> Result<MessageId, Error>;
}

/// `ids = "numeric"`: decimal digits, 1 to 2^63-1.
#[derive(Clone, Copy, Debug, Default)]
pub struct NumericIds;

impl IdSource for NumericIds {
    fn id(&mut self, _channel: &ChannelKey, text: &[u8]) -> Result<MessageId, Error> {
        MessageId::parse(text)
    }

    fn global(&mut self, text: &[u8]) -> Result<MessageId, Error> {
        MessageId::parse(text)
    }
}

/// `ids = "snowflake"`: decimal as well, with milliseconds since an epoch above the low 22 bits. An
/// id more than [`CLOCK_AHEAD_MAX_MS`] ahead of the server's clock is refused, because an ack of it
/// would hide every message until then.
#[derive(Clone, Copy, Debug)]
pub struct SnowflakeIds {
    /// The epoch, in milliseconds since 1970-01-01 UTC.
    pub epoch_ms: u64,
    /// The server's clock.
    pub now: Millis,
}

const SNOWFLAKE_LOW_BITS: u32 = 22;

impl IdSource for SnowflakeIds {
    fn id(&mut self, _channel: &ChannelKey, text: &[u8]) -> Result<MessageId, Error> {
        self.global(text)
    }

    fn global(&mut self, text: &[u8]) -> Result<MessageId, Error> {
        let id = MessageId::parse(text)?;
        let time = Millis((id.get() >> SNOWFLAKE_LOW_BITS).saturating_add(self.epoch_ms));
        check_ahead("message id", time, self.now)?;
        Ok(id)
    }
}

/// Refuses a time that is more than [`CLOCK_AHEAD_MAX_MS`] ahead of `now`.
///
/// # Errors
/// [`Error::Ahead`] with `what` in it.
pub fn check_ahead(what: &'static str, time: Millis, now: Millis) -> Result<(), Error> {
    let by_ms = time.0.saturating_sub(now.0);
    if by_ms > CLOCK_AHEAD_MAX_MS {
        Err(Error::Ahead { what, by_ms })
    } else {
        Ok(())
    }
}

/// `ids = "opaque"`: any string of 1 to 128 bytes. Only the channel's owner knows their numbers, so
/// a command is parsed twice: the first time notes what is not known and stands 1 in for it, then
/// the caller sends [`Self::take_requests`], tells [`Self::learn`] the answers, and parses again.
#[derive(Clone, Debug, Default)]
pub struct OpaqueIds {
    known: BTreeMap<ChannelKey, BTreeMap<Name, MessageId>>,
    missing: BTreeMap<ChannelKey, Vec<Name>>,
}

impl OpaqueIds {
    /// True when the last parse knew every id, so that its result may be used.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// One [`Request::Resolve`] for each channel with ids not known, and forgets that they were
    /// missing.
    pub fn take_requests(&mut self) -> Vec<Request> {
        std::mem::take(&mut self.missing)
            .into_iter()
            .map(|(channel, texts)| Request::Resolve { channel, texts })
            .collect()
    }

    /// Notes the answer to a [`Request::Resolve`]: `ids` in the order of `texts`.
    pub fn learn(&mut self, channel: &ChannelKey, texts: &[Name], ids: &[MessageId]) {
        let known = self.known.entry(channel.clone()).or_default();
        known.extend(texts.iter().cloned().zip(ids.iter().copied()));
    }
}

impl IdSource for OpaqueIds {
    fn id(&mut self, channel: &ChannelKey, text: &[u8]) -> Result<MessageId, Error> {
        let text =
            std::str::from_utf8(text).map_err(|_| Error::NameControl(NameKind::MessageId))?;
        let text = Name::new(NameKind::MessageId, text)?;
        if let Some(id) = self.known.get(channel).and_then(|ids| ids.get(&text)) {
            return Ok(*id);
        }
        self.missing.entry(channel.clone()).or_default().push(text);
        MessageId::new(1)
    }

    fn global(&mut self, _text: &[u8]) -> Result<MessageId, Error> {
        Err(Error::BadMessageId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kidoku_core::id::App;
    use kidoku_core::limits::{MESSAGE_ID_MAX, OPAQUE_ID_BYTES_MAX};

    fn channel() -> ChannelKey {
        ChannelKey::new(&App::default_app(), "c").unwrap()
    }

    #[test]
    fn numeric_ids_are_decimal_from_1_to_2_to_the_63_minus_1() {
        let mut ids = NumericIds;
        for good in ["1", "42", "9223372036854775807"] {
            assert!(ids.id(&channel(), good.as_bytes()).is_ok(), "{good}");
            assert!(ids.global(good.as_bytes()).is_ok(), "{good}");
        }
        let bad = [
            "",
            "0",
            "-1",
            "+1",
            "1e3",
            " 1",
            "1.0",
            "0x1",
            "9223372036854775808",
        ];
        for bad in bad
            .into_iter()
            .chain(["18446744073709551616", "99999999999999999999999"])
        {
            assert_eq!(
                ids.id(&channel(), bad.as_bytes()),
                Err(Error::BadMessageId),
                "{bad}"
            );
        }
        assert_eq!(MESSAGE_ID_MAX, 9_223_372_036_854_775_807);
    }

    #[test]
    fn a_snowflake_may_be_60_seconds_ahead_and_not_one_millisecond_more() {
        let (epoch_ms, now) = (1_420_070_400_000, Millis(1_700_000_000_000));
        let mut ids = SnowflakeIds { epoch_ms, now };
        let at = |ms: u64| ((ms - epoch_ms) << SNOWFLAKE_LOW_BITS).to_string();
        assert!(
            ids.id(&channel(), at(now.0 + CLOCK_AHEAD_MAX_MS).as_bytes())
                .is_ok()
        );
        assert_eq!(
            ids.global(at(now.0 + CLOCK_AHEAD_MAX_MS + 1).as_bytes()),
            Err(Error::Ahead {
                what: "message id",
                by_ms: CLOCK_AHEAD_MAX_MS + 1
            })
        );
        assert_eq!(ids.global(b"0"), Err(Error::BadMessageId));
    }

    #[test]
    fn opaque_ids_are_asked_for_once_and_then_known() {
        let mut ids = OpaqueIds::default();
        assert!(ids.id(&channel(), b"$event:example.org").is_ok());
        assert!(!ids.is_complete());
        let texts = vec![Name::new(NameKind::MessageId, "$event:example.org").unwrap()];
        let asked = Request::Resolve {
            channel: channel(),
            texts: texts.clone(),
        };
        assert_eq!(ids.take_requests(), vec![asked]);
        ids.learn(&channel(), &texts, &[MessageId::new(7).unwrap()]);
        assert_eq!(ids.id(&channel(), b"$event:example.org").unwrap().get(), 7);
        assert!(ids.is_complete());
        assert_eq!(ids.global(b"$event:example.org"), Err(Error::BadMessageId));
    }

    #[test]
    fn an_opaque_id_has_1_to_128_bytes_without_control_characters() {
        let mut ids = OpaqueIds::default();
        assert!(ids.id(&channel(), &[b'x'; OPAQUE_ID_BYTES_MAX]).is_ok());
        let kind = NameKind::MessageId;
        let too_long = ids.id(&channel(), &[b'x'; OPAQUE_ID_BYTES_MAX + 1]);
        assert_eq!(too_long, Err(Error::NameTooLong(kind)));
        assert_eq!(ids.id(&channel(), b""), Err(Error::NameEmpty(kind)));
        assert_eq!(ids.id(&channel(), b"a\nb"), Err(Error::NameControl(kind)));
        assert_eq!(ids.id(&channel(), b"\xff"), Err(Error::NameControl(kind)));
    }
}
