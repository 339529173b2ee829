use super::*;
use crate::fake_disk::{FakeDisk, Faults, Random};
use crate::tests::{Records, read, records};
use crate::{Durability, Log, LogOptions, RECORD_BYTES_MAX};
use proptest::prelude::*;
use std::sync::mpsc;
use std::time::Instant;

/// What a sink was told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Durable(u64),
    Batch {
        first: u64,
        last: u64,
        state: BatchState,
    },
    Marker(u32),
    Failed {
        first: u64,
        last: u64,
    },
    Recovered,
}

#[derive(Default)]
struct Seen {
    events: Vec<Event>,
    records: Records,
}

#[derive(Clone, Default)]
struct TestSink {
    seen: Arc<Mutex<Seen>>,
    told: Option<mpsc::Sender<Event>>,
}

impl TestSink {
    fn add(&self, event: Event) {
        if let Some(told) = &self.told {
            drop(told.send(event.clone()));
        }
        self.seen.lock().unwrap().events.push(event);
    }

    fn events(&self) -> Vec<Event> {
        self.seen.lock().unwrap().events.clone()
    }

    fn records(&self) -> Records {
        self.seen.lock().unwrap().records.clone()
    }
}

impl Sink<u32> for TestSink {
    fn durable(&mut self, up_to: Lsn) {
        self.add(Event::Durable(up_to.0));
    }

    fn batch(&mut self, batch: Arc<Batch>, state: BatchState) {
        let mut rest = batch.bytes.as_slice();
        let mut lsn = batch.first.0;
        while !rest.is_empty() {
            let record = crate::format::split_record(&mut rest).unwrap();
            self.seen
                .lock()
                .unwrap()
                .records
                .push((lsn, record[4..].to_vec()));
            lsn += 1;
        }
        assert_eq!(lsn, batch.first.plus(batch.count.into()).0);
        self.add(Event::Batch {
            first: batch.first.0,
            last: batch.last.0,
            state,
        });
    }

    fn marker(&mut self, marker: u32) {
        self.add(Event::Marker(marker));
    }

    fn failed(&mut self, first: Lsn, last: Lsn, _error: &io::Error) {
        self.add(Event::Failed {
            first: first.0,
            last: last.0,
        });
    }

    fn recovered(&mut self) {
        self.add(Event::Recovered);
    }
}

const QUICK: QueueOptions = QueueOptions {
    queue_bytes_max: 1_000,
    retry_pause: Duration::from_millis(1),
};

type TestCommitter = Committer<FakeDisk, u32, TestSink>;

fn queue(disk: &FakeDisk, durability: Durability) -> (Appender<u32>, TestCommitter, TestSink) {
    let options = LogOptions {
        durability,
        ..LogOptions::default()
    };
    let (log, _) = Log::open(disk.clone(), options, |_, _, _| {}).unwrap();
    let sink = TestSink::default();
    let (appender, committer) = Committer::new(log, QUICK, || 7, sink.clone());
    (appender, committer, sink)
}

fn durable_batch(first: u64, last: u64) -> Event {
    Event::Batch {
        first,
        last,
        state: BatchState::Durable,
    }
}

fn waiting_batch(first: u64, last: u64) -> Event {
    Event::Batch {
        first,
        last,
        state: BatchState::Waiting,
    }
}

#[test]
fn what_is_queued_is_one_group_and_markers_keep_their_place() {
    let disk = FakeDisk::new(1);
    let (appender, mut committer, sink) = queue(&disk, Durability::Sync);
    assert!(!committer.turn());
    appender.mark(1).unwrap();
    assert_eq!(appender.append(&records(&["a", "b"]), 2), Ok(Lsn(2)));
    assert_eq!(appender.append(&records(&["c"]), 1), Ok(Lsn(3)));
    appender.mark(2).unwrap();
    assert_eq!(appender.append(&records(&["d"]), 1), Ok(Lsn(4)));
    assert_eq!(
        (appender.durable(), appender.queued_bytes()),
        (Lsn::NONE, 20)
    );
    assert!(committer.turn());
    let expected = [
        Event::Durable(4),
        Event::Marker(1),
        durable_batch(1, 3),
        Event::Marker(2),
        durable_batch(4, 4),
    ];
    assert_eq!(sink.events(), expected);
    assert_eq!((appender.durable(), appender.queued_bytes()), (Lsn(4), 0));
    assert_eq!(appender.stats().groups, 1);
    // The segment's header and one frame; one sync.
    assert_eq!(disk.calls(), (2, 1));
    disk.power_cut();
    let (recovery, found) = read(&disk);
    assert_eq!(found, sink.records());
    assert_eq!(recovery.clock_max, 7);
}

#[test]
fn a_long_queue_is_committed_in_groups_of_a_bounded_size() {
    let disk = FakeDisk::new(1);
    let (appender, mut committer, sink) = queue(&disk, Durability::Sync);
    let record = vec![1; RECORD_BYTES_MAX];
    for _ in 0..20 {
        appender.append_admitted(&records(&[&record]), 1).unwrap();
    }
    committer.turn();
    assert_eq!(appender.stats().groups, 3);
    assert_eq!(sink.records().len(), 20);
    assert_eq!(read(&disk).1, sink.records());
}

#[test]
fn a_failing_disk_holds_back_durability_but_not_batches_and_markers() {
    for fault in [
        Faults {
            append: 1_000,
            ..Faults::NEVER
        },
        Faults {
            sync: 1_000,
            ..Faults::NEVER
        },
        Faults::ALWAYS,
    ] {
        let disk = FakeDisk::new(4);
        let (appender, mut committer, sink) = queue(&disk, Durability::Sync);
        appender.append(&records(&["a"]), 1).unwrap();
        committer.turn();
        disk.set_faults(fault);
        appender.append(&records(&["b", "c"]), 2).unwrap();
        appender.mark(1).unwrap();
        committer.turn();
        committer.retry();
        appender.append(&records(&["d"]), 1).unwrap();
        appender.mark(2).unwrap();
        committer.turn();
        committer.retry();
        assert!(committer.is_failing());
        assert_eq!((appender.durable(), appender.queued_bytes()), (Lsn(1), 15));
        disk.set_faults(Faults::NEVER);
        committer.retry();
        assert!(!committer.is_failing());
        appender.append(&records(&["e"]), 1).unwrap();
        committer.turn();
        let expected = [
            Event::Durable(1),
            durable_batch(1, 1),
            Event::Failed { first: 2, last: 3 },
            waiting_batch(2, 3),
            Event::Marker(1),
            waiting_batch(4, 4),
            Event::Marker(2),
            Event::Durable(4),
            Event::Recovered,
            Event::Durable(5),
            durable_batch(5, 5),
        ];
        assert_eq!(sink.events(), expected);
        assert_eq!((appender.stats().failures, appender.queued_bytes()), (3, 0));
        disk.power_cut();
        let (recovery, found) = read(&disk);
        assert_eq!(found, sink.records());
        assert_eq!((recovery.damage_count, recovery.torn), (0, None));
    }
}

#[test]
fn a_full_queue_refuses_records_and_takes_admitted_ones() {
    let disk = FakeDisk::new(1);
    let (appender, mut committer, _) = queue(&disk, Durability::Sync);
    let half = records(&[vec![1; 496]]);
    appender.append(&half, 1).unwrap();
    appender.append(&half, 1).unwrap();
    assert!(appender.has_room());
    appender.append(&records(&["x"]), 1).unwrap();
    assert!(!appender.has_room());
    assert_eq!(
        appender.append(&half, 1),
        Err(QueueError::Full { bytes_max: 1_000 })
    );
    assert_eq!(appender.append_admitted(&half, 1), Ok(Lsn(4)));
    appender.mark(1).unwrap();
    committer.turn();
    assert_eq!(appender.append(&half, 1), Ok(Lsn(5)));
}

#[test]
fn records_that_are_not_well_formed_are_refused_at_the_door() {
    let disk = FakeDisk::new(1);
    let (appender, mut committer, sink) = queue(&disk, Durability::Sync);
    let check = |bytes: &[u8], count, error| {
        assert_eq!(appender.append(bytes, count), Err(QueueError::Group(error)));
    };
    check(&[], 0, GroupError::Empty);
    check(&[9, 0, 0, 0, 1], 1, GroupError::CutShort);
    check(&[0, 0, 0, 0], 1, GroupError::RecordLength(0));
    check(
        &records(&["a", "b"]),
        3,
        GroupError::Count { said: 3, found: 2 },
    );
    assert!(!committer.turn());
    appender.append(&records(&["a"]), 1).unwrap();
    committer.turn();
    assert_eq!(sink.records(), [(1, b"a".to_vec())]);
}

#[test]
fn memory_durability_syncs_only_at_a_clean_stop() {
    let disk = FakeDisk::new(1);
    let (appender, mut committer, sink) = queue(&disk, Durability::Memory);
    appender.append(&records(&["a"]), 1).unwrap();
    committer.turn();
    assert_eq!(sink.events(), [Event::Durable(1), durable_batch(1, 1)]);
    assert_eq!(disk.calls().1, 0);
    appender.append(&records(&["b"]), 1).unwrap();
    committer.finish().unwrap();
    assert_eq!(disk.calls().1, 1);
    assert_eq!(read(&disk).1, sink.records());
}

#[test]
fn many_threads_append_and_everything_is_durable_in_queue_order() {
    const THREADS: usize = 4;
    const GROUPS: usize = 300;
    let disk = FakeDisk::new(1);
    let (appender, committer, sink) = queue(&disk, Durability::Sync);
    let writer = Writer::start(committer, || ()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let appender = appender.clone();
            scope.spawn(move || {
                for group in 0..GROUPS {
                    let pair = [format!("{thread} {group} a"), format!("{thread} {group} b")];
                    appender.append_admitted(&records(&pair), 2).unwrap();
                    if group % 10 == 0 {
                        appender
                            .mark(u32::try_from(thread * GROUPS + group).unwrap())
                            .unwrap();
                    }
                }
            });
        }
    });
    writer.close().unwrap();
    assert_eq!(
        appender.append(&records(&["late"]), 1),
        Err(QueueError::Closed)
    );
    assert_eq!(appender.mark(9), Err(9));
    disk.power_cut();
    let (recovery, found) = read(&disk);
    assert_eq!(found, sink.records());
    assert_eq!(found.len(), THREADS * GROUPS * 2);
    assert_eq!(appender.durable(), recovery.last);
    let texts: Vec<&str> = found
        .iter()
        .map(|(_, bytes)| std::str::from_utf8(bytes).unwrap())
        .collect();
    for thread in 0..THREADS {
        let own: Vec<&&str> = texts
            .iter()
            .filter(|text| text.starts_with(&format!("{thread} ")))
            .collect();
        let expected: Vec<String> = (0..GROUPS)
            .flat_map(|group| ["a", "b"].map(|end| format!("{thread} {group} {end}")))
            .collect();
        assert!(
            own.iter()
                .zip(&expected)
                .all(|(own, expected)| **own == expected)
        );
    }
    for pair in texts.chunks(2) {
        assert_eq!(
            pair[0].strip_suffix('a'),
            pair[1].strip_suffix('b'),
            "a group is contiguous"
        );
    }
    let markers = sink
        .events()
        .iter()
        .filter(|event| matches!(event, Event::Marker(_)))
        .count();
    assert_eq!(markers, THREADS * GROUPS / 10);
}

#[test]
fn the_writer_goes_on_by_itself_when_the_disk_works_again() {
    let disk = FakeDisk::new(1);
    let (log, _) = Log::open(disk.clone(), LogOptions::default(), |_, _, _| {}).unwrap();
    let (told, events) = mpsc::channel();
    let sink = TestSink {
        told: Some(told),
        ..TestSink::default()
    };
    let (appender, committer) = Committer::new(log, QUICK, || 1, sink.clone());
    disk.set_faults(Faults::ALWAYS);
    let writer = Writer::start(committer, || ()).unwrap();
    let wait = |wanted: &Event| {
        let patience = Instant::now() + Duration::from_secs(30);
        while events.recv_timeout(patience - Instant::now()).unwrap() != *wanted {}
    };
    appender.append(&records(&["a"]), 1).unwrap();
    wait(&waiting_batch(1, 1));
    appender.append(&records(&["b"]), 1).unwrap();
    wait(&waiting_batch(2, 2));
    assert_eq!(appender.durable(), Lsn::NONE);
    disk.set_faults(Faults::NEVER);
    wait(&Event::Durable(2));
    wait(&Event::Recovered);
    writer.close().unwrap();
    disk.power_cut();
    assert_eq!(read(&disk).1, sink.records());
}

#[test]
fn closing_on_a_failing_disk_says_so() {
    let disk = FakeDisk::new(1);
    let (appender, committer, _) = queue(&disk, Durability::Sync);
    disk.set_faults(Faults::ALWAYS);
    let writer = Writer::start(committer, || ()).unwrap();
    appender.append(&records(&["a"]), 1).unwrap();
    assert_eq!(
        writer.close().unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    assert_eq!(
        appender.append(&records(&["b"]), 1),
        Err(QueueError::Closed)
    );
}

#[test]
fn dropping_the_writer_closes_the_log() {
    let disk = FakeDisk::new(1);
    let (appender, committer, sink) = queue(&disk, Durability::Sync);
    let writer = Writer::start(committer, || ()).unwrap();
    appender.append(&records(&["a"]), 1).unwrap();
    drop(writer);
    assert_eq!(
        appender.append(&records(&["b"]), 1),
        Err(QueueError::Closed)
    );
    assert_eq!(read(&disk).1, sink.records());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Whatever fails and whenever the power goes: what was called durable is on the disk, under
    /// the lsn and in the order of the queue, and nothing else is.
    #[test]
    fn durable_means_on_the_disk(
        seed in 1_u64..,
        append in prop::sample::select(vec![0, 50, 300]),
        sync in prop::sample::select(vec![0, 50, 300]),
        create in prop::sample::select(vec![0, 300]),
        spoil in prop::sample::select(vec![0, 500]),
        segment_bytes_max in prop::sample::select(vec![1_u64, 500, 1 << 20]),
    ) {
        let disk = FakeDisk::new(seed);
        let mut random = Random(seed);
        let options = LogOptions { segment_bytes_max, durability: Durability::Sync };
        let mut recovered = Records::new();
        let mut next = Lsn(1);
        for _life in 0..4 {
            let (log, _) = Log::open(disk.clone(), options, |_, _, _| {}).unwrap();
            prop_assert_eq!(log.next(), next);
            let sink = TestSink::default();
            let (appender, mut committer) = Committer::new(log, QUICK, || 1, sink.clone());
            disk.set_faults(Faults { append, sync, create, spoil });
            for step in 0..60_u32 {
                match random.below(8) {
                    0..=3 => {
                        let payloads: Vec<String> = (0..=random.below(4))
                            .map(|_| format!("{step} {}", random.next()))
                            .collect();
                        let count = u32::try_from(payloads.len()).unwrap();
                        match appender.append(&records(&payloads), count) {
                            Ok(_) | Err(QueueError::Full { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                    4 => appender.mark(step).unwrap(),
                    5..=6 => drop(committer.turn()),
                    _ => committer.retry(),
                }
            }
            let events = sink.events();
            let told = events.iter().rev().find_map(|event| match event {
                Event::Durable(lsn) => Some(*lsn),
                _ => None,
            });
            prop_assert!(told.is_none_or(|lsn| lsn == appender.durable().0));
            let durable = appender.durable().0;
            drop(committer);
            disk.power_cut();
            let (recovery, found) = read(&disk);
            prop_assert_eq!(&found[..recovered.len()], &recovered[..]);
            let new = &found[recovered.len()..];
            let sent = sink.records();
            let certain = sent.iter().filter(|record| record.0 <= durable).count();
            prop_assert_eq!(&new[..certain], &sent[..certain]);
            // What nobody was told about may be there too; spoiled, not all in a row.
            prop_assert!(new.iter().all(|record| sent.contains(record)));
            prop_assert!(spoil > 0 || *new == sent[..new.len()]);
            prop_assert!(spoil > 0 || recovery.damage_count == 0);
            recovered = found;
            next = recovery.last.next();
        }
    }
}
