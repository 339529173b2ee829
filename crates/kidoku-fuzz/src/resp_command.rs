//! From the arguments of a request to a command: nothing but what the table opens to everyone gets
//! through without a key, and whatever is wrong is one line that clients can read.

use kidoku_core::clock::Millis;
use kidoku_core::id::App;
use kidoku_core::placement::Placement;
use kidoku_proto::command::client::{self, ConnectionInfo};
use kidoku_proto::command::config::{self, ConfigFacts};
use kidoku_proto::command::info::{self, ServerFacts};
use kidoku_proto::command::table::Access;
use kidoku_proto::command::{Command, Context, Spec, find, introspect, parse};
use kidoku_proto::error::{CommandError, ESCAPED_CHARS_MAX};
use kidoku_proto::ids::{IdSource, NumericIds, OpaqueIds, SnowflakeIds};
use kidoku_proto::resp::Protocol;
use kidoku_proto::resp::decode::Decoder;
use kidoku_proto::resp::parse::{Args, Limits, Parsed, Parser};
use kidoku_proto::resp::write::Writer;

const NOW: Millis = Millis(1_700_000_000_000);

/// The longest text around what a caller sent: the usage of the longest command.
const ERROR_CHARS_MAX: usize = 400 + 4 * ESCAPED_CHARS_MAX;

/// Parses the input as RESP and every request in it as a command of an app of each kind of ids.
pub fn run(data: &[u8]) {
    let mut parser = Parser::new();
    let mut rest = data;
    while !rest.is_empty() {
        let consumed = match parser.parse(rest, &Limits::AFTER_AUTH) {
            Ok(Parsed::Incomplete) => return,
            Ok(Parsed::Empty { consumed }) => consumed,
            Ok(Parsed::Command { args, consumed }) => {
                command(args);
                consumed
            }
            Err(error) => match error.consumed {
                Some(consumed) => consumed,
                None => return,
            },
        };
        rest = rest.get(consumed..).unwrap_or_default();
    }
}

fn command(args: Args<'_>) {
    let spec = match find(args) {
        Ok(spec) => spec,
        Err(error) => return check_error(&error),
    };
    match parse(spec, args, None) {
        Ok(command) => {
            assert_eq!(spec.access, Access::Public, "{}", spec.name);
            answer(&command);
        }
        Err(error) => check_error(&error),
    }
    let numeric = in_app(spec, args, &mut NumericIds);
    let epoch_ms = 1_420_070_400_000;
    in_app(spec, args, &mut SnowflakeIds { epoch_ms, now: NOW });
    let mut opaque = OpaqueIds::default();
    in_app(spec, args, &mut opaque);
    // The second of the two parses: what was missing is known now, and nothing is missing again.
    for request in opaque.take_requests() {
        let kidoku_core::request::Request::Resolve { channel, texts } = request else {
            panic!("not a question for ids");
        };
        let ids: Vec<_> = texts
            .iter()
            .map(|_| kidoku_core::id::MessageId::new(7))
            .collect();
        let ids: Vec<_> = ids.into_iter().collect::<Result<_, _>>().unwrap();
        opaque.learn(&channel, &texts, &ids);
    }
    in_app(spec, args, &mut opaque);
    assert!(opaque.is_complete());
    // A command that needs no id is the same for every kind of ids.
    if let Some(text) = numeric {
        assert_eq!(Some(text), in_app(spec, args, &mut NumericIds));
    }
}

/// Parses in an app; the text of the command if it is one.
fn in_app(spec: &'static Spec, args: Args<'_>, ids: &mut dyn IdSource) -> Option<String> {
    let app = App::default_app();
    let mut context = Context {
        app: &app,
        ids,
        now: NOW,
    };
    match parse(spec, args, Some(&mut context)) {
        Ok(command) => {
            answer(&command);
            Some(format!("{command:?}"))
        }
        Err(error) => {
            check_error(&error);
            None
        }
    }
}

/// What a connection answers by itself is one whole reply, in both versions of RESP.
fn answer(command: &Command<'_>) {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, protocol);
        match command {
            Command::Request(request) => {
                let placement = Placement::new(3);
                assert!(request.owner(&placement).0 < 3);
                return;
            }
            Command::Introspect(query) => introspect::answer(&mut writer, query),
            Command::Client(command) => client::answer(&mut writer, command, &mut connection()),
            Command::ConfigGet(names) => config::answer(&mut writer, names, &FACTS),
            Command::Info(names) => writer.text(&info::text(&SERVER, &[], names)),
            Command::Echo(message) | Command::Ping(Some(message)) => writer.bulk(message),
            Command::Hello(_)
            | Command::Auth(_)
            | Command::Watch(_)
            | Command::Unwatch(_)
            | Command::Check
            | Command::Ping(None)
            | Command::WhoAmI
            | Command::Select
            | Command::Quit
            | Command::Reset => return,
        }
        check_one_reply(&out);
    }
}

const FACTS: ConfigFacts = ConfigFacts {
    durable: true,
    port: 7400,
    memory_bytes_max: 1 << 30,
};

const SERVER: ServerFacts = ServerFacts {
    kidoku_version: "0.0.0",
    port: 7400,
    uptime_s: 1,
    process_id: 1,
    connections: 1,
};

fn connection() -> ConnectionInfo {
    ConnectionInfo {
        id: 1,
        peer: "127.0.0.1:1".to_owned(),
        local: "127.0.0.1:2".to_owned(),
        name: String::new(),
        library_name: String::new(),
        library_version: String::new(),
        protocol: Protocol::Resp2,
        app: None,
        age_s: 0,
    }
}

fn check_one_reply(bytes: &[u8]) {
    let decoded = Decoder::default().decode(bytes);
    let decoded = decoded.expect("a reply that clients can read");
    let (_, taken) = decoded.expect("a whole reply");
    assert_eq!(taken, bytes.len(), "one reply and nothing behind it");
}

fn check_error(error: &CommandError) {
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.chars().count() <= ERROR_CHARS_MAX, "{text}");
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut out = Vec::new();
        Writer::new(&mut out, protocol).error(error);
        check_one_reply(&out);
    }
}
