//! What has happened, for whoever wants to see that faults really do.

use super::disk::DiskTotals;
use super::store::StoreTotals;
use std::fmt;
use std::ops::AddAssign;

/// Counts of one run or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named for what it counts")]
pub struct Totals {
    pub steps: u64,
    pub requests: u64,
    pub acks: u64,
    pub replies_checked: u64,
    pub counts_at_rest: u64,
    pub loads_checked: u64,
    pub replies_explained: u64,
    pub cursors_checked: u64,
    pub events: u64,
    pub events_compared: u64,
    pub refused_for_rot: u64,
    pub answers_beside_rot: u64,
    pub answers_in_part: u64,
    pub worlds_with_rot: u64,
    pub power_cuts: u64,
    pub kills: u64,
    pub stops: u64,
    pub starts_refused: u64,
    pub packets_lost: u64,
    pub packets_twice: u64,
    pub resent: u64,
    pub refused: u64,
    pub given_up: u64,
    pub evictions: u64,
    pub flushes: u64,
    pub cuts: u64,
    pub records_rotten: u64,
    pub disk: DiskTotals,
    pub store: StoreTotals,
}

impl AddAssign for DiskTotals {
    fn add_assign(&mut self, other: Self) {
        self.failed_writes += other.failed_writes;
        self.refused_full += other.refused_full;
        self.failed_syncs += other.failed_syncs;
        self.failed_directory += other.failed_directory;
        self.torn += other.torn;
        self.undone += other.undone;
        self.flipped += other.flipped;
    }
}

impl AddAssign for StoreTotals {
    fn add_assign(&mut self, other: Self) {
        self.failed_writes += other.failed_writes;
        self.failed_syncs += other.failed_syncs;
        self.failed_reads += other.failed_reads;
        self.lost_rows += other.lost_rows;
        self.rotten_rows += other.rotten_rows;
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.requests += other.requests;
        self.acks += other.acks;
        self.replies_checked += other.replies_checked;
        self.counts_at_rest += other.counts_at_rest;
        self.loads_checked += other.loads_checked;
        self.replies_explained += other.replies_explained;
        self.cursors_checked += other.cursors_checked;
        self.events += other.events;
        self.refused_for_rot += other.refused_for_rot;
        self.answers_beside_rot += other.answers_beside_rot;
        self.answers_in_part += other.answers_in_part;
        self.worlds_with_rot += other.worlds_with_rot;
        self.events_compared += other.events_compared;
        self.power_cuts += other.power_cuts;
        self.kills += other.kills;
        self.stops += other.stops;
        self.starts_refused += other.starts_refused;
        self.packets_lost += other.packets_lost;
        self.packets_twice += other.packets_twice;
        self.resent += other.resent;
        self.refused += other.refused;
        self.given_up += other.given_up;
        self.evictions += other.evictions;
        self.flushes += other.flushes;
        self.cuts += other.cuts;
        self.records_rotten += other.records_rotten;
        self.disk += other.disk;
        self.store += other.store;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "    {} steps, {} requests, {} acknowledged, {} refused, {} sent again, {} given up",
            self.steps, self.requests, self.acks, self.refused, self.resent, self.given_up
        )?;
        writeln!(
            f,
            "    checked: {} replies, {} that overlap, {} counts at rest, {} loads, {} cursors told, {} events, \
             {} devices at rest",
            self.replies_checked,
            self.replies_explained,
            self.counts_at_rest,
            self.loads_checked,
            self.cursors_checked,
            self.events,
            self.events_compared
        )?;
        writeln!(
            f,
            "    ends: {} power cuts, {} kills, {} stops, {} starts refused; {} evictions, {} flushes, {} cuts",
            self.power_cuts,
            self.kills,
            self.stops,
            self.starts_refused,
            self.evictions,
            self.flushes,
            self.cuts
        )?;
        let disk = &self.disk;
        writeln!(
            f,
            "    disk: {} writes failed, {} refused full, {} syncs failed, {} directory calls failed, \
             {} files torn, {} entries undone, {} bits flipped, {} records lost by them",
            disk.failed_writes,
            disk.refused_full,
            disk.failed_syncs,
            disk.failed_directory,
            disk.torn,
            disk.undone,
            disk.flipped,
            self.records_rotten
        )?;
        let store = &self.store;
        write!(
            f,
            "    store: {} writes failed, {} syncs failed, {} reads failed, {} rows lost; \
             net: {} packets lost, {} twice\n    \
             rot of the store: {} rows in {} worlds, {} answers turned into errors, {} answers beside it as \
             ever, {} of them without what is damaged",
            store.failed_writes,
            store.failed_syncs,
            store.failed_reads,
            store.lost_rows,
            self.packets_lost,
            self.packets_twice,
            store.rotten_rows,
            self.worlds_with_rot,
            self.refused_for_rot,
            self.answers_beside_rot,
            self.answers_in_part
        )
    }
}
