use super::*;
use proptest::prelude::*;

/// Small limits, so that tests reach them.
const SMALL: Limits = Limits {
    args_max: 4,
    bulk_bytes_max: 8,
    inline_bytes_max: 20,
    request_bytes_max: 48,
    scope: "in tests",
};

/// A connection: gets bytes in pieces, notes what was parsed.
struct Connection {
    parser: Parser,
    limits: Limits,
    buffer: Vec<u8>,
    seen: Vec<String>,
    is_closed: bool,
}

impl Connection {
    fn new(limits: Limits) -> Self {
        let (parser, buffer, seen) = (Parser::new(), Vec::new(), Vec::new());
        Self {
            parser,
            limits,
            buffer,
            seen,
            is_closed: false,
        }
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while !self.is_closed {
            let consumed = match self.parser.parse(&self.buffer, &self.limits) {
                Ok(Parsed::Incomplete) => return,
                Ok(Parsed::Empty { consumed }) => consumed,
                Ok(Parsed::Command { args, consumed }) => {
                    let words: Vec<_> = args
                        .iter_from(0)
                        .map(|arg| arg.escape_ascii().to_string())
                        .collect();
                    self.seen.push(words.join("|"));
                    consumed
                }
                Err(error) => {
                    self.is_closed = error.consumed.is_none();
                    let end = if self.is_closed { ", close" } else { "" };
                    self.seen.push(format!("-{}{end}", error.error()));
                    error.consumed.unwrap_or_default()
                }
            };
            self.buffer.drain(..consumed);
        }
    }
}

fn transcript(limits: Limits, bytes: &[u8]) -> Vec<String> {
    let mut connection = Connection::new(limits);
    connection.receive(bytes);
    connection.seen
}

fn check(bytes: &str, expected: &[&str]) {
    assert_eq!(transcript(SMALL, bytes.as_bytes()), expected, "{bytes:?}");
}

/// A command as clients send it.
fn array<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = Vec::new();
    crate::resp::decode::encode_command(&mut out, args);
    out
}

#[test]
fn arrays_lines_and_pipelines_become_commands() {
    check("*1\r\n$4\r\nPING\r\n", &["PING"]);
    check("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", &["ECHO|"]);
    check("*2\r\n$4\r\nECHO\r\n$4\r\na\r\nb\r\n", &[r"ECHO|a\r\nb"]);
    check("PING\r\n", &["PING"]);
    check("PING\nPING\r\n", &["PING", "PING"]);
    check(
        "echo \"a b\"\r\n*1\r\n$4\r\nPING\r\nquit\r\n",
        &["echo|a b", "PING", "quit"],
    );
    check("*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI", &["PING"]);
}

#[test]
fn empty_requests_are_passed_over() {
    check("", &[]);
    check("\r\n\n  \r\n*0\r\nPING\r\n", &["PING"]);
}

#[test]
fn malformed_requests_are_named_and_close() {
    let error = |text: &str| format!("-SYNTAX protocol error: {text}, close");
    for (bytes, text) in [
        (
            "*1\r\n*1\r\n",
            "an array inside an array, a request has bulk strings only",
        ),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n\r\n", "expected '$', got '\\r'"),
        ("*-1\r\n", "a length is negative"),
        ("*1\r\n$-1\r\n", "a length is negative"),
        ("*\r\n", "a length is not a decimal number"),
        ("*+1\r\n", "a length is not a decimal number"),
        ("*1x\r\n", "a length is not a decimal number"),
        ("*1\r\n$\r\n", "a length is not a decimal number"),
        ("*1\n", "a length is not a decimal number"),
        ("*1\rx", "CR LF is missing"),
        ("*1\r\n$1\r\nab\r\n", "CR LF is missing"),
        ("*1\r\n$1\r\na\n\n", "CR LF is missing"),
        (
            "GET / HTTP/1.1\r\nHost: x\r\n",
            "this port speaks RESP, not HTTP",
        ),
        ("POST x\r\nPING\r\n", "this port speaks RESP, not HTTP"),
        ("Host: x\r\nPING\r\n", "this port speaks RESP, not HTTP"),
    ] {
        check(bytes, &[&error(text)]);
    }
}

#[test]
fn a_faulty_line_is_refused_and_the_connection_goes_on() {
    check(
        "a \"b\r\nPING\r\n",
        &[
            "-SYNTAX protocol error: unbalanced quotes in an inline line",
            "PING",
        ],
    );
    let too_many = "-LIMIT protocol error: too many arguments, at most 4 arguments are allowed in \
                    tests (args_max)";
    check(
        "1 2 3 4\r\n1 2 3 4 5\r\nPING\r\n",
        &["1|2|3|4", too_many, "PING"],
    );
}

#[test]
fn each_limit_is_allowed_at_its_value_and_refused_one_past_it() {
    let refused = |what: &str, max: &str, name: &str| {
        format!("-LIMIT protocol error: {what}, at most {max} are allowed in tests ({name}), close")
    };
    let last = |bytes: &[u8]| transcript(SMALL, bytes).pop().unwrap();

    assert_eq!(last(&array(&[b"1", b"2", b"3", b"4"])), "1|2|3|4");
    let too_many = refused("too many arguments", "4 arguments", "args_max");
    assert_eq!(last(b"*5\r\n"), too_many);

    assert_eq!(last(&array(&[&[b'a'; 8]])), "aaaaaaaa");
    let too_long = refused("an argument is too long", "8 bytes", "bulk_bytes_max");
    assert_eq!(last(b"*1\r\n$9\r\n"), too_long);

    // `*3\r\n` and 3 times `$8\r\n`, 8 bytes, CR LF are 46 bytes; `*4\r\n` with a fourth is over.
    assert_eq!(array(&[&[b'a'; 8]; 3]).len(), 46);
    assert_eq!(last(&array(&[&[b'a'; 8]; 3])), "aaaaaaaa|aaaaaaaa|aaaaaaaa");
    let request = refused("a request is too long", "48 bytes", "request_bytes_max");
    assert_eq!(last(&array(&[&[b'a'; 8]; 4])), request);
    let exact = Limits {
        request_bytes_max: 46,
        ..SMALL
    };
    assert_eq!(transcript(exact, &array(&[&[b'a'; 8]; 3])).len(), 1);
    let under = Limits {
        request_bytes_max: 45,
        ..SMALL
    };
    let refused_under = transcript(under, &array(&[&[b'a'; 8]; 3])).pop().unwrap();
    assert!(
        refused_under.contains("at most 45 bytes"),
        "{refused_under}"
    );

    let line = "a".repeat(20);
    for end in ["\n", "\r\n"] {
        assert_eq!(last(format!("{line}{end}").as_bytes()), line);
        let too_long = refused("an inline line is too long", "20 bytes", "inline_bytes_max");
        assert_eq!(last(format!("a{line}{end}").as_bytes()), too_long);
    }
    let no_end = refused("an inline line is too long", "20 bytes", "inline_bytes_max");
    assert_eq!(last(&[b'a'; 22]), no_end);
}

#[test]
fn the_real_limits_hold_at_their_values_and_not_one_past_them() {
    for limits in [Limits::BEFORE_AUTH, Limits::AFTER_AUTH] {
        let args: Vec<&[u8]> = vec![b"a"; limits.args_max];
        assert!(!transcript(limits, &array(&args))[0].starts_with('-'));
        let header = format!("*{}\r\n", limits.args_max + 1);
        assert!(transcript(limits, header.as_bytes())[0].contains("(args_max)"));

        let longest = vec![b'a'; limits.bulk_bytes_max];
        assert!(!transcript(limits, &array(&[&longest]))[0].starts_with('-'));
        let header = format!("*1\r\n${}\r\n", limits.bulk_bytes_max + 1);
        assert!(transcript(limits, header.as_bytes())[0].contains("(bulk_bytes_max)"));

        let mut line = vec![b'a'; limits.inline_bytes_max];
        line.extend_from_slice(b"\r\n");
        assert!(!transcript(limits, &line)[0].starts_with('-'));
        line.insert(0, b'a');
        assert!(transcript(limits, &line)[0].contains("(inline_bytes_max)"));

        let many = limits.request_bytes_max / limits.bulk_bytes_max + 1;
        let request = array(&vec![longest.as_slice(); many.min(limits.args_max)]);
        assert!(transcript(limits, &request)[0].contains("(request_bytes_max)"));
    }
}

#[test]
fn a_hundred_thousand_nested_arrays_are_refused_at_the_first() {
    let seen = transcript(Limits::AFTER_AUTH, "*1\r\n".repeat(100_000).as_bytes());
    assert_eq!(seen.len(), 1);
    assert!(seen[0].contains("an array inside an array"), "{seen:?}");
}

#[test]
fn a_declared_length_costs_nothing() {
    for header in [
        "*1000000000\r\n",
        "*9999999999\r\n",
        "*99999999999",
        "*18446744073709551616\r\n",
    ] {
        let mut connection = Connection::new(Limits::AFTER_AUTH);
        connection.receive(header.as_bytes());
        assert!(
            connection.seen[0].contains("(args_max)"),
            "{:?}",
            connection.seen
        );
        assert_eq!(connection.parser.spans.capacity(), 0);
    }
    let mut connection = Connection::new(Limits::AFTER_AUTH);
    connection.receive(b"*16384\r\n$65536\r\n");
    assert!(connection.seen.is_empty());
    assert_eq!(connection.parser.spans.capacity(), 0);
}

#[test]
fn a_line_of_a_mebibyte_is_refused_however_it_arrives() {
    let line = vec![b'a'; 1024 * 1024];
    for piece in [line.len(), 1000] {
        let mut connection = Connection::new(Limits::AFTER_AUTH);
        line.chunks(piece)
            .for_each(|bytes| connection.receive(bytes));
        assert_eq!(connection.seen.len(), 1);
        assert!(
            connection.seen[0].contains("(inline_bytes_max)"),
            "{:?}",
            connection.seen
        );
        assert!(connection.is_closed);
    }
}

#[test]
fn nothing_is_looked_at_twice_when_a_large_request_comes_byte_by_byte() {
    let mut parser = Parser::new();
    let line = vec![b'a'; 10_000];
    for end in 1..=line.len() {
        let parsed = parser.parse(&line[..end], &Limits::AFTER_AUTH).unwrap();
        assert!(matches!(parsed, Parsed::Incomplete));
        assert_eq!(parser.stage, Stage::Inline { scanned: end });
    }
    let mut parser = Parser::new();
    let request = array(&vec![b"a".as_slice(); 1_000]);
    for end in 1..request.len() {
        let parsed = parser.parse(&request[..end], &Limits::AFTER_AUTH).unwrap();
        assert!(matches!(parsed, Parsed::Incomplete));
        // Only the argument that is arriving, of 7 bytes, is looked at again.
        if let Stage::Array { at, .. } = parser.stage {
            assert!(end - at < 7);
        }
    }
    let last = parser.parse(&request, &Limits::AFTER_AUTH).unwrap();
    assert!(matches!(last, Parsed::Command { args, .. } if args.len() == 1_000));
}

#[test]
fn memory_of_an_unusual_request_is_given_back() {
    let mut connection = Connection::new(Limits::AFTER_AUTH);
    connection.receive(&array(&vec![b"a".as_slice(); 16_384]));
    connection.receive(format!("{}\r\n", "a".repeat(60_000)).as_bytes());
    assert_eq!(connection.seen.len(), 2);
    assert!(connection.parser.spans.capacity() <= SPANS_KEPT);
    assert!(connection.parser.unquoted.capacity() <= INLINE_BYTES_KEPT);
}

/// Pieces that requests are made of, and pieces that break them.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let arg = prop::collection::vec(any::<u8>(), 0..10);
    let command = prop::collection::vec(arg, 1..5).prop_map(|args| array(&args));
    let line = "[ab\"' \\\\]{0,22}\r?\n".prop_map(String::into_bytes);
    let header = "[*$]-?[0-9]{0,12}\r?\n?".prop_map(String::into_bytes);
    prop_oneof![4 => command, 4 => line, 1 => header, 1 => prop::collection::vec(any::<u8>(), 0..8)]
}

proptest! {
    /// However the network cuts the bytes, the same commands and errors come out.
    #[test]
    fn split_anywhere_is_the_same_as_whole(
        pieces in prop::collection::vec(piece(), 0..8),
        cuts in prop::collection::vec(1_usize..7, 1..50),
    ) {
        let bytes = pieces.concat();
        let whole = transcript(SMALL, &bytes);
        let mut pieces = Connection::new(SMALL);
        let mut rest = bytes.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (now, later) = rest.split_at(rest.len().min(*cut));
            pieces.receive(now);
            rest = later;
        }
        prop_assert_eq!(&pieces.seen, &whole);
        let mut bytewise = Connection::new(SMALL);
        bytes.iter().for_each(|byte| bytewise.receive(&[*byte]));
        prop_assert_eq!(&bytewise.seen, &whole);
    }

    /// Random bytes are refused or parsed; they never panic and never make memory grow.
    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut connection = Connection::new(SMALL);
        connection.receive(&bytes);
        prop_assert!(connection.parser.spans.capacity() <= 8);
        prop_assert!(connection.parser.unquoted.capacity() <= 64);
    }

    /// What a client encodes is what the parser hands out.
    #[test]
    fn encoded_arguments_come_out_as_they_went_in(
        args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..40),
    ) {
        let bytes = array(&args);
        let mut parser = Parser::new();
        let Ok(Parsed::Command { args: parsed, consumed }) =
            parser.parse(&bytes, &Limits::AFTER_AUTH)
        else {
            return Err(TestCaseError::fail("not parsed"));
        };
        prop_assert_eq!(consumed, bytes.len());
        prop_assert_eq!(parsed.iter_from(0).map(<[u8]>::to_vec).collect::<Vec<_>>(), args);
    }
}
