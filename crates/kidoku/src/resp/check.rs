//! `KD.CHECK`: the report of a recount.

use crate::check::{CheckReport, check_app};
use crate::engine::Engine;
use kidoku_core::id::App;
use kidoku_proto::error::CommandError;
use kidoku_proto::resp::write::Writer;

/// Recounts the app and writes the report.
pub(super) async fn run(engine: &Engine, app: App, writer: &mut Writer<'_>) {
    match check_app(engine, app, &|_| {}).await {
        Ok(report) => write(&report, writer),
        Err(error) => writer.error(&CommandError::from(error)),
    }
}

fn write(report: &CheckReport, writer: &mut Writer<'_>) {
    writer.map(10);
    for (name, value) in [
        ("users", report.users),
        ("channels", report.channels),
        ("read_states", report.read_states),
        ("messages", report.messages),
        ("mismatch_count", report.mismatch_count),
        ("unsettled", report.unsettled),
        ("damaged_count", report.damaged_count),
        ("damaged_states", report.damaged_states),
    ] {
        writer.text(name);
        writer.number(value);
    }
    writer.text("damaged");
    writer.array(report.damaged.len());
    for damaged in &report.damaged {
        writer.map(3);
        for (name, value) in [
            ("kind", damaged.kind),
            ("name", &damaged.name),
            ("row", &damaged.row),
        ] {
            writer.text(name);
            writer.text(value);
        }
    }
    writer.text("mismatches");
    writer.array(report.mismatches.len());
    for mismatch in &report.mismatches {
        writer.map(6);
        writer.text("user");
        writer.text(mismatch.user.name());
        writer.text("channel");
        writer.text(mismatch.channel.name());
        for (name, value) in [
            ("expected_unread", mismatch.expected.unread),
            ("expected_mentions", mismatch.expected.mentions),
            ("answered_unread", mismatch.answered.unread),
            ("answered_mentions", mismatch.answered.mentions),
        ] {
            writer.text(name);
            writer.number(value);
        }
    }
}
