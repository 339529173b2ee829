//! What was found rotten in log and store, in words for the operator.

use kidoku_core::damaged::Damaged;
use kidoku_core::fact::codec::decode_key;
use kidoku_log::{Damage, Recovery};
use kidoku_store::{Rot, RotReport};

/// Sentences that are shown; all are counted.
const NOTES_MAX: usize = 100;

/// What was found rotten since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Pieces of log and store that were given back: nothing is lost.
    pub repaired: u64,
    /// Records, rows and blocks that can not be read.
    pub lost: u64,
    /// What and where: the first hundred.
    pub notes: Vec<String>,
}

/// Where it is gathered: what the log's recovery found, and what the store finds as it goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watcher {
    log: Found,
    store: Rot,
}

impl Watcher {
    pub(crate) fn new(recovery: &Recovery, store: Rot) -> Self {
        Self {
            log: of_log(recovery),
            store,
        }
    }

    /// Everything so far.
    pub(crate) fn found(&self) -> Found {
        let RotReport {
            blocks_mended,
            blocks_lost,
            guards_remade,
            rows_damaged,
            facts_lost,
            accepted: _,
            rebuilt: _,
            notes,
        } = self.store.report();
        let mut found = self.log.clone();
        found.repaired += blocks_mended + guards_remade;
        found.lost += blocks_lost + rows_damaged + facts_lost;
        found.notes.extend(notes);
        found.notes.truncate(NOTES_MAX);
        found
    }
}

fn of_log(recovery: &Recovery) -> Found {
    let mut found = Found {
        repaired: recovery.mend_count,
        lost: 0,
        notes: Vec::new(),
    };
    for mend in &recovery.mends {
        found.notes.push(format!(
            "log/{:020}.log had a flipped bit in what begins at byte {}, which was taken back; \
             nothing is lost",
            mend.segment.0, mend.offset
        ));
    }
    for damage in &recovery.damage {
        let place = place(damage);
        match (damage.records_lost, damage.may_be_unfinished) {
            (0, _) => {
                found.repaired += 1;
                found.notes.push(format!("{place}; nothing is lost"));
            }
            (lost, true) => {
                found.lost += lost;
                found.notes.push(format!(
                    "{place}; it is the last that was written, {lost} facts, of which nobody was told \
                     if the process or the power went meanwhile"
                ));
            }
            // The store remembers these, see `losses`.
            (_, false) => {}
        }
    }
    found.notes.truncate(NOTES_MAX);
    found
}

fn place(damage: &Damage) -> String {
    format!(
        "log/{:020}.log can not be read from byte {} on for {} bytes",
        damage.segment.0, damage.offset, damage.bytes
    )
}

/// What the log has lost, for the store to remember when the log is cut: how many facts, and where.
///
/// Whose facts they were is a guess, as what names the owner is not certain where the record is
/// damaged. So it is told and nobody is refused anything for it.
pub(crate) fn losses(recovery: &Recovery) -> Vec<(u64, String)> {
    let lost = recovery.damage.iter();
    let lost = lost.filter(|one| one.records_lost > 0 && !one.may_be_unfinished);
    let mut losses: Vec<(u64, String)> = lost
        .map(|damage| {
            let facts = match damage.records_lost {
                1 => "1 fact is lost".to_owned(),
                many => format!("{many} facts are lost"),
            };
            let place = place(damage);
            let readings = readings(&damage.remains, damage.records_lost);
            let text = if readings.is_empty() {
                format!("{place}; {facts}, and nothing there says whose")
            } else {
                let readings = readings.join(", ");
                format!("{place}; {facts}; what is left reads like {readings}")
            };
            (damage.records_lost, text)
        })
        .collect();
    let listed: u64 = recovery.damage.iter().map(|one| one.records_lost).sum();
    let more = recovery.records_lost.saturating_sub(listed);
    if more > 0 {
        losses.push((more, format!("{more} more facts of the log are lost")));
    }
    losses
}

/// Records of a damaged stretch of which is told what they read like.
const READINGS_MAX: u64 = 10;

/// Bytes of the length and the check before a record of the log.
const RECORD_HEADER_BYTES: usize = 8;

/// What records of a damaged stretch read like, as far as one leads to the next.
fn readings(remains: &[u8], records_lost: u64) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = remains;
    for _ in 0..records_lost.min(READINGS_MAX) {
        let Some((header, behind)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() else {
            break;
        };
        if let Ok(key) = decode_key(behind)
            && key.check().is_ok()
            && let Ok(row) = Damaged::of_key(&key)
        {
            let (app, kind, name) = (row.app(), row.owner_kind(), row.owner_name());
            found.push(format!("{kind} {name} of app {app} ({})", row.row));
        }
        let [a, b, c, d, ..] = *header;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        rest = behind.get(length..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use kidoku_core::clock::Clock;
    use kidoku_core::fact::{Fact, codec};
    use kidoku_core::id::{App, UserKey};
    use kidoku_log::Lsn;

    fn record(user: &str) -> Vec<u8> {
        let user = UserKey::new(&App::new("chat").unwrap(), user).unwrap();
        let clock = Clock(9);
        let mut payload = Vec::new();
        codec::encode(&Fact::UserErased { user, clock }, &mut payload);
        let mut bytes = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend_from_slice(b"????");
        bytes.extend_from_slice(&payload);
        bytes
    }

    fn told(remains: &[u8], records_lost: u64) -> String {
        let damage = Damage {
            segment: Lsn(1),
            offset: 77,
            bytes: 10,
            records_lost,
            may_be_unfinished: false,
            remains: remains.to_vec(),
        };
        let recovery = Recovery {
            records_lost: records_lost + 5,
            damage: vec![damage],
            ..Recovery::default()
        };
        let losses = losses(&recovery);
        assert_eq!(losses[0].0, records_lost);
        assert_eq!(
            losses[1],
            (5, "5 more facts of the log are lost".to_owned())
        );
        losses[0].1.clone()
    }

    #[test]
    fn what_may_never_have_been_acknowledged_is_told_once_and_not_remembered() {
        let damage = Damage {
            segment: Lsn(1),
            offset: 77,
            bytes: 10,
            records_lost: 2,
            may_be_unfinished: true,
            remains: Vec::new(),
        };
        let recovery = Recovery {
            records_lost: 2,
            damage: vec![damage],
            ..Recovery::default()
        };
        assert_eq!(losses(&recovery), []);
        let found = of_log(&recovery);
        assert_eq!((found.lost, found.notes.len()), (2, 1));
    }

    #[test]
    fn a_lost_record_is_told_with_what_its_bytes_read_like() {
        let two = [record("ann"), record("bob")].concat();
        let text = told(&two, 2);
        let due = "user ann of app chat (mark of the last erasure), user bob of app chat";
        assert!(
            text.contains("2 facts are lost") && text.contains(due),
            "{text}"
        );
        // One that is whole in its head leads to no other when its length is gone.
        let mut broken = two;
        broken[2] = 0xff;
        assert!(!told(&broken, 2).contains("bob"));
        assert!(told(&[0; 100], 1).contains("nothing there says whose"));
        assert!(told(&[], 1).contains("byte 77"));
    }
}
