//! Random histories of appends, faults, cuts, kills and power cuts.

use super::*;
use crate::Durability;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a random history did: for each lsn all payloads ever written, and the committed one.
#[derive(Default)]
struct History {
    written: BTreeMap<u64, BTreeSet<Vec<u8>>>,
    committed: BTreeMap<u64, Vec<u8>>,
    pending: BTreeMap<u64, Vec<u8>>,
    cut: u64,
}

impl History {
    fn append(&mut self, log: &mut Log<FakeDisk>, random: &mut Random) {
        let payloads: Vec<Vec<u8>> = (0..=random.below(5))
            .map(|_| {
                let length = 1 + random.below(60);
                (0..length)
                    .map(|_| random.next().to_le_bytes()[0])
                    .collect()
            })
            .collect();
        let first = log.next().0;
        let count = u32::try_from(payloads.len()).unwrap();
        let rotated_before = log.committed();
        let result = log.append_group(&[&records(&payloads)], count, first);
        if log.committed() > rotated_before {
            self.commit(log.committed());
        }
        for (lsn, payload) in (first..).zip(payloads) {
            self.written.entry(lsn).or_default().insert(payload.clone());
            if result.is_ok() {
                self.pending.insert(lsn, payload);
            }
        }
        if result.is_err() {
            self.pending.clear();
        }
    }

    fn commit(&mut self, up_to: Lsn) {
        let rest = self.pending.split_off(&(up_to.0 + 1));
        self.committed
            .append(&mut std::mem::replace(&mut self.pending, rest));
    }

    /// Everything committed is there and right; everything else there was written once.
    fn check(&mut self, recovery: &Recovery, found: &Records, spoiled: bool) {
        if !spoiled {
            assert_eq!(
                (recovery.records_lost, recovery.damage_count),
                (0, 0),
                "{recovery:?}"
            );
            assert!(
                found.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0),
                "{found:?}"
            );
        }
        assert!(found.is_sorted_by(|a, b| a.0 < b.0));
        let found: BTreeMap<u64, Vec<u8>> = found.iter().cloned().collect();
        for (lsn, payload) in self.committed.range(self.cut + 1..) {
            assert_eq!(found.get(lsn), Some(payload), "committed lsn {lsn}");
        }
        for (lsn, payload) in &found {
            assert!(
                self.written[lsn].contains(payload),
                "lsn {lsn} was never written so"
            );
        }
        // What recovery gave out is as good as committed: it was synced or cut by the opening.
        self.committed.extend(found);
        self.pending.clear();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever fails and whenever the power goes: what was committed is recovered, nothing wrong
    /// is, and the log goes on.
    #[test]
    fn committed_records_survive_failing_disks_and_power_cuts(
        seed in 1_u64..,
        append in prop::sample::select(vec![0, 0, 30, 200]),
        sync in prop::sample::select(vec![0, 0, 30, 200]),
        create in prop::sample::select(vec![0, 0, 200]),
        spoil in prop::sample::select(vec![0, 500]),
        segment_bytes_max in prop::sample::select(vec![1_u64, 300, 2_000, 1 << 20]),
    ) {
        let disk = FakeDisk::new(seed);
        let options = LogOptions { segment_bytes_max, durability: Durability::Sync };
        let mut random = Random(seed);
        let mut history = History::default();
        let (mut log, ..) = open(&disk, options);
        disk.set_faults(Faults { append, sync, create, spoil });
        for _ in 0..120 {
            match random.below(20) {
                0..=9 if !log.is_poisoned() => history.append(&mut log, &mut random),
                10..=15 if !log.is_poisoned() => match log.sync() {
                    Ok(()) => history.commit(log.committed()),
                    Err(_) => history.pending.clear(),
                },
                16 => {
                    let up_to = log.committed().0.saturating_sub(3);
                    // Even if it fails some segments may be gone.
                    drop(log.cut(Lsn(up_to)));
                    history.cut = history.cut.max(up_to);
                }
                17 => {
                    drop(log);
                    // A kill alone leaves what was written. After a failed sync that can deceive,
                    // so with those there are only power cuts.
                    if sync > 0 || random.below(2) == 0 {
                        disk.power_cut();
                    } else {
                        disk.set_faults(Faults::NEVER);
                    }
                    let (reopened, recovery, found) = open(&disk, options);
                    history.check(&recovery, &found, spoil > 0);
                    log = reopened;
                    disk.set_faults(Faults { append, sync, create, spoil });
                }
                _ => drop(log.reopen()),
            }
        }
        drop(log);
        disk.power_cut();
        let (recovery, found) = read(&disk);
        history.check(&recovery, &found, spoil > 0);
    }
}
