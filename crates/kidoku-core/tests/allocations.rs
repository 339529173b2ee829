//! What an ack allocates, when everything that it touches is there: the names in the request, which
//! whoever reads it off the wire makes, and nothing more.

#![expect(clippy::unwrap_used, reason = "a test that can not go on fails")]
#![expect(unsafe_code, reason = "there is no other way to count allocations")]

use kidoku_core::clock::{Clock, Millis};
use kidoku_core::effect::{Effects, Input};
use kidoku_core::id::{App, ChannelKey, MessageId, ShardId, UserKey};
use kidoku_core::placement::Placement;
use kidoku_core::request::{JoinAt, Request, Ticket};
use kidoku_core::shard::{Shard, ShardConfig};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which counts for each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    COUNT.set(COUNT.get() + 1);
}

// SAFETY: everything is left to the system's allocator; the counter is a plain number of the thread,
// which is neither allocated nor dropped.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const USERS: u64 = 50;
const CHANNELS: u64 = 200;
const TICKET: Ticket = Ticket {
    core: ShardId(0),
    id: 1,
};

struct World {
    app: App,
    shard: Shard,
    effects: Effects,
}

impl World {
    fn new() -> Self {
        let config = ShardConfig {
            id: ShardId(0),
            placement: Placement::new(1),
            hash_seed: 7,
            memory_bytes_max: usize::MAX,
            fresh: true,
            clock_seen: Clock::NEVER,
            clock_owner: ShardId(0),
        };
        Self {
            app: App::default_app(),
            shard: Shard::new(config),
            effects: Effects::default(),
        }
    }

    fn user(&self, number: u64) -> UserKey {
        UserKey::new(&self.app, &format!("user-{number:04}")).unwrap()
    }

    fn channel(&self, number: u64) -> ChannelKey {
        ChannelKey::new(&self.app, &format!("channel-{number:04}")).unwrap()
    }

    fn ack(&self, n: u64) -> Request {
        Request::Ack {
            user: self.user(n % USERS),
            channel: self.channel(n / USERS % CHANNELS),
            id: MessageId::new(1_000 + n).unwrap(),
            era: None,
            private: false,
            count: false,
        }
    }

    /// Carries a request out, and empties what came of it as a core does.
    fn apply(&mut self, request: Request) {
        let input = Input::Request {
            ticket: TICKET,
            request,
        };
        self.shard
            .apply(Millis(1_700_000_000_000), input, &mut self.effects);
        assert!(
            self.effects
                .replies
                .drain(..)
                .all(|(_, reply)| reply.is_ok())
        );
        self.effects.facts.clear();
        self.effects.messages.clear();
        self.effects.pushes.clear();
        self.effects.loads.clear();
    }
}

#[test]
fn an_ack_allocates_nothing_but_the_names_of_its_request() {
    let mut world = World::new();
    for number in 0..CHANNELS {
        let join = Request::Join {
            channel: world.channel(number),
            users: (0..USERS).map(|number| world.user(number)).collect(),
            at: JoinAt::Tail,
        };
        world.apply(join);
    }
    let states = USERS * CHANNELS;
    let requests: Vec<Request> = (0..2 * states).map(|n| world.ack(n)).collect();
    let mut requests = requests.into_iter();
    // Once for each state, so that all that grows has grown.
    for request in requests.by_ref().take(usize::try_from(states).unwrap()) {
        world.apply(request);
    }
    let before = COUNT.get();
    for request in requests {
        world.apply(request);
    }
    let allocations = COUNT.get() - before;
    assert_eq!(allocations, 0, "in {states} acks");
}

#[test]
fn a_name_of_a_request_is_one_allocation() {
    let app = App::default_app();
    let before = COUNT.get();
    let user = UserKey::new(&app, "ada").unwrap();
    assert_eq!(COUNT.get() - before, 1);
    drop(user);
    assert_eq!(COUNT.get() - before, 1);
}
