//! The typed loads: what a shard asks for, read from the store and the overlays above it.
//!
//! Built once, for every kind of store. Facts of an earlier incarnation than the partition's, or
//! than the state row's of the same user and channel, are left out.

use crate::key::{self, Key, KeyRange, Mark};
use crate::planted::{self, Bug};
use crate::value::Row;
use crate::{KeyRow, Layers, StoreError};
use kidoku_core::clock::Clock;
use kidoku_core::effect::{ChannelData, Load, LoadFailed, Loaded, ReceiptRow};
use kidoku_core::fact::codec::DecodeError;
use kidoku_core::fact::{
    Fact, FactKey, Floor, Incarnation, MessageRow, Part, Partition, StateRow, Value,
};
use kidoku_core::id::{ChannelKey, MessageId, Name, Position, UserKey};

/// Rows read at a time.
pub(crate) const PAGE_ROWS: usize = 1_000;

/// Marks read at a time: most of a page is skipped when a user is named often and reads much.
const MARK_PAGE_ROWS: usize = 200;

/// From which position of a channel on marks are wanted.
struct Line {
    channel: String,
    incarnation: Incarnation,
    above: Position,
}

impl Layers {
    /// Answers a load.
    ///
    /// # Errors
    /// When the store can't be read or a row is damaged.
    pub fn load(&self, load: &Load) -> Result<Loaded, StoreError> {
        match load {
            Load::User(user) => self.load_user(user).map(Loaded::Facts),
            Load::Detail {
                user,
                channel,
                above,
            } => self.load_detail(user, channel, *above).map(Loaded::Facts),
            Load::Channel(channel) => self
                .load_channel(channel)
                .map(|data| Loaded::Channel(Box::new(data))),
            Load::Message { channel, id } => self.load_message(channel, *id).map(Loaded::Facts),
            Load::Receipts { channel, space } => self
                .load_receipts(channel, space.as_ref())
                .map(Loaded::Receipts),
        }
    }

    /// What a shard is told of a load that failed. Of a channel it may still be possible to say whether
    /// it is a thread, which others need to know; where that fails for a reason that passes, so does the
    /// load.
    pub fn load_failed(&self, load: &Load, error: &StoreError) -> LoadFailed {
        let subject = match load {
            Load::User(user) | Load::Detail { user, .. } => Partition::User(user.clone()),
            Load::Channel(channel)
            | Load::Message { channel, .. }
            | Load::Receipts { channel, .. } => Partition::Channel(channel.clone()),
        };
        let Some(mut damaged) = error.damaged(&subject) else {
            return LoadFailed::Unreadable;
        };
        if let Load::Channel(channel) = load {
            damaged.parent = match self.parent(channel) {
                Ok(parent) => Some(parent),
                Err(StoreError::Corrupt { .. }) => None,
                Err(_) => return LoadFailed::Unreadable,
            };
        }
        LoadFailed::Damaged(Box::new(damaged))
    }

    /// Of which channel a channel is a thread.
    fn parent(&self, channel: &ChannelKey) -> Result<Option<Name>, StoreError> {
        let dropped = self.erased(&Partition::Channel(channel.clone()))?;
        let row = self.get(&key::fact_key(&FactKey {
            app: channel.app_str(),
            owner: channel.name(),
            part: Part::Settings,
        }))?;
        Ok(match row {
            Some(Row::Fact(Value::Settings {
                incarnation,
                settings,
            })) if incarnation >= dropped => settings.parent.value,
            Some(_) | None => None,
        })
    }

    /// When the partition was last erased.
    pub(crate) fn erased(&self, partition: &Partition) -> Result<Clock, StoreError> {
        let row = self.get(&key::erasure_key(partition))?;
        Ok(row.map_or(Clock::NEVER, |row| row.incarnation()))
    }

    /// Reads a partition with `read`, which is told the erasure. Pages are read one after another,
    /// so an erasure that comes in between starts the reading again, rather than that rows from
    /// before and after it are mixed.
    fn read_whole<T>(
        &self,
        partition: &Partition,
        read: impl Fn(Clock) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut erased = self.erased(partition)?;
        loop {
            let data = read(erased)?;
            let now = self.erased(partition)?;
            if now == erased {
                return Ok(data);
            }
            erased = now;
        }
    }

    /// Calls `each` for every row of a range.
    pub(crate) fn for_each(
        &self,
        range: KeyRange,
        mut each: impl FnMut(KeyRow) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let (mut from, end) = range;
        loop {
            let page = self.page(&from, &end, PAGE_ROWS)?;
            page.rows.into_iter().try_for_each(&mut each)?;
            let Some(next) = page.next else { return Ok(()) };
            from = next;
        }
    }

    fn load_user(&self, user: &UserKey) -> Result<Vec<Fact>, StoreError> {
        let partition = Partition::User(user.clone());
        self.read_whole(&partition, |erased| {
            let mut facts = Vec::new();
            let mut lines: Vec<Line> = Vec::new();
            if erased != Clock::NEVER {
                facts.push(Fact::UserErased {
                    user: user.clone(),
                    clock: erased,
                });
            }
            self.for_each(key::user_rows_range(user), |(key, row)| {
                if row.incarnation() < erased {
                    return Ok(());
                }
                let fact = fact(&key, row)?;
                if let Fact::State { channel, row, .. } = &fact {
                    lines.push(Line {
                        channel: channel.name().to_owned(),
                        incarnation: row.incarnation,
                        above: line(row),
                    });
                }
                facts.push(fact);
                Ok(())
            })?;
            for mark in [Mark::Mention, Mark::Own] {
                self.load_marks(user, mark, erased, &lines, &mut facts)?;
            }
            Ok(facts)
        })
    }

    /// Reads the marks of one kind above the line of each channel. What is below a line may be any
    /// number of rows, so it is jumped over.
    fn load_marks(
        &self,
        user: &UserKey,
        mark: Mark,
        erased: Clock,
        lines: &[Line],
        facts: &mut Vec<Fact>,
    ) -> Result<(), StoreError> {
        let (mut from, end) = key::marks_range(user, mark);
        loop {
            let page = self.page(&from, &end, MARK_PAGE_ROWS)?;
            let last = page
                .rows
                .last()
                .map(|(key, _)| key.clone())
                .unwrap_or_default();
            let mut jump = None;
            for (key, row) in page.rows {
                let (channel, id) = mark_of(&key)?;
                let at = lines.binary_search_by(|line| line.channel.as_str().cmp(channel));
                let line = at.ok().and_then(|at| lines.get(at));
                let above = line.map_or(Position::START, |line| line.above);
                if !above.is_before(id) {
                    let (target, _) = key::marks_above_range(user, mark, channel, above);
                    if target > last {
                        jump = Some(target);
                        break;
                    }
                    continue;
                }
                let oldest = line.map_or(erased, |line| line.incarnation.max(erased));
                if row.incarnation() >= oldest {
                    facts.push(fact(&key, row)?);
                }
            }
            match jump.or(page.next) {
                Some(next) => from = next,
                None => return Ok(()),
            }
        }
    }

    fn load_detail(
        &self,
        user: &UserKey,
        channel: &ChannelKey,
        above: Position,
    ) -> Result<Vec<Fact>, StoreError> {
        let partition = Partition::User(user.clone());
        self.read_whole(&partition, |erased| {
            let mut facts = Vec::new();
            let mut oldest = erased;
            let state = self.get(&key::fact_key(&FactKey {
                app: user.app_str(),
                owner: user.name(),
                part: Part::State(channel.name()),
            }))?;
            if let Some(Row::Fact(Value::State(row))) = state
                && row.incarnation >= erased
            {
                oldest = row.incarnation;
                let (user, channel) = (user.clone(), channel.clone());
                facts.push(Fact::State {
                    user,
                    channel,
                    row: *row,
                });
            }
            for mark in [Mark::Mention, Mark::Own] {
                let range = key::marks_above_range(user, mark, channel.name(), above);
                self.for_each(range, |(key, row)| {
                    if row.incarnation() >= oldest {
                        facts.push(fact(&key, row)?);
                    }
                    Ok(())
                })?;
            }
            Ok(facts)
        })
    }

    fn load_channel(&self, channel: &ChannelKey) -> Result<ChannelData, StoreError> {
        let partition = Partition::Channel(channel.clone());
        self.read_whole(&partition, |dropped| {
            let mut data = ChannelData {
                dropped,
                ..ChannelData::default()
            };
            self.for_each(key::channel_rows_range(channel), |(key, row)| {
                if row.incarnation() < dropped {
                    return Ok(());
                }
                match (parse(&key)?, row) {
                    (
                        Key::Fact(FactKey {
                            part: Part::Message(id),
                            ..
                        }),
                        Row::Fact(Value::Message(row)),
                    ) => add_message(&mut data, channel, id, *row),
                    (_, row) => data.facts.push(fact(&key, row)?),
                }
                Ok(())
            })?;
            Ok(data)
        })
    }

    fn load_message(&self, channel: &ChannelKey, id: MessageId) -> Result<Vec<Fact>, StoreError> {
        let partition = Partition::Channel(channel.clone());
        self.read_whole(&partition, |dropped| {
            let row = self.get(&key::fact_key(&FactKey {
                app: channel.app_str(),
                owner: channel.name(),
                part: Part::Message(id),
            }))?;
            let mut facts = Vec::new();
            if let Some(Row::Fact(Value::Message(row))) = row
                && row.incarnation >= dropped
            {
                facts.push(Fact::Message {
                    channel: channel.clone(),
                    id,
                    row: *row,
                });
            }
            Ok(facts)
        })
    }

    fn load_receipts(
        &self,
        channel: &ChannelKey,
        space: Option<&Name>,
    ) -> Result<Vec<ReceiptRow>, StoreError> {
        let mut receipts = Vec::new();
        let app = channel.app();
        self.for_each(key::roster_range(channel), |(key, row)| {
            let Key::Roster { user, .. } = parse(&key)? else {
                return Err(StoreError::corrupt(&key, DecodeError::Kind));
            };
            let user = UserKey::new(&app, user)
                .map_err(|error| StoreError::corrupt(&key, DecodeError::Name(error)))?;
            let erased = self.erased(&Partition::User(user.clone()))?;
            if row.incarnation() < erased {
                return Ok(());
            }
            let state = self.state(&user, channel)?;
            let state = state.filter(|state| state.incarnation >= erased);
            let mut public = state.as_ref().map_or(Position::START, |state| state.public);
            public = public.max(self.floor(&user, None, erased)?.highest());
            if let Some(space) = space {
                public = public.max(self.floor(&user, Some(space), erased)?.highest());
            }
            let membership = state.and_then(|state| state.membership);
            let member = membership.is_some_and(|membership| membership.member);
            receipts.push(ReceiptRow {
                user,
                member,
                public,
            });
            Ok(())
        })?;
        Ok(receipts)
    }

    fn state(&self, user: &UserKey, channel: &ChannelKey) -> Result<Option<StateRow>, StoreError> {
        let key = key::fact_key(&FactKey {
            app: user.app_str(),
            owner: user.name(),
            part: Part::State(channel.name()),
        });
        let row = if planted::is(Bug::ReceiptsStale) {
            self.store().get(&key)?
        } else {
            self.get(&key)?
        };
        match row {
            Some(Row::Fact(Value::State(row))) => Ok(Some(*row)),
            Some(_) | None => Ok(None),
        }
    }

    fn floor(
        &self,
        user: &UserKey,
        space: Option<&Name>,
        erased: Clock,
    ) -> Result<Floor, StoreError> {
        let row = self.get(&key::fact_key(&FactKey {
            app: user.app_str(),
            owner: user.name(),
            part: Part::Floor(space.map(Name::as_str)),
        }))?;
        match row {
            Some(Row::Fact(Value::Floor { incarnation, floor })) if incarnation >= erased => {
                Ok(floor)
            }
            Some(_) | None => Ok(Floor::default()),
        }
    }
}

/// Marks above this position may count: the cursor and the join of the row say so by themselves.
fn line(row: &StateRow) -> Position {
    let from = row
        .membership
        .map_or(Position::START, |membership| membership.from);
    row.cursor.position.max(from)
}

fn add_message(data: &mut ChannelData, channel: &ChannelKey, id: MessageId, row: MessageRow) {
    if row.posted.is_some() {
        data.tail = data.tail.max(id.position());
    }
    if row.deleted {
        data.deleted.push(id);
    } else if let Some(posted) = &row.posted {
        if posted.silent {
            data.silent.push(id);
        } else {
            data.countable.push(id);
        }
    }
    let names_many = row
        .posted
        .as_ref()
        .is_some_and(|posted| posted.everyone || !posted.roles.is_empty());
    if names_many || row.edit.is_some() {
        data.facts.push(Fact::Message {
            channel: channel.clone(),
            id,
            row,
        });
    }
}

pub(crate) fn parse(key: &[u8]) -> Result<Key<'_>, StoreError> {
    key::parse(key).map_err(|reason| StoreError::corrupt(key, reason))
}

/// The fact of a row.
pub(crate) fn fact(key: &[u8], row: Row) -> Result<Fact, StoreError> {
    let (Key::Fact(parts), Row::Fact(value)) = (parse(key)?, row) else {
        return Err(StoreError::corrupt(key, DecodeError::Kind));
    };
    Fact::join(parts, value).map_err(|reason| StoreError::corrupt(key, reason))
}

/// Channel and id of the key of a mark.
fn mark_of(key: &[u8]) -> Result<(&str, MessageId), StoreError> {
    match parse(key)? {
        Key::Fact(FactKey {
            part: Part::Mention(channel, id) | Part::Own(channel, id),
            ..
        }) => Ok((channel, id)),
        Key::Fact(_) | Key::Roster { .. } => Err(StoreError::corrupt(key, DecodeError::Kind)),
    }
}
