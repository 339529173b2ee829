//! The figures as a page.

use super::measure::Figures;
use super::{PIPELINED_RUNS, REQUESTS, ROUNDS};

/// What the import should reach on two cores.
const IMPORT_AIM: f64 = 300_000.0;

/// What a read state may take in memory.
const READ_STATE_BYTES_AIM: f64 = 16.0;

pub(crate) fn page(figures: &Figures) -> String {
    let mut out = head(figures);
    import(&mut out, figures);
    memory(&mut out, figures);
    commands(&mut out, figures);
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.push_str(&format!("{text}\n"));
}

fn head(figures: &Figures) -> String {
    format!(
        "# Performance\n\n\
         Made by `cargo xtask perf`: it builds the release binary, starts everything on loopback, \
         and writes this page. Client and servers share the machine, so read the figures beside \
         each other, not alone.\n\n\
         - Machine: {}\n\
         - Load average when it began and when it ended: {} and {}\n\
         - Figures are medians of {ROUNDS} turns; the servers take turns (A B C A B C …).\n\n",
        figures.machine, figures.load, figures.load_after
    )
}

fn import(out: &mut String, figures: &Figures) {
    let Some(import) = &figures.import else {
        return;
    };
    let rate = import.events / import.seconds;
    let cpu_us = import.server_cpu_seconds * 1e6 / import.events;
    line(out, format_args!("## Import\n"));
    line(
        out,
        format_args!(
            "`kidoku import` of the real conversation ({:.0} events, gzip) into an empty server, \
             every event on disk before the import ends. The time is that of the whole command.\n",
            import.events
        ),
    );
    line(out, format_args!("| figure | value | aim |\n|---|---|---|"));
    line(
        out,
        format_args!("| events a second | {rate:.0} | {IMPORT_AIM:.0} |"),
    );
    line(out, format_args!("| seconds | {:.2} | |", import.seconds));
    line(
        out,
        format_args!("| server CPU per event | {cpu_us:.2} µs | |"),
    );
    let bytes = import.message_bytes / import.messages.max(1.0);
    line(
        out,
        format_args!(
            "| memory of the channel per message, its roster of members included | {bytes:.1} bytes | |\n"
        ),
    );
}

fn memory(out: &mut String, figures: &Figures) {
    let memory = &figures.memory;
    let gauge = memory.gauge_bytes / memory.read_states.max(1.0);
    let resident = memory.resident_bytes / memory.read_states.max(1.0);
    let message = memory.message_bytes / memory.messages.max(1.0);
    line(out, format_args!("## Memory\n"));
    line(
        out,
        format_args!(
            "{:.0} read states (users in 100 channels each), and {:.0} messages of one channel with \
             snowflake ids a second apart on average, irregular in all their bits. The first two \
             lines are the server's own gauges; the last is the growth of the whole process right \
             after the joins, with all that then waits to be written to the store.\n",
            memory.read_states, memory.messages
        ),
    );
    line(out, format_args!("| figure | value | aim |\n|---|---|---|"));
    line(
        out,
        format_args!(
            "| per read state, all of the user included | {gauge:.1} bytes | \
             {READ_STATE_BYTES_AIM:.0} bytes |"
        ),
    );
    line(out, format_args!("| per message | {message:.2} bytes | |"));
    line(
        out,
        format_args!("| process, per read state | {resident:.0} bytes | |\n"),
    );
}

fn commands(out: &mut String, figures: &Figures) {
    line(out, format_args!("## Commands beside Redis\n"));
    line(
        out,
        format_args!(
            "`redis-benchmark -c 50 -r 100000`, {REQUESTS} requests a turn without a pipeline and \
             {PIPELINED_RUNS} times as many with one of 16: `KD.ACK user:N channel ID` to Kidoku, \
             `HSET user:N channel ID` to Redis. The ids of each turn are above those of the turn \
             before, so that four acks of five move the cursor. Kidoku answers when the ack is on \
             disk; one sync of its log took {:.0} µs on average. CPU is the server's own, user and system, from `/proc/PID/stat`.\n",
            figures.sync_us
        ),
    );
    line(
        out,
        format_args!(
            "| pipeline | server | command | CPU per request | requests a second | p50 | p99 |\n\
             |---|---|---|---|---|---|---|"
        ),
    );
    for row in &figures.rows {
        line(
            out,
            format_args!(
                "| {} | {} | `{}` | {:.2} µs | {:.0} | {:.2} ms | {:.2} ms |",
                row.pipeline,
                row.server,
                row.command,
                row.turn.cpu_us,
                row.turn.rate,
                row.turn.p50_ms,
                row.turn.p99_ms
            ),
        );
    }
}
