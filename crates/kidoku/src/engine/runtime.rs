//! A core's thread: one single-threaded runtime, on which its mailbox, its flushes, its ticks and
//! everything that listens run as tasks.

use super::core::Core;
use super::mailbox::Taken;
use super::shared::{Phase, Shared};
use super::stall::Work;
use kidoku_core::id::ShardId;
use kidoku_core::shard::{Shard, ShardConfig};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

/// Tasks polled before it is looked for news of sockets and timers. The runtime's own 61 would be a
/// dozen milliseconds of those that use up their turns.
const POLLS_PER_LOOK: u32 = 16;

/// Envelopes worked off before other tasks of the core get their turn.
const MAIL_SLICE: usize = 256;

/// Envelopes a mailbox's buffer may keep room for while there is nothing to do.
const KEPT_ENVELOPES_MAX: usize = 4_096;

/// How long after one tick the next comes.
const TICK: Duration = Duration::from_millis(10);

thread_local! {
    static CURRENT: Cell<Option<ShardId>> = const { Cell::new(None) };
}

/// The core whose thread this is, if it is one.
pub(crate) fn current_core() -> Option<ShardId> {
    CURRENT.get()
}

/// What runs on a core besides the engine; called once, on its thread, inside its runtime.
pub(crate) type Services = Box<dyn FnOnce(&Rc<Core>) + Send>;

/// Starts a core's thread. It ends when the phase is [`Phase::Halted`].
///
/// # Errors
/// When there is no thread or no poll descriptor to be had.
pub(crate) fn start(
    shared: Arc<Shared>,
    config: ShardConfig,
    services: Services,
) -> io::Result<JoinHandle<()>> {
    let name = format!("core-{}", config.id.0);
    let (ready, started) = std::sync::mpsc::sync_channel(1);
    let run = move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .event_interval(POLLS_PER_LOOK)
            .build_local(LocalOptions::default());
        let (runtime, report) = match runtime {
            Ok(runtime) => (Some(runtime), Ok(())),
            Err(error) => (None, Err(error)),
        };
        // The starter waits for this message, so it is always there to take it.
        drop(ready.send(report));
        if let Some(runtime) = runtime {
            CURRENT.set(Some(config.id));
            runtime.block_on(run_core(shared, config, services));
        }
    };
    let thread = std::thread::Builder::new().name(name).spawn(run)?;
    started.recv().map_err(io::Error::other)??;
    Ok(thread)
}

async fn run_core(shared: Arc<Shared>, config: ShardConfig, services: Services) {
    let core = Core::new(config.id, shared, Shard::new(config));
    let mut phase = core.shared.phase.subscribe();
    drop(spawn_local(work_off_mail(Rc::clone(&core))));
    drop(spawn_local(flush_when_wanted(Rc::clone(&core))));
    drop(spawn_local(tick_while_wanted(Rc::clone(&core))));
    drop(spawn_local(Rc::clone(&core.line).call()));
    services(&core);
    // The sender lives in `shared`, which `core` holds.
    drop(phase.wait_for(|phase| *phase == Phase::Halted).await);
}

async fn work_off_mail(core: Rc<Core>) {
    let mut taken = Taken::default();
    loop {
        poll_fn(|context| core.poll_mail(context, &mut taken)).await;
        if taken.poked {
            core.release_held();
        }
        let mut items = taken.items.drain(..);
        let (mut start, mut budget) = (0, MAIL_SLICE);
        for (end, stamp) in taken.stamps.drain(..) {
            let mut left = end - start;
            start = end;
            while left > 0 {
                let count = left.min(budget);
                let begun = Instant::now();
                core.begin_turn();
                core.take_mail(items.by_ref().take(count), stamp);
                core.note_turn(Work::Mail, begun);
                core.shared.mailbox(core.id).done(count);
                left -= count;
                budget -= count;
                if budget == 0 {
                    budget = MAIL_SLICE;
                    tokio::task::yield_now().await;
                }
            }
        }
        drop(items);
        taken.items.shrink_to(KEPT_ENVELOPES_MAX);
    }
}

async fn flush_when_wanted(core: Rc<Core>) {
    loop {
        poll_fn(|context| core.poll_flush_wanted(context)).await;
        let begun = Instant::now();
        core.flush();
        core.note_turn(Work::Answers, begun);
        if core.wants_flush() {
            // The runtime looks for news of sockets before it comes back here.
            tokio::task::yield_now().await;
        }
    }
}

async fn tick_while_wanted(core: Rc<Core>) {
    loop {
        poll_fn(|context| core.poll_tick_wanted(context)).await;
        tokio::time::sleep(TICK).await;
        let begun = Instant::now();
        core.tick();
        core.note_turn(Work::Ticks, begun);
    }
}
