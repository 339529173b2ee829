//! Every command of the table against every credential.

use super::{CHANNEL, Has, Scene, USER, check_tells_nothing};
use kidoku_proto::command::COMMANDS;
use kidoku_proto::command::table::{Access, Spec};
use kidoku_torture::wire::{Client, Value};

/// What anyone may say before giving a key. A command is added here on purpose or not at all.
const PUBLIC: [&str; 9] = [
    "AUTH", "CLIENT", "COMMAND", "ECHO", "HELLO", "PING", "QUIT", "RESET", "SELECT",
];

const NO_KEY: &str = "NOAUTH authentication required, send AUTH key or HELLO 3 AUTH app key";
const WRONG_KEY: &str = "NOAUTH the key is not valid for this app";

#[test]
fn only_what_a_connection_needs_is_open_to_everyone() {
    let mut public: Vec<&str> = COMMANDS
        .iter()
        .filter(|spec| spec.access == Access::Public)
        .map(|spec| spec.name)
        .collect();
    public.sort_unstable();
    assert_eq!(public, PUBLIC);
}

/// The command's example, about the user and channel of app `chat`.
fn words(spec: &Spec) -> Vec<String> {
    let known = |word: &str| match word {
        "ada" => USER.to_owned(),
        "general" => CHANNEL.to_owned(),
        other => other.to_owned(),
    };
    spec.example.split(' ').map(known).collect()
}

/// A connection that has tried to get into app `chat`.
fn connect(scene: &Scene, has: Has) -> Client {
    let mut client = Client::connect(scene.server.resp_address());
    client.command(&["HELLO", "3"]);
    let Some(credential) = scene.credential(has) else {
        return client;
    };
    let reply = client.command(&[b"AUTH".as_slice(), b"chat", &credential]);
    match has {
        Has::Key | Has::RootKey => assert_eq!(reply.text(), "OK"),
        _ => {
            assert_eq!(reply, Value::Error(WRONG_KEY.to_owned()), "{has:?}");
            let hello = [b"HELLO".as_slice(), b"3", b"AUTH", b"chat", &credential];
            assert_eq!(client.command(&hello), reply, "{has:?}");
            // Without the name of the app: a key of another app is good for its own.
            if has != Has::KeyOfOtherApp {
                let alone = client.command(&[b"AUTH".as_slice(), &credential]);
                assert_eq!(alone, reply, "{has:?}");
            }
        }
    }
    client
}

fn check_cell(scene: &Scene, spec: &Spec, has: Has) {
    let cell = format!("{} with {has:?}", spec.name);
    let mut client = connect(scene, has);
    let reply = client.command(&words(spec));
    let text = format!("{reply:?}");
    let is_in = matches!(has, Has::Key | Has::RootKey);
    match (spec.access, is_in) {
        (Access::App, false) => {
            assert_eq!(reply, Value::Error(NO_KEY.to_owned()), "{cell}");
        }
        // Its example's key is none.
        (Access::Public, _) if spec.name == "AUTH" => {
            assert_eq!(reply, Value::Error(WRONG_KEY.to_owned()), "{cell}");
        }
        (Access::App, true) => assert!(!matches!(reply, Value::Error(_)), "{cell}: {text}"),
        (Access::Public, _) => {
            assert!(!matches!(reply, Value::Error(_)), "{cell}: {text}");
            check_tells_nothing(&cell, &text);
        }
    }
}

#[test]
fn without_a_key_of_the_app_no_command_does_or_tells_anything() {
    let scene = Scene::new();
    let before = scene.facts();
    for spec in &COMMANDS {
        for has in Has::ALL {
            if !matches!(has, Has::Key | Has::RootKey) {
                check_cell(&scene, spec, has);
            }
        }
    }
    assert_eq!(scene.facts(), before);
}

#[test]
fn with_the_key_or_the_root_key_every_command_is_done() {
    for has in [Has::Key, Has::RootKey] {
        // What is erased and dropped is gone for the next: a server for each.
        let scene = Scene::new();
        for spec in &COMMANDS {
            check_cell(&scene, spec, has);
        }
    }
}

#[test]
fn a_key_of_another_app_sees_and_changes_only_its_own() {
    let scene = Scene::new();
    let before = scene.facts();
    let mut client = scene.client_of(&scene.mail);
    // The same question about names that app `chat` has and names that nobody has.
    for spec in COMMANDS.iter().filter(|spec| spec.access == Access::App) {
        let reply = client.command(&words(spec));
        assert!(
            !matches!(reply, Value::Error(_)),
            "{}: {reply:?}",
            spec.name
        );
        check_tells_nothing(spec.name, &format!("{reply:?}"));
    }
    assert_eq!(scene.facts(), before);
    let mut client = scene.client_of(&scene.mail);
    for (known, unknown) in [
        ("KD.COUNT quagga zebra-room", "KD.COUNT nobody nowhere-xx"),
        ("KD.STATE quagga", "KD.STATE nobody"),
        ("KD.SEEN zebra-room 7", "KD.SEEN nowhere-xx 7"),
    ] {
        let known = format!("{:?}", client.say(known));
        let unknown = format!("{:?}", client.say(unknown));
        let mut numbers = known.clone();
        // Revisions are clocks; what they say is that time goes on.
        if let (Some(rev), Some(other)) = (rev(&known), rev(&unknown)) {
            numbers = known.replace(&rev, &other);
        }
        assert_eq!(numbers, unknown);
    }
}

/// The revision in a reply, if it has one.
fn rev(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("(Bulk(\"rev\"), ")?;
    rest.split(")").next().map(str::to_owned)
}
