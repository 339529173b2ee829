//! A key that is revoked or runs out opens nothing any more, on connections that are open too.

use super::{CHANNEL, Scene, USER, key, revoke};
use kidoku_torture::server::PATIENCE;
use kidoku_torture::wire::{Client, Value};
use std::thread::sleep;
use std::time::{Duration, Instant};

const ENDED: &str = "NOAUTH the key of this connection was revoked or has expired";

/// Asks until the connection is refused, and says how long that took.
fn until_refused(client: &mut Client) -> Duration {
    let begun = Instant::now();
    loop {
        match client.say(&format!("KD.COUNT {USER} {CHANNEL}")) {
            Value::Error(text) => {
                assert_eq!(text, ENDED);
                assert!(client.try_receive().is_none(), "the connection ends");
                return begun.elapsed();
            }
            reply => assert!(matches!(reply, Value::Array(_)), "{reply:?}"),
        }
        assert!(begun.elapsed() < PATIENCE);
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_connection_ends_when_its_key_is_revoked() {
    let scene = Scene::new();
    let leaked = key(&scene.dir, &["--app", "chat"]);
    // Keys are looked for once a second.
    sleep(Duration::from_millis(1_100));
    let mut client = scene.client_of(&leaked);
    let mut watcher = scene.client_of(&leaked);
    assert_eq!(watcher.say(&format!("KD.WATCH {USER}")).text(), "OK");
    let mut owner = scene.client_of(&scene.chat);
    owner.say(&format!("KD.POST {CHANNEL} 880088003"));
    assert!(matches!(watcher.receive(), Value::Push(_)));
    revoke(&scene.dir, &leaked);
    let waited = until_refused(&mut client);
    println!("refused {waited:?} after it was revoked");
    // One who only listens is told nothing more: what comes is the end.
    sleep(Duration::from_millis(1_100));
    owner.say(&format!("KD.POST {CHANNEL} 880088004"));
    assert_eq!(watcher.try_receive(), None);
    // Nobody else is bothered.
    assert!(matches!(
        owner.say(&format!("KD.COUNT {USER} {CHANNEL}")),
        Value::Array(_)
    ));
}

#[test]
fn a_connection_ends_when_its_key_expires() {
    let scene = Scene::new();
    let short = key(&scene.dir, &["--app", "chat", "--expires", "4s"]);
    sleep(Duration::from_millis(1_100));
    let mut client = scene.client_of(&short);
    until_refused(&mut client);
}
