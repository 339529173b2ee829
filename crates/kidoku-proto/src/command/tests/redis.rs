use super::*;
use crate::command::client::{ClientCommand, ConnectionInfo};
use crate::command::config::ConfigFacts;
use crate::command::info::{Section, ServerFacts};
use crate::resp::decode::{Decoder, Value};
use crate::resp::write::Writer;
use kidoku_core::limits::NAME_BYTES_MAX;

#[test]
fn unknown_commands_answer_in_the_words_redis_clients_look_for() {
    assert_eq!(
        line("GET a b"),
        "ERR unknown command 'GET', with args beginning with: 'a' 'b'"
    );
    assert!(line("SUBSCRIBE x").starts_with("ERR unknown command 'SUBSCRIBE'"));
    let long = line(&format!("{} {} c", "x".repeat(500), "\\".repeat(500)));
    assert!(long.len() < 140, "{long}");
    assert_eq!(
        line("CONFIG SET a b"),
        "ERR unknown subcommand 'SET'. Try COMMAND DOCS CONFIG."
    );
    assert!(line("CLIENT MAINT_NOTIFICATIONS ON").starts_with("ERR unknown subcommand 'MAINT"));
    assert!(line("COMMAND NOPE").starts_with("ERR unknown subcommand"));
    assert!(line("ACL LIST").starts_with("ERR unknown subcommand"));
}

#[test]
fn hello_and_auth_are_read_and_never_show_the_key() {
    for (text, expected) in [
        (
            "HELLO",
            "Hello(Hello { protocol: None, credentials: None, name: None })",
        ),
        (
            "hello 2",
            "Hello(Hello { protocol: Some(Resp2), credentials: None, name: None })",
        ),
        (
            "HELLO 3 SETNAME n AUTH default secret",
            "Hello(Hello { protocol: Some(Resp3), credentials: Some(Credentials { app: None, .. }), \
             name: Some([110]) })",
        ),
        ("AUTH secret", "Auth(Credentials { app: None, .. })"),
        ("AUTH default secret", "Auth(Credentials { app: None, .. })"),
        (
            "AUTH chat secret",
            "Auth(Credentials { app: Some(chat), .. })",
        ),
        (
            "AUTH Chat! secret",
            "NOAUTH the key is not valid for this app",
        ),
        (
            "HELLO 4",
            "NOPROTO unsupported protocol version, 2 and 3 are",
        ),
        (
            "HELLO AUTH a b",
            "NOPROTO unsupported protocol version, 2 and 3 are",
        ),
    ] {
        assert_eq!(line_before_auth(text), expected, "{text}");
    }
    assert!(line_before_auth("AUTH a b c").starts_with("SYNTAX "));
    assert!(line_before_auth("HELLO 3 AUTH a").starts_with("SYNTAX an argument is missing"));
    with_bytes(b"AUTH chat secret\r\n", None, |parsed| match parsed {
        Ok(Command::Auth(credentials)) => assert_eq!(credentials.key, b"secret"),
        other => panic!("{other:?}"),
    });
}

#[test]
fn connection_commands_are_read() {
    for (text, expected) in [
        ("PING", "Ping(None)"),
        ("PING a", "Ping(Some([97]))"),
        ("ECHO a", "Echo([97])"),
        ("SELECT 0", "Select"),
        ("SELECT 1", "ERR DB index is out of range, there is only 0"),
        ("QUIT", "Quit"),
        ("RESET", "Reset"),
        ("ACL whoami", "WhoAmI"),
        ("CLIENT id", "Client(Id)"),
        ("CLIENT LIST TYPE normal", "Client(Info)"),
        ("CLIENT INFO", "Client(Info)"),
        ("CLIENT GETNAME", "Client(GetName)"),
        ("CLIENT SETNAME a", "Client(SetName([97]))"),
        ("CLIENT SETINFO lib-name a", "Client(SetLibraryName([97]))"),
        (
            "CLIENT SETINFO LIB-VER a",
            "Client(SetLibraryVersion([97]))",
        ),
        ("CLIENT NO-EVICT on", "Client(Accepted)"),
        ("CLIENT NO-TOUCH off", "Client(Accepted)"),
        ("CLIENT REPLY ON", "Client(Accepted)"),
        ("CLIENT HELP", "Client(Help)"),
    ] {
        assert_eq!(line(text), expected, "{text}");
    }
    assert!(line("PING a b").starts_with("SYNTAX argument 2 is not known"));
    assert!(line("CLIENT REPLY OFF").starts_with("SYNTAX argument 2 is not known"));
    assert!(line("CLIENT SETINFO LIB-X a").starts_with("SYNTAX argument 2 is not known"));
    assert!(line("CLIENT SETNAME \"a b\"").starts_with("ERR Client names cannot contain spaces"));
    let too_long = line(&format!(
        "CLIENT SETNAME {}",
        "a".repeat(NAME_BYTES_MAX + 1)
    ));
    assert!(too_long.starts_with("LIMIT "), "{too_long}");
    assert!(line(&format!("CLIENT SETNAME {}", "a".repeat(NAME_BYTES_MAX))).starts_with("Client"));
}

fn answered(protocol: Protocol, write: impl FnOnce(&mut Writer<'_>)) -> Value {
    let mut out = Vec::new();
    write(&mut Writer::new(&mut out, protocol));
    let (value, consumed) = Decoder::default().decode(&out).unwrap().unwrap();
    assert_eq!(consumed, out.len());
    value
}

#[test]
fn hello_answers_what_clients_choose_features_by() {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let facts = HelloFacts {
            connection_id: 7,
            kidoku_version: "0.1.0",
        };
        let value = answered(protocol, |writer| write_hello(writer, &facts));
        assert_eq!(
            value.field("proto").unwrap().as_u64(),
            Some(protocol.number())
        );
        assert_eq!(value.field("id").unwrap().as_u64(), Some(7));
        assert_eq!(
            value.field("version").unwrap().as_str(),
            Some(REDIS_VERSION)
        );
        assert_eq!(
            value.field("kidoku_version").unwrap().as_str(),
            Some("0.1.0")
        );
        assert_eq!(value.field("role").unwrap().as_str(), Some("master"));
        assert_eq!(
            value.field("modules").unwrap().as_list(),
            Some([].as_slice())
        );
    }
}

#[test]
fn client_remembers_names_and_answers_them() {
    let mut info = ConnectionInfo {
        id: 7,
        peer: "127.0.0.1:5".into(),
        local: "127.0.0.1:7400".into(),
        name: String::new(),
        library_name: String::new(),
        library_version: String::new(),
        protocol: Protocol::Resp3,
        app: Some(App::default_app()),
        age_s: 2,
    };
    let mut answer = |command: ClientCommand<'_>| {
        answered(Protocol::Resp3, |writer| {
            client::answer(writer, &command, &mut info)
        })
    };
    let ok = Value::Status("OK".into());
    assert_eq!(answer(ClientCommand::Id), Value::Integer(7));
    assert_eq!(answer(ClientCommand::GetName), Value::Null);
    assert_eq!(answer(ClientCommand::SetName(b"n")), ok);
    assert_eq!(answer(ClientCommand::SetLibraryName(b"lib")), ok);
    assert_eq!(answer(ClientCommand::SetLibraryVersion(b"1")), ok);
    assert_eq!(answer(ClientCommand::Accepted), ok);
    assert_eq!(answer(ClientCommand::GetName).as_str(), Some("n"));
    assert!(
        answer(ClientCommand::Help)
            .as_list()
            .is_some_and(|lines| lines.len() == 5)
    );
    assert_eq!(
        answer(ClientCommand::Info).as_str(),
        Some(
            "id=7 addr=127.0.0.1:5 laddr=127.0.0.1:7400 name=n age=2 idle=0 flags=N db=0 \
             cmd=client user=default lib-name=lib lib-ver=1 resp=3\n"
        )
    );
}

#[test]
fn info_answers_the_sections_asked_for() {
    let facts = ServerFacts {
        kidoku_version: "0.1.0",
        port: 7400,
        uptime_s: 1,
        process_id: 2,
        connections: 3,
    };
    let own = [Section {
        name: "Kidoku",
        lines: vec![("users", "4".into())],
    }];
    let text = |line: &[u8]| {
        with_bytes(line, Some(&mut NumericIds), |parsed| match parsed {
            Ok(Command::Info(asked)) => info::text(&facts, &own, &asked),
            other => panic!("{other:?}"),
        })
    };
    let all = text(b"INFO\r\n");
    for expected in [
        "loading:0\r\n",
        "redis_version:7.4.0\r\n",
        "kidoku_version:0.1.0\r\n",
    ] {
        assert!(all.contains(expected), "{all}");
    }
    assert!(all.ends_with("\r\n\r\n# Kidoku\r\nusers:4\r\n"));
    assert_eq!(text(b"INFO KIDOKU\r\n"), "# Kidoku\r\nusers:4\r\n");
    assert_eq!(text(b"INFO everything\r\n"), all);
    assert_eq!(text(b"INFO none\r\n"), "");
}

#[test]
fn config_get_answers_what_a_pattern_matches() {
    let facts = ConfigFacts {
        durable: true,
        port: 7400,
        memory_bytes_max: 5,
    };
    let answer = |line: &[u8]| {
        with_bytes(line, Some(&mut NumericIds), |parsed| match parsed {
            Ok(Command::ConfigGet(patterns)) => answered(Protocol::Resp2, |writer| {
                config::answer(writer, &patterns, &facts)
            }),
            other => panic!("{other:?}"),
        })
    };
    let bulk = |text: &str| Value::Bulk(text.into());
    assert_eq!(
        answer(b"CONFIG GET save\r\n"),
        Value::Array(vec![bulk("save"), bulk("")])
    );
    let append = answer(b"CONFIG GET APPENDONLY append*\r\n");
    assert_eq!(append.as_list().unwrap().len(), 4);
    assert_eq!(append.field("appendonly").unwrap().as_str(), Some("yes"));
    assert_eq!(answer(b"CONFIG GET nothing\r\n"), Value::Array(vec![]));
}

fn introspected(protocol: Protocol, line: &str) -> Value {
    with_bytes(
        format!("{line}\r\n").as_bytes(),
        None,
        |parsed| match parsed {
            Ok(Command::Introspect(query)) => {
                answered(protocol, |writer| introspect::answer(writer, &query))
            }
            other => panic!("{other:?}"),
        },
    )
}

#[test]
fn command_answers_the_table() {
    assert_eq!(
        introspected(Protocol::Resp3, "COMMAND COUNT").as_u64(),
        Some(36)
    );
    assert_eq!(COMMANDS.len(), 36);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        for line in ["COMMAND", "COMMAND LIST", "COMMAND INFO"] {
            assert_eq!(
                introspected(protocol, line).as_list().unwrap().len(),
                36,
                "{line}"
            );
        }
        let two = introspected(protocol, "COMMAND INFO KD.ACK nope");
        let [ack, nope] = two.as_list().unwrap() else {
            panic!("{two:?}")
        };
        let ack = ack.as_list().unwrap();
        assert_eq!(
            (ack.len(), ack[0].as_str(), &ack[1]),
            (10, Some("kd.ack"), &Value::Integer(-4))
        );
        assert_eq!(nope, &Value::Null);

        let docs = introspected(protocol, "COMMAND DOCS kd.ack nope");
        let ack = docs.field("kd.ack").unwrap();
        assert_eq!(ack.field("group").unwrap().as_str(), Some("reading"));
        let arguments = ack.field("arguments").unwrap().as_list().unwrap();
        assert_eq!(arguments.len(), 6);
        assert_eq!(arguments[3].field("token").unwrap().as_str(), Some("ERA"));
        assert_eq!(
            introspected(protocol, "COMMAND DOCS nope")
                .as_list()
                .map(<[_]>::len),
            {
                if protocol == Protocol::Resp2 {
                    Some(0)
                } else {
                    None
                }
            }
        );
    }
    let Value::Map(all) = introspected(Protocol::Resp3, "COMMAND DOCS") else {
        panic!("no map")
    };
    assert_eq!(all.len(), 36);
}
