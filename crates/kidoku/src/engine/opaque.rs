//! Message ids that are the caller's own strings: asked for before a command can be built, and
//! looked up again before its reply can be written. Apart from the path of numeric ids, which never
//! comes here.

use super::Engine;
use kidoku_core::error::Error;
use kidoku_core::id::{ChannelKey, MessageId, Name};
use kidoku_core::reply::{Event, Reply};
use kidoku_core::request::Request;
use kidoku_proto::ids::OpaqueIds;
use kidoku_proto::resp::reply::{IdNames, each_message_id, each_message_id_of_event};
use std::collections::{BTreeMap, BTreeSet};

/// Asks the channels' owners for the places of the ids that a parse did not know, and tells `ids`.
///
/// # Errors
/// What an owner refuses; a reply of the wrong kind is [`Error::Storage`].
pub(crate) async fn resolve(engine: &Engine, ids: &mut OpaqueIds) -> Result<(), Error> {
    let requests = ids.take_requests();
    let results = engine.call_many(requests.clone()).await;
    for (request, result) in requests.iter().zip(results) {
        match (request, result?) {
            (Request::Resolve { channel, texts }, Reply::Resolved(places)) => {
                ids.learn(channel, texts, &places);
            }
            _ => return Err(Error::Storage),
        }
    }
    Ok(())
}

/// The caller's ids at places of channels.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpaqueNames(BTreeMap<ChannelKey, BTreeMap<MessageId, Name>>);

impl IdNames for OpaqueNames {
    fn name(&self, channel: &ChannelKey, id: MessageId) -> Option<&str> {
        self.0.get(channel)?.get(&id).map(Name::as_str)
    }
}

/// Looks up the ids in a reply about `channels`.
///
/// # Errors
/// As [`resolve`].
pub(crate) async fn names_of_reply(
    engine: &Engine,
    reply: &Reply,
    channels: &[ChannelKey],
) -> Result<OpaqueNames, Error> {
    let mut wanted = Wanted::default();
    each_message_id(reply, channels, &mut |channel, id| wanted.note(channel, id));
    wanted.look_up(engine).await
}

/// Looks up the ids in a device event.
///
/// # Errors
/// As [`resolve`].
pub(crate) async fn names_of_event(engine: &Engine, event: &Event) -> Result<OpaqueNames, Error> {
    let mut wanted = Wanted::default();
    each_message_id_of_event(event, &mut |channel, id| wanted.note(channel, id));
    wanted.look_up(engine).await
}

#[derive(Default)]
struct Wanted(BTreeMap<ChannelKey, BTreeSet<MessageId>>);

impl Wanted {
    fn note(&mut self, channel: &ChannelKey, id: MessageId) {
        match self.0.get_mut(channel) {
            Some(ids) => {
                ids.insert(id);
            }
            None => {
                self.0.insert(channel.clone(), BTreeSet::from([id]));
            }
        }
    }

    async fn look_up(self, engine: &Engine) -> Result<OpaqueNames, Error> {
        let mut asked = Vec::new();
        let mut requests = Vec::new();
        for (channel, ids) in self.0 {
            let ids: Vec<_> = ids.into_iter().collect();
            requests.push(Request::Names {
                channel: channel.clone(),
                ids: ids.clone(),
            });
            asked.push((channel, ids));
        }
        let results = engine.call_many(requests).await;
        let mut names = OpaqueNames::default();
        for ((channel, ids), result) in asked.into_iter().zip(results) {
            let Reply::Names(found) = result? else {
                return Err(Error::Storage);
            };
            let known = ids
                .into_iter()
                .zip(found)
                .filter_map(|(id, name)| Some((id, name?)));
            names.0.insert(channel, known.collect());
        }
        Ok(names)
    }
}
