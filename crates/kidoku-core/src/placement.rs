//! Which slot, and so which shard, owns a user or a channel.

use crate::id::{App, ChannelKey, Name, ShardId, UserKey};
use crate::limits::{SHARDS_MAX, SLOTS};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Maps names to shards. Slots are stable for ever: xxh3-64 of `app NUL name`, modulo 4,096, with a
/// seed per kind so that a user and a channel of one name land apart.
#[derive(Clone, Copy, Debug)]
pub struct Placement {
    shards: u16,
}

const USER_SEED: u64 = 0x75;
const CHANNEL_SEED: u64 = 0x63;
const ROLE_SEED: u64 = 0x72;

impl Placement {
    /// A placement over `shards` cores; clamped to 1 to 1,024.
    pub fn new(shards: u16) -> Self {
        Self {
            shards: shards.clamp(1, SHARDS_MAX),
        }
    }

    /// How many shards there are.
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// Every shard.
    pub fn all(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards).map(ShardId)
    }

    /// The owner of a user.
    pub fn of_user(&self, user: &UserKey) -> ShardId {
        self.of_slot(slot(user.joined().as_bytes(), USER_SEED))
    }

    /// The owner of a channel.
    pub fn of_channel(&self, channel: &ChannelKey) -> ShardId {
        self.of_slot(slot(channel.joined().as_bytes(), CHANNEL_SEED))
    }

    /// The shard that coordinates changes of a role.
    pub fn of_role(&self, app: &App, role: &Name) -> ShardId {
        let app_hash = xxh3_64_with_seed(app.as_str().as_bytes(), ROLE_SEED);
        self.of_slot(slot(role.as_str().as_bytes(), app_hash))
    }

    fn of_slot(&self, slot: u16) -> ShardId {
        ShardId(slot % self.shards)
    }
}

fn slot(bytes: &[u8], seed: u64) -> u16 {
    let slot = xxh3_64_with_seed(bytes, seed) % u64::from(SLOTS);
    u16::try_from(slot).unwrap_or_default()
}
