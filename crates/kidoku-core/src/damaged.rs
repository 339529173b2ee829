//! What of whom can not be read, for the error its owner gets and for the operator.

use crate::error::Error;
use crate::fact::{FactKey, Part, Partition};
use crate::id::{App, ChannelKey, Name, UserKey};
use std::fmt;

/// Characters of a name that an error shows.
const NAME_SHOWN_MAX: usize = 64;

/// A stored row that can not be read: damaged, or lost with what was around it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damaged {
    /// Whose row it is.
    pub owner: Partition,
    /// Which row, in words, such as `state in channel room:1`.
    pub row: Box<str>,
    /// Of a channel, where that can still be read: of which channel it is a thread.
    pub parent: Option<Option<Name>>,
}

impl Damaged {
    /// Rows of an owner, it is not known which.
    pub fn some_rows(owner: Partition) -> Self {
        Self {
            owner,
            row: Box::from("some of its rows"),
            parent: None,
        }
    }

    /// The row with this key.
    ///
    /// # Errors
    /// When a name in the key breaks a rule.
    pub fn of_key(key: &FactKey<'_>) -> Result<Self, Error> {
        let app = App::new(key.app)?;
        let owner = if key.is_of_user() {
            Partition::User(UserKey::new(&app, key.owner)?)
        } else {
            Partition::Channel(ChannelKey::new(&app, key.owner)?)
        };
        Ok(Self {
            owner,
            row: row_of(&key.part).into(),
            parent: None,
        })
    }

    /// What somebody is told who asked about a channel and may not learn which user it is about.
    #[must_use]
    pub fn seen_from(self, channel: &ChannelKey) -> Self {
        match &self.owner {
            Partition::Channel(owner) if owner == channel => self,
            Partition::Channel(_) | Partition::User(_) => Self {
                owner: Partition::Channel(channel.clone()),
                row: Box::from("the position of a member"),
                parent: None,
            },
        }
    }

    /// The app it is in.
    pub fn app(&self) -> &str {
        match &self.owner {
            Partition::User(user) => user.app_str(),
            Partition::Channel(channel) => channel.app_str(),
        }
    }

    /// `user`, or `channel`.
    pub fn owner_kind(&self) -> &'static str {
        match self.owner {
            Partition::User(_) => "user",
            Partition::Channel(_) => "channel",
        }
    }

    /// The name of the user or channel.
    pub fn owner_name(&self) -> &str {
        match &self.owner {
            Partition::User(user) => user.name(),
            Partition::Channel(channel) => channel.name(),
        }
    }
}

/// Which row of its owner, in words.
fn row_of(part: &Part<'_>) -> String {
    let place = |what: &str, channel: &str| format!("{what} in channel {}", short(channel));
    match part {
        Part::UserErased => "mark of the last erasure".to_owned(),
        Part::ChannelDropped => "mark of the last drop".to_owned(),
        Part::Floor(None) => "ack-all".to_owned(),
        Part::Floor(Some(space)) => format!("ack-all of space {}", short(space)),
        Part::Role(role) => format!("role {}", short(role)),
        Part::State(channel) => place("state", channel),
        Part::Mention(channel, id) => place(&format!("mention {}", id.get()), channel),
        Part::Own(channel, id) => place(&format!("own message {}", id.get()), channel),
        Part::Settings => "settings".to_owned(),
        Part::Trim => "trim".to_owned(),
        Part::Message(id) => format!("message {}", id.get()),
        Part::OpaqueId(text) => format!("message id '{}'", short(text)),
    }
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME_SHOWN_MAX {
        return name.to_owned();
    }
    let head: String = name.chars().take(NAME_SHOWN_MAX).collect();
    format!("{head}...")
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "what is stored of {} {} is damaged ({})",
            self.owner_kind(),
            short(self.owner_name()),
            self.row
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;

    fn key<'a>(owner: &'a str, part: Part<'a>) -> FactKey<'a> {
        FactKey {
            app: "chat",
            owner,
            part,
        }
    }

    #[test]
    fn a_damaged_row_is_named_by_its_owner_and_kind() {
        let id = MessageId::new(17).unwrap();
        let check = |key: FactKey<'_>, text: &str| {
            assert_eq!(Damaged::of_key(&key).unwrap().to_string(), text);
        };
        check(
            key("ann", Part::State("room:1")),
            "what is stored of user ann is damaged (state in channel room:1)",
        );
        check(
            key("room:1", Part::Message(id)),
            "what is stored of channel room:1 is damaged (message 17)",
        );
        let long = "x".repeat(100);
        let text = Damaged::of_key(&key(&long, Part::Role(&long))).unwrap();
        assert!(text.to_string().len() < 200, "{text}");
    }

    #[test]
    fn who_asks_about_a_channel_is_not_told_of_which_member_a_row_is_damaged() {
        let of_user = Damaged::of_key(&key("zoe", Part::Floor(None))).unwrap();
        let channel = ChannelKey::new(&App::new("chat").unwrap(), "room:1").unwrap();
        let told = of_user.seen_from(&channel).to_string();
        assert!(told.contains("room:1") && !told.contains("zoe"), "{told}");
        let own = Damaged::of_key(&key("room:1", Part::Trim)).unwrap();
        assert_eq!(own.clone().seen_from(&channel), own);
    }
}
