//! The generator against servers of the test's own, which answer as they are told.

use super::*;
use crate::wire::command;
use std::io::{Read, Write};
use std::net::TcpListener;

/// Numbers without end, each answered by its successor.
struct Numbers(u64);

impl Work for Numbers {
    fn greeting(&self) -> Vec<(Vec<u8>, &'static [u8])> {
        vec![(b"*1\r\n$5\r\nhello\r\n".to_vec(), b"+hello")]
    }

    fn next(&mut self, out: &mut Vec<u8>) -> u64 {
        self.0 += 1;
        out.extend_from_slice(format!(":{}\r\n", self.0).as_bytes());
        self.0
    }

    fn is_right(&mut self, request: u64, reply: &[u8]) -> bool {
        reply == format!(":{}\r\n", request + 1).as_bytes()
    }
}

/// A server that answers each line with a number by its successor, after `before` has been called with
/// how many it has answered.
fn server(before: impl Fn(u64) + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let before = before.clone();
            thread::spawn(move || {
                let mut text = String::new();
                let mut piece = [0; 4_096];
                let mut answered = 0;
                while let Ok(count) = stream.read(&mut piece) {
                    if count == 0 {
                        return;
                    }
                    text.push_str(std::str::from_utf8(piece.get(..count).unwrap()).unwrap());
                    while let Some((line, rest)) = text.split_once("\r\n") {
                        let number = line.strip_prefix(':').and_then(|n| n.parse::<u64>().ok());
                        let answer = match number {
                            Some(number) => {
                                before(answered);
                                answered += 1;
                                format!(":{}\r\n", number + 1)
                            }
                            None if line == "hello" => "+hello\r\n".to_owned(),
                            None => String::new(),
                        };
                        text = rest.to_owned();
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

fn plan(connections: usize, pipeline: usize, pace: Pace) -> Plan {
    Plan {
        title: "",
        connections,
        pipeline,
        pace,
        warm_up: Duration::from_millis(50),
        duration: Duration::from_millis(400),
    }
}

fn numbers(threads: usize) -> Vec<Box<dyn Work>> {
    (0..threads)
        .map(|_| -> Box<dyn Work> { Box::new(Numbers(0)) })
        .collect()
}

fn run_on(address: SocketAddr, plan: &Plan, threads: usize) -> Result<Run<()>, String> {
    run(
        address,
        plan,
        &mut numbers(threads),
        (&Cpus::default(), &Stop::default()),
        || (),
    )
}

#[test]
fn a_closed_loop_counts_the_answers_of_the_measured_time() {
    let address = server(|_| thread::sleep(Duration::from_millis(1)));
    for threads in [1, 2] {
        let found = run_on(address, &plan(4, 3, Pace::Closed), threads).unwrap();
        let counted = found.outcome.latencies.total.len();
        let between = found.end.answered - found.begin.answered;
        assert!(counted > 20, "{counted}");
        assert!(found.outcome.answered > counted, "none of the warm-up");
        // The ends are probed by another thread, so they are not the same to a request.
        assert!(
            counted.abs_diff(between) < counted / 2,
            "{counted} {between}"
        );
        // Three at once, a millisecond each, one after the other.
        let p50 = percentile(&found.outcome.latencies.total, 50.0);
        assert!(p50 > 2_000_000, "{p50}");
    }
}

#[test]
fn an_open_loop_sends_as_many_as_are_due() {
    let address = server(|_| ());
    let pace = Pace::Open { per_second: 2_000 };
    for threads in [1, 2] {
        let found = run_on(address, &plan(4, 8, pace), threads).unwrap();
        assert_eq!(found.outcome.latencies.total.len(), 800);
        // Those that found their connection full were late for that reason.
        assert!((1..=800).contains(&found.outcome.lateness.len()));
        assert_eq!(found.outcome.answered, 900);
    }
}

#[test]
fn a_stall_costs_all_that_came_due_in_it() {
    // One stall of 200 ms in the middle: at 1,000 a second some 200 requests come due in it.
    let address = server(|answered| {
        if answered == 200 {
            thread::sleep(Duration::from_millis(200));
        }
    });
    let found = run_on(address, &plan(1, 8, Pace::Open { per_second: 1_000 }), 1).unwrap();
    let total = &found.outcome.latencies.total;
    assert_eq!(total.len(), 400);
    let late = total.count_between(20_000_000, u64::MAX);
    assert!((150..=250).contains(&late), "{late}");
    assert!(total.max() > 180_000_000, "{}", total.max());
}

#[test]
fn a_wrong_answer_ends_the_run_with_what_was_said() {
    struct Wrong;
    impl Work for Wrong {
        fn next(&mut self, out: &mut Vec<u8>) -> u64 {
            out.extend_from_slice(&command(&[":7"]));
            0
        }
        fn is_right(&mut self, _: u64, reply: &[u8]) -> bool {
            reply == b":9\r\n"
        }
    }
    let address = server(|_| ());
    let mut works: Vec<Box<dyn Work>> = vec![Box::new(Wrong)];
    let begun = Instant::now();
    let plan = Plan {
        duration: Duration::from_secs(60),
        ..plan(1, 1, Pace::Closed)
    };
    let why = run(
        address,
        &plan,
        &mut works,
        (&Cpus::default(), &Stop::default()),
        || (),
    )
    .unwrap_err();
    assert_eq!(why, "a wrong answer: :8\\r\\n");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_server_that_hangs_up_is_no_measurement() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut piece = [0; 64];
        assert!(stream.read(&mut piece).unwrap() > 0);
        stream.write_all(b"+hello\r\n").unwrap();
        assert!(stream.read(&mut piece).unwrap() > 0);
    });
    let why = run_on(address, &plan(1, 1, Pace::Closed), 1).unwrap_err();
    assert!(
        why.contains("closed a connection") || why.contains("broke"),
        "{why}"
    );
}
