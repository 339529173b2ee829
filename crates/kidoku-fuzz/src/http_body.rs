//! JSON bodies of every route: what is read does not depend on how it is read, and what is wrong is
//! named in few words.

use kidoku_core::limits::MESSAGE_ID_MAX;
use kidoku_proto::json::{IdText, body};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

/// Reads the input as each of the bodies.
pub fn run(data: &[u8]) {
    shape::<body::Join>(data);
    shape::<body::Message>(data);
    shape::<body::Edit>(data);
    shape::<body::Channel>(data);
    shape::<body::Ack>(data);
    shape::<body::BulkAckEntry>(data);
    shape::<body::BulkAck>(data);
    shape::<body::AckAll>(data);
    shape::<body::Unread>(data);
    shape::<body::Mute>(data);
    shape::<body::RoleUsers>(data);
    shape::<body::Trim>(data);
    shape::<body::Follow>(data);
    id(data);
}

/// From a slice texts are borrowed, from a reader they are copied: two ways through the code.
fn shape<T: DeserializeOwned + Debug + PartialEq>(data: &[u8]) {
    let borrowed = serde_json::from_slice::<T>(data);
    let copied = serde_json::from_reader::<_, T>(data);
    match (borrowed, copied) {
        (Ok(borrowed), Ok(copied)) => assert_eq!(borrowed, copied),
        (Err(_), Err(_)) => {}
        (borrowed, copied) => panic!("borrowed {borrowed:?}, copied {copied:?}"),
    }
}

/// An id is the string that stands there, or the digits of a whole number that an id can be.
fn id(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) else {
        return;
    };
    let read = serde_json::from_slice::<IdText>(data);
    match value {
        serde_json::Value::String(text) => assert_eq!(read.unwrap().text(), Some(text.as_str())),
        serde_json::Value::Number(number) => {
            let id = number
                .as_u64()
                .filter(|id| (1..=MESSAGE_ID_MAX).contains(id));
            let digits = id.map(|id| id.to_string());
            assert_eq!(read.unwrap().text(), digits.as_deref());
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_) => assert!(read.is_err()),
    }
}
