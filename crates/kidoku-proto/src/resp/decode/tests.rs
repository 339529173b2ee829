use super::*;
use crate::resp::Protocol;
use crate::resp::write::Writer;
use proptest::prelude::*;

fn whole(bytes: &[u8]) -> Result<Option<(Value, usize)>, DecodeError> {
    Decoder::default().decode(bytes)
}

fn check(bytes: &str, expected: &Value) {
    let (value, consumed) = whole(bytes.as_bytes()).unwrap().unwrap();
    assert_eq!((&value, consumed), (expected, bytes.len()), "{bytes:?}");
    for end in 0..bytes.len() {
        assert_eq!(
            whole(&bytes.as_bytes()[..end]),
            Ok(None),
            "{bytes:?} cut at {end}"
        );
    }
    let mut decoder = Decoder::default();
    for end in 0..bytes.len() {
        assert_eq!(decoder.decode(&bytes.as_bytes()[..end]), Ok(None));
    }
    assert_eq!(
        decoder.decode(bytes.as_bytes()),
        Ok(Some((value, consumed)))
    );
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

#[test]
fn every_kind_of_value_is_decoded_whole_or_not_at_all() {
    check("+OK\r\n", &Value::Status("OK".into()));
    check("-BUSY x\r\n", &Value::Error("BUSY x".into()));
    check("!6\r\nBUSY x\r\n", &Value::Error("BUSY x".into()));
    check(":-5\r\n", &Value::Integer(-5));
    check("$3\r\na\r\n\r\n", &bulk("a\r\n"));
    check("$0\r\n\r\n", &bulk(""));
    check("=6\r\ntxt:ab\r\n", &bulk("ab"));
    check("$-1\r\n", &Value::Null);
    check("*-1\r\n", &Value::Null);
    check("_\r\n", &Value::Null);
    check("#t\r\n", &Value::Boolean(true));
    check(",1.5\r\n", &Value::Double(1.5));
    check("(123\r\n", &Value::BigNumber("123".into()));
    check("*0\r\n", &Value::Array(vec![]));
    check(
        "*2\r\n:1\r\n*1\r\n_\r\n",
        &Value::Array(vec![Value::Integer(1), Value::Array(vec![Value::Null])]),
    );
    check("~1\r\n:1\r\n", &Value::Set(vec![Value::Integer(1)]));
    check(">1\r\n$1\r\na\r\n", &Value::Push(vec![bulk("a")]));
    check(
        "%1\r\n+a\r\n:1\r\n",
        &Value::Map(vec![(Value::Status("a".into()), Value::Integer(1))]),
    );
    check("|1\r\n+ttl\r\n:9\r\n:1\r\n", &Value::Integer(1));
}

#[test]
fn fields_are_found_in_maps_and_in_the_flat_arrays_of_resp2() {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, protocol);
        writer.map(2);
        writer.text("era");
        writer.decimal(12);
        writer.text("member");
        writer.boolean(true);
        let (value, _) = whole(&out).unwrap().unwrap();
        assert_eq!(value.field("era").unwrap().as_u64(), Some(12));
        assert_eq!(value.field("member").unwrap().as_u64(), Some(1));
        assert_eq!(value.field("none"), None);
    }
}

#[test]
fn what_is_no_reply_is_refused() {
    for (bytes, expected) in [
        ("x\r\n", DecodeError::Kind(b'x')),
        ("+OK\n", DecodeError::NoLineEnd),
        ("\n", DecodeError::NoLineEnd),
        ("$1\r\nabc", DecodeError::NoLineEnd),
        ("$-2\r\n", DecodeError::Number),
        ("$x\r\n", DecodeError::Number),
        (":x\r\n", DecodeError::Number),
        ("#x\r\n", DecodeError::Number),
        (",x\r\n", DecodeError::Number),
        ("*99999999999\r\n", DecodeError::TooLong),
        ("$67108865\r\n", DecodeError::TooLong),
    ] {
        assert_eq!(whole(bytes.as_bytes()), Err(expected), "{bytes:?}");
    }
    assert_eq!(whole(b"+\xff\r\n"), Err(DecodeError::NotUtf8));
}

#[test]
fn depth_and_line_length_are_allowed_at_their_limits_and_refused_past_them() {
    let nested = |depth: usize| format!("{}:1\r\n", "*1\r\n".repeat(depth));
    assert!(whole(nested(DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(
        whole(nested(DEPTH_MAX + 1).as_bytes()),
        Err(DecodeError::TooDeep)
    );
    assert_eq!(whole(nested(100_000).as_bytes()), Err(DecodeError::TooDeep));
    let line = |len: usize| format!("+{}\r\n", "a".repeat(len - 1));
    assert!(whole(line(LINE_BYTES_MAX).as_bytes()).unwrap().is_some());
    assert_eq!(
        whole(&[b'+'; LINE_BYTES_MAX + 3]),
        Err(DecodeError::TooLong)
    );
    let too_many = format!("*{VALUES_MAX}\r\n*1\r\n");
    assert_eq!(whole(too_many.as_bytes()), Err(DecodeError::TooLong));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(whole(&bytes).is_ok_and(|found| found.is_none_or(|(_, n)| n <= bytes.len()))
            || whole(&bytes).is_err());
    }

    #[test]
    fn random_headers_never_panic(text in "([*$%>|:+!=,_#-][0-9-]{0,3}\r\n){0,12}") {
        prop_assert!(whole(text.as_bytes()).is_ok() || whole(text.as_bytes()).is_err());
    }
}
