//! Rows that have rotted in the store: of whom something can not be read, and who needs them.

use super::run::World;
use super::store::SimStore;
use crate::model::Model;
use kidoku_core::effect::Load;
use kidoku_core::fact::codec::DecodeError;
use kidoku_core::fact::{Fact, Part, Partition};
use kidoku_core::id::{App, ChannelKey, Name, NameKind, UserKey};
use kidoku_core::request::Request;
use kidoku_store::key::{Key, parse};
use std::collections::{BTreeMap, BTreeSet};

/// Of whom something can not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Users with a damaged row.
    pub(super) users: BTreeSet<UserKey>,
    /// Channels with a damaged row; true = it can still be told of which channel each is a thread.
    pub(super) channels: BTreeMap<ChannelKey, bool>,
    /// Channels with a damaged entry of their roster.
    rosters: BTreeSet<ChannelKey>,
    /// Users of whom receipts can not tell how far they have read: in any channel (`None`), or in
    /// those of a space.
    positions: Vec<(UserKey, Option<Name>)>,
    /// Users of whom that can not be told in one channel.
    states: Vec<(UserKey, ChannelKey)>,
}

/// Whether something meets with damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meets {
    /// Always.
    Must,
    /// It depends on what was written, and is gone, or on what others ask meanwhile.
    May,
    /// Never.
    Not,
}

impl Damage {
    /// The damage of a store.
    pub(super) fn of(store: &SimStore) -> Self {
        let mut damage = Self::default();
        for key in store.rotten_keys() {
            if let Err(reason) = damage.add(&key) {
                unreachable!("the key of a row does not say whose it is: {reason:?}");
            }
        }
        damage
    }

    fn add(&mut self, key: &[u8]) -> Result<(), DecodeError> {
        let parts = match parse(key)? {
            Key::Fact(parts) => parts,
            Key::Roster { app, channel, .. } => {
                self.rosters
                    .insert(ChannelKey::new(&App::new(app)?, channel)?);
                return Ok(());
            }
        };
        let app = App::new(parts.app)?;
        if parts.is_of_user() {
            let user = UserKey::new(&app, parts.owner)?;
            match parts.part {
                Part::UserErased | Part::Floor(None) => self.positions.push((user.clone(), None)),
                Part::Floor(Some(space)) => {
                    let space = Name::new(NameKind::Space, space)?;
                    self.positions.push((user.clone(), Some(space)));
                }
                Part::State(channel) => {
                    let channel = ChannelKey::new(&app, channel)?;
                    self.states.push((user.clone(), channel));
                }
                _ => {}
            }
            self.users.insert(user);
        } else {
            let channel = ChannelKey::new(&app, parts.owner)?;
            let hides_parent = matches!(parts.part, Part::Settings | Part::ChannelDropped);
            *self.channels.entry(channel).or_insert(true) &= !hides_parent;
        }
        Ok(())
    }

    /// Everything can be read.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whose rows are damaged.
    fn has(&self, owner: &Partition) -> bool {
        match owner {
            Partition::User(user) => self.users.contains(user),
            Partition::Channel(channel) => {
                self.channels.contains_key(channel) || self.rosters.contains(channel)
            }
        }
    }

    /// Those of these that nothing can be said of.
    pub(super) fn hits(&self, about: &About) -> BTreeSet<Partition> {
        let users = about.users.iter().filter(|user| self.users.contains(*user));
        let channels = about.channels.iter();
        let channels = channels.filter(|channel| self.channels.contains_key(*channel));
        let users = users.cloned().map(Partition::User);
        users
            .chain(channels.cloned().map(Partition::Channel))
            .collect()
    }

    /// Whether a list of who has read how far in a channel meets damage; `said` = whether a user has
    /// ever said something there.
    pub(super) fn readers(
        &self,
        model: &Model,
        channel: &ChannelKey,
        space: Option<&Name>,
        said: impl Fn(&UserKey) -> bool,
    ) -> Meets {
        if self.rosters.contains(channel) {
            return Meets::Must;
        }
        let of_space = |(_, of): &&(UserKey, Option<Name>)| of.is_none() || of.as_ref() == space;
        let positions = self.positions.iter().filter(of_space);
        let states = self.states.iter().filter(|(_, of)| of == channel);
        let users = positions.map(|(user, _)| user);
        let mut meets = Meets::Not;
        for user in users.chain(states.map(|(user, _)| user)) {
            if model.has_row(user, channel) {
                return Meets::Must;
            }
            if said(user) {
                meets = Meets::May;
            }
        }
        meets
    }

    /// Whether a read state says that there are threads that can not be read: those of the channel,
    /// and any of which it is not known whose they are.
    pub(super) fn hides_threads<'a>(
        &self,
        channel: &ChannelKey,
        is_member: impl Fn(&ChannelKey) -> bool,
        parent: impl Fn(&ChannelKey) -> Option<&'a str>,
    ) -> bool {
        let mut channels = self.channels.iter();
        channels.any(|(thread, knows_parent)| {
            is_member(thread) && (!knows_parent || parent(thread) == Some(channel.name()))
        })
    }

    /// Channels that a user is in, of which nothing can be said, not even whose threads they are.
    pub(super) fn without_parent(&self, model: &Model, user: &UserKey) -> Vec<ChannelKey> {
        let channels = self.channels.iter();
        let unknown = channels
            .filter(|(channel, knows_parent)| !**knows_parent && model.is_member(user, channel));
        unknown.map(|(channel, _)| channel.clone()).collect()
    }

    /// Whether a load meets damage, and of whom.
    fn load(
        &self,
        load: &Load,
        model: &Model,
        said: impl Fn(&UserKey, &ChannelKey) -> bool,
    ) -> Meets {
        let is_hit = match load {
            Load::User(user) => self.users.contains(user),
            Load::Channel(channel) => self.channels.contains_key(channel),
            // One row, and what lies beside it.
            Load::Detail { user, .. } if self.users.contains(user) => return Meets::May,
            Load::Message { channel, .. } if self.channels.contains_key(channel) => {
                return Meets::May;
            }
            Load::Detail { .. } | Load::Message { .. } => false,
            Load::Receipts { channel, space } => {
                return self.readers(model, channel, space.as_ref(), |user| said(user, channel));
            }
        };
        if is_hit { Meets::Must } else { Meets::Not }
    }
}

/// Whom a request is about.
#[derive(Debug, Default)]
pub(super) struct About {
    users: BTreeSet<UserKey>,
    channels: BTreeSet<ChannelKey>,
}

impl About {
    /// Those without whom it can not be done at all.
    pub(super) fn needed(request: &Request) -> Self {
        let mut about = Self::default();
        match request {
            Request::Join { channel, users, .. } | Request::Leave { channel, users } => {
                about.channels.insert(channel.clone());
                about.users.extend(users.iter().cloned());
            }
            Request::Follow { user, thread, .. } => {
                about.channels.insert(thread.clone());
                about.users.insert(user.clone());
            }
            Request::Post { channel, post } => {
                about.channels.insert(channel.clone());
                about.users.extend(post.author.clone());
                about.users.extend(post.mentions.users.iter().cloned());
            }
            Request::Edit { channel, .. }
            | Request::Delete { channel, .. }
            | Request::Seen { channel, .. }
            | Request::Channel { channel, .. }
            | Request::Trim { channel, .. }
            | Request::Drop { channel }
            | Request::Resolve { channel, .. }
            | Request::Names { channel, .. } => {
                about.channels.insert(channel.clone());
            }
            Request::Ack { user, .. }
            | Request::AckMany { user, .. }
            | Request::AckAll { user, .. }
            | Request::MarkUnread { user, .. }
            | Request::Mute { user, .. }
            | Request::Explain { user, .. }
            | Request::Count { user, .. }
            | Request::State { user, .. }
            | Request::Badge { user, .. }
            | Request::Erase { user }
            | Request::Watch { user, .. }
            | Request::Unwatch { user, .. } => {
                about.users.insert(user.clone());
            }
            Request::Role { users, .. } => about.users.extend(users.iter().cloned()),
            // A fact is merged without a look at what is there.
            Request::Merge { .. } => {}
        }
        about
    }

    /// Everybody whom it may need.
    fn all<'a>(request: &Request, facts: impl Iterator<Item = &'a Fact>) -> Self {
        let mut about = Self::needed(request);
        match request {
            Request::Edit { mentions, .. } => about.users.extend(mentions.users.iter().cloned()),
            Request::Mute { channel, .. }
            | Request::Ack { channel, .. }
            | Request::MarkUnread { channel, .. }
            | Request::Explain { channel, .. } => {
                about.channels.insert(channel.clone());
            }
            Request::Count { channels, .. } => about.channels.extend(channels.iter().cloned()),
            _ => {}
        }
        about.add_what_they_look_at(facts, matches!(request, Request::Drop { .. }));
        about
    }

    /// Whoever counts for a user looks into every channel that the user has a row in, and a drop has
    /// to reach every user with a row there.
    fn add_what_they_look_at<'a>(&mut self, facts: impl Iterator<Item = &'a Fact>, readers: bool) {
        let (mut users, mut channels) = (BTreeSet::new(), BTreeSet::new());
        for fact in facts {
            let Some((user, channel)) = row_of(fact) else {
                continue;
            };
            if self.users.contains(user) {
                channels.insert(channel.clone());
            }
            if readers && self.channels.contains(channel) {
                users.insert(user.clone());
            }
        }
        self.users.extend(users);
        self.channels.extend(channels);
    }

    fn touches(&self, owner: &Partition) -> bool {
        match owner {
            Partition::User(user) => self.users.contains(user),
            Partition::Channel(channel) => self.channels.contains(channel),
        }
    }

    /// A user.
    pub(super) fn users<'a>(users: impl IntoIterator<Item = &'a UserKey>) -> Self {
        Self {
            users: users.into_iter().cloned().collect(),
            channels: BTreeSet::new(),
        }
    }

    /// Channels.
    pub(super) fn channels<'a>(channels: impl IntoIterator<Item = &'a ChannelKey>) -> Self {
        Self {
            users: BTreeSet::new(),
            channels: channels.into_iter().cloned().collect(),
        }
    }
}

/// Whose row a fact is, in which channel.
pub(super) fn row_of(fact: &Fact) -> Option<(&UserKey, &ChannelKey)> {
    match fact {
        Fact::State { user, channel, .. }
        | Fact::Mention { user, channel, .. }
        | Fact::Own { user, channel, .. } => Some((user, channel)),
        _ => None,
    }
}

impl World {
    /// Of whom something can not be read now.
    pub(super) fn damage(&self) -> Damage {
        let home = self.homes.first();
        home.map(|home| Damage::of(&home.store)).unwrap_or_default()
    }

    fn all_facts(&self) -> impl Iterator<Item = &Fact> {
        self.lives.iter().flatten().flat_map(|life| life.facts())
    }

    /// Whether a user has ever said anything in a channel.
    pub(super) fn has_said(&self, user: &UserKey, channel: &ChannelKey) -> bool {
        self.all_facts()
            .any(|fact| row_of(fact) == Some((user, channel)))
    }

    /// An error may be the answer to a request, which names `owner` as damaged.
    pub(super) fn may_name(&self, damage: &Damage, request: &Request, owner: &Partition) -> bool {
        if let (Request::Seen { channel, .. }, Partition::Channel(named)) = (request, owner)
            && channel == named
        {
            // The member whose row it is, is not named.
            let said = |user: &UserKey| self.has_said(user, channel);
            let nobody = Model::new();
            let spaces = damage.positions.iter().map(|(_, space)| space.as_ref());
            let mut spaces = std::iter::once(None).chain(spaces);
            return damage.has(owner)
                || spaces.any(|space| damage.readers(&nobody, channel, space, said) != Meets::Not);
        }
        damage.has(owner) && About::all(request, self.all_facts()).touches(owner)
    }

    /// A load and what it met, while there is damage.
    pub(super) fn check_load_beside(
        &self,
        damage: &Damage,
        (load, facts): (&Load, &[Fact]),
        named: Option<&kidoku_core::damaged::Damaged>,
    ) -> Result<(), String> {
        let model = Model::of_facts(facts);
        let meets = damage.load(load, &model, |user, at| self.has_said(user, at));
        let Some(named) = named else {
            if meets == Meets::Must {
                return Err(format!("{load:?} is answered, and a row of it is damaged"));
            }
            return Ok(());
        };
        if meets == Meets::Not || !damage.has(&named.owner) {
            return Err(format!("{load:?} names what is not damaged: {named:?}"));
        }
        if let Load::Channel(channel) = load {
            let knows_parent = damage.channels.get(channel) == Some(&true);
            let due = knows_parent.then(|| model.parent_of(channel));
            let told = named.parent.as_ref();
            if told.map(|parent| parent.as_ref().map(Name::as_str)) != due {
                return Err(format!(
                    "{load:?} names the parent of {named:?}; due {due:?}"
                ));
            }
        }
        Ok(())
    }
}
