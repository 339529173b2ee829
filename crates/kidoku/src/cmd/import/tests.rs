use super::resume::{Place, State};
use super::source::{Item, Source};
use crate::cmd::scratch::Scratch;
use flate2::Compression;
use flate2::write::GzEncoder;
use kidoku_core::limits::EVENT_LINE_BYTES_MAX;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;

/// What a reader hands over: its lines with their numbers, the numbers of lines too long, the number
/// of the last line, and why it ended early.
#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    lines: Vec<(u64, String)>,
    too_long: Vec<u64>,
    last_line: u64,
    broken: Option<String>,
    chunks: usize,
}

fn read(path: &Path, after: u64) -> Taken {
    read_from(
        path,
        State {
            line: after,
            ..State::default()
        },
    )
}

fn read_from(path: &Path, state: State) -> Taken {
    let source = Source::open(path, Arc::new(AtomicU64::new(0))).unwrap();
    let (to, items) = sync_channel(10_000);
    source.read_all(state, &to);
    drop(to);
    let mut taken = Taken::default();
    for item in items {
        match item {
            Item::Broken(error) => taken.broken = Some(error.text),
            Item::Chunk(chunk) => {
                assert_eq!(taken.broken, None);
                let mut start = 0;
                for mark in &chunk.marks {
                    let line = std::str::from_utf8(&chunk.body[start..mark.end]).unwrap();
                    taken
                        .lines
                        .push((mark.line, line.strip_suffix('\n').unwrap().to_owned()));
                    start = mark.end;
                }
                assert_eq!(start, chunk.body.len());
                taken.too_long.extend(chunk.too_long);
                taken.last_line = chunk.last_line;
                taken.chunks += 1;
            }
        }
    }
    taken
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

fn many_lines(count: usize) -> String {
    (1..=count)
        .map(|number| format!("{{\"op\":\"x\",\"n\":{number}}}\n"))
        .collect()
}

#[test]
fn plain_gzip_and_zstd_are_told_apart_by_their_first_bytes() {
    let scratch = Scratch::new();
    let text = many_lines(10_000);
    let plain = read(&scratch.write("a.gz", text.as_bytes()), 0);
    let gzip = read(&scratch.write("b.jsonl", &gzip(text.as_bytes())), 0);
    let zstd = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let zstd = read(&scratch.write("c", &zstd), 0);
    assert_eq!(plain.lines.len(), 10_000);
    assert_eq!(
        plain.lines[9_999],
        (10_000, "{\"op\":\"x\",\"n\":10000}".to_owned())
    );
    assert_eq!(
        (plain.chunks, plain.last_line, &plain.broken),
        (3, 10_000, &None)
    );
    assert_eq!(plain, gzip);
    assert_eq!(plain, zstd);
}

#[test]
fn packed_files_set_end_to_end_are_read_whole() {
    let scratch = Scratch::new();
    let mut bytes = gzip(b"{\"a\":1}\n");
    bytes.extend(gzip(b"{\"a\":2}\n"));
    assert_eq!(read(&scratch.write("a", &bytes), 0).lines.len(), 2);
    let mut bytes = zstd::encode_all(&b"{\"a\":1}\n"[..], 1).unwrap();
    bytes.extend(zstd::encode_all(&b"{\"a\":2}\n"[..], 1).unwrap());
    assert_eq!(read(&scratch.write("b", &bytes), 0).lines.len(), 2);
}

#[test]
fn all_whole_lines_before_the_cut_of_a_packed_file_are_read_and_then_the_cut_is_told() {
    let scratch = Scratch::new();
    // Numbers that do not repeat pack badly, so that half of the bytes hold about half of the lines.
    let text: String = (1..=20_000_u64)
        .map(|n| format!("{:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let packed = [
        ("gzip", gzip(text.as_bytes())),
        ("zstd", zstd::encode_all(text.as_bytes(), 1).unwrap()),
    ];
    for (name, bytes) in packed {
        let taken = read(&scratch.write(name, &bytes[..bytes.len() / 2]), 0);
        let broken = taken.broken.unwrap();
        assert!(
            broken.contains("the compressed file is cut off"),
            "{name}: {broken}"
        );
        assert!(
            broken.contains(&format!("after line {}", taken.last_line)),
            "{name}: {broken}"
        );
        assert!(
            taken.lines.len() > 1_000,
            "{name}: {} lines",
            taken.lines.len()
        );
        for ((number, line), whole) in taken.lines.iter().zip(text.lines()) {
            assert_eq!(line, whole, "{name}: line {number}");
        }
    }
}

#[test]
fn a_packed_file_cut_at_any_byte_never_gives_half_a_line() {
    let scratch = Scratch::new();
    let text = "{\"a\":1}\n{\"b\":22}\n";
    for bytes in [
        gzip(text.as_bytes()),
        zstd::encode_all(text.as_bytes(), 1).unwrap(),
    ] {
        for cut in 5..bytes.len() {
            let taken = read(&scratch.write("cut", &bytes[..cut]), 0);
            assert!(taken.broken.is_some(), "cut at {cut}");
            for (_, line) in &taken.lines {
                assert!(
                    text.lines().any(|whole| whole == line),
                    "cut at {cut}: {line}"
                );
            }
        }
    }
}

#[test]
fn a_damaged_packed_file_is_told() {
    let scratch = Scratch::new();
    let mut bytes = gzip(many_lines(1_000).as_bytes());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    assert!(read(&scratch.write("a", &bytes), 0).broken.is_some());
}

#[test]
fn blank_lines_are_left_out_and_still_counted() {
    let scratch = Scratch::new();
    let taken = read(&scratch.write("a", b"\n{}\r\n  \n{\"b\":1}"), 0);
    assert_eq!(
        taken.lines,
        vec![(2, "{}".to_owned()), (4, "{\"b\":1}".to_owned())]
    );
    assert_eq!(read(&scratch.write("empty", b""), 0), Taken::default());
}

#[test]
fn a_line_at_the_limit_is_sent_and_one_past_it_is_refused_here() {
    let scratch = Scratch::new();
    let mut text = "x".repeat(EVENT_LINE_BYTES_MAX);
    text.push('\n');
    text.push_str(&"y".repeat(EVENT_LINE_BYTES_MAX + 1));
    text.push_str("\nz\n");
    let taken = read(&scratch.write("a", text.as_bytes()), 0);
    let numbers: Vec<u64> = taken.lines.iter().map(|(number, _)| *number).collect();
    assert_eq!((numbers, taken.too_long), (vec![1, 3], vec![2]));
}

#[test]
fn reading_goes_on_after_a_line_with_the_numbers_of_the_file() {
    let scratch = Scratch::new();
    let path = scratch.write("a", gzip(many_lines(5_000).as_bytes()).as_slice());
    let taken = read(&path, 4_998);
    let numbers: Vec<u64> = taken.lines.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, vec![4_999, 5_000]);
    assert_eq!(read(&path, 5_000).chunks, 0);
}

#[test]
fn only_what_may_come_twice_after_an_interruption_says_the_tail_as_an_id() {
    let scratch = Scratch::new();
    let message = "{\"op\":\"message\",\"channel\":\"c\",\"id\":\"7\"}\n";
    let join = "{\"op\":\"join\",\"channel\":\"c\",\"user\":\"a\"}\n";
    let text = format!("{message}{}", join.repeat(10_000));
    let path = scratch.write("a", text.as_bytes());
    let pinned = |state| {
        let taken = read_from(&path, state);
        taken
            .lines
            .iter()
            .filter(|(_, line)| line.contains("\"at\":\"7\""))
            .count()
    };
    assert_eq!(pinned(State::default()), 0);
    assert_eq!(
        pinned(State {
            line: 1,
            resumed: true,
            ..State::default()
        }),
        8_192
    );
    assert_eq!(
        pinned(State {
            line: 0,
            resumed: true,
            ..State::default()
        }),
        8_191
    );
}

#[test]
fn the_bytes_read_of_a_packed_file_are_those_on_disk() {
    let scratch = Scratch::new();
    let bytes = gzip(many_lines(5_000).as_bytes());
    let path = scratch.write("a", &bytes);
    let count = Arc::new(AtomicU64::new(0));
    let source = Source::open(&path, Arc::clone(&count)).unwrap();
    let expected = u64::try_from(bytes.len()).unwrap();
    assert_eq!(source.file_bytes(), Some(expected));
    let (to, _items) = sync_channel(100);
    source.read_all(State::default(), &to);
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), expected);
}

#[test]
fn a_missing_file_or_a_directory_is_named() {
    let scratch = Scratch::new();
    let open = |path: &Path| Source::open(path, Arc::default()).err().unwrap().text;
    assert!(open(&scratch.path().join("none")).contains("none"));
    assert!(open(scratch.path()).contains("is a directory"));
}

fn state(line: u64) -> State {
    State {
        line,
        failed: 3,
        shown: 9,
        resumed: false,
    }
}

#[test]
fn an_interrupted_import_goes_on_and_a_restart_or_the_end_begins_again() {
    let scratch = Scratch::new();
    let file = scratch.write("a.jsonl", b"{}\n");
    let place = || Place::of(scratch.path(), &file, "http://x default").unwrap();
    assert_eq!(place().begin(false), State::default());
    place().save(&state(4_096));
    assert_eq!(
        place().begin(false),
        State {
            shown: 0,
            resumed: true,
            ..state(4_096)
        }
    );
    assert_eq!(place().begin(true), State::default());
    assert_eq!(place().begin(false), State::default());
    place().save(&state(8_192));
    place().forget();
    assert_eq!(place().begin(false), State::default());
}

#[test]
fn the_state_is_of_one_file_as_it_was_one_server_and_one_app() {
    let scratch = Scratch::new();
    let file = scratch.write("a.jsonl", b"{}\n");
    let place = |target| Place::of(scratch.path(), &file, target).unwrap();
    place("http://x default").save(&state(7));
    assert_eq!(place("http://x mail").begin(false).line, 0);
    assert_eq!(place("http://x default").begin(false).line, 7);
    scratch.write("a.jsonl", b"{}\n{}\n");
    assert_eq!(place("http://x default").begin(false).line, 0);
}

#[test]
fn a_damaged_state_begins_again() {
    let scratch = Scratch::new();
    let file = scratch.write("a.jsonl", b"{}\n");
    let place = Place::of(scratch.path(), &file, "x").unwrap();
    place.save(&state(7));
    let imports = scratch.path().join("imports");
    let stored = fs::read_dir(&imports)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let text = fs::read(&stored).unwrap();
    for cut in 0..text.len() {
        fs::write(&stored, &text[..cut]).unwrap();
        assert_eq!(place.begin(false).line, 0, "cut at {cut}");
    }
}

mod sending {
    //! Against a server that answers what the test says.

    use super::super::progress::Progress;
    use super::super::resume::{Place, State};
    use super::super::sender::{Sender, Tally};
    use super::super::source::{Chunk, Mark};
    use crate::cmd::client::{Client, Target, Trust};
    use crate::cmd::error::{CmdError, INTERNAL, IO, UNAVAILABLE};
    use crate::cmd::scratch::Scratch;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::{Receiver, Sender as ToTest, channel};
    use std::thread;

    /// Answers each request with the next of the answers and says which body it had.
    fn serve(answers: Vec<(u16, String)>) -> (String, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (bodies, seen) = channel();
        thread::spawn(move || {
            for (status, answer) in answers {
                let (stream, _) = listener.accept().unwrap();
                answer_one(stream, status, &answer, &bodies);
            }
        });
        (url, seen)
    }

    fn answer_one(stream: TcpStream, status: u16, answer: &str, bodies: &ToTest<String>) {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        bodies.send(String::from_utf8(body).unwrap()).unwrap();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            answer.len()
        );
        reader
            .get_mut()
            .write_all(format!("{head}{answer}").as_bytes())
            .unwrap();
    }

    /// Lines 11, 12, 14 and 15 of a file; line 13 is blank.
    fn chunk() -> Chunk {
        let mut chunk = Chunk {
            last_line: 15,
            ..Chunk::default()
        };
        for line in [11, 12, 14, 15] {
            chunk.body.extend_from_slice(format!("{line}\n").as_bytes());
            chunk.marks.push(Mark {
                line,
                end: chunk.body.len(),
            });
        }
        chunk
    }

    fn sender(url: String, place: Option<Place>) -> Sender {
        let client = Client::new(Target {
            trust: Trust::default(),
            url,
            key: None,
            app: None,
            by_dir: false,
        })
        .unwrap();
        let progress = Progress::new(None, std::sync::Arc::default());
        Sender::new(client, place, State::default(), progress)
    }

    fn report(applied: u64, failed: u64) -> String {
        let lines = applied + failed;
        format!(
            "{{\"lines\":{lines},\"applied\":{applied},\"changed\":1,\"failed\":{failed},\"errors\":[]}}"
        )
    }

    fn send(answers: Vec<(u16, String)>) -> (Result<(), CmdError>, Tally, u64, Vec<String>) {
        let (url, seen) = serve(answers);
        let mut sender = sender(url, None);
        let ended = sender.send(&chunk());
        let settled = sender.state().line;
        (ended, sender.finish(), settled, seen.try_iter().collect())
    }

    #[test]
    fn a_chunk_is_sent_once_and_its_last_line_is_settled() {
        let (ended, tally, settled, bodies) = send(vec![(200, report(3, 1))]);
        ended.unwrap();
        assert_eq!(
            tally,
            Tally {
                lines: 4,
                applied: 3,
                changed: 1,
                failed: 1
            }
        );
        assert_eq!(settled, 15);
        assert_eq!(bodies, ["11\n12\n14\n15\n"]);
    }

    #[test]
    fn after_busy_only_what_was_not_settled_is_sent_again() {
        let busy = format!(
            "{{\"code\":\"BUSY\",\"detail\":\"x\",\"report\":{}}}",
            report(2, 1)
        );
        let (ended, tally, settled, bodies) = send(vec![(429, busy), (200, report(1, 0))]);
        ended.unwrap();
        assert_eq!(
            tally,
            Tally {
                lines: 4,
                applied: 3,
                changed: 2,
                failed: 1
            }
        );
        assert_eq!(settled, 15);
        assert_eq!(bodies, ["11\n12\n14\n15\n", "15\n"]);
    }

    #[test]
    fn a_refusal_that_does_not_pass_ends_with_what_was_settled() {
        let full = format!(
            "{{\"code\":\"DISKFULL\",\"detail\":\"x\",\"report\":{}}}",
            report(3, 0)
        );
        let (ended, tally, settled, _) = send(vec![(507, full)]);
        let error = ended.unwrap_err();
        assert!(error.text.contains("507 DISKFULL: x"), "{}", error.text);
        assert_eq!((tally.lines, settled), (3, 14));
    }

    #[test]
    fn a_line_that_is_sent_as_two_is_settled_only_with_the_second() {
        let mut chunk = chunk();
        chunk.marks[1].line = 14;
        let full = format!(
            "{{\"code\":\"DISKFULL\",\"detail\":\"x\",\"report\":{}}}",
            report(2, 0)
        );
        let (url, _seen) = serve(vec![(507, full)]);
        let mut sender = sender(url, None);
        assert!(sender.send(&chunk).is_err());
        assert_eq!(sender.state().line, 13);
    }

    #[test]
    fn lines_that_fail_by_the_servers_fault_stop_the_import_and_are_not_settled() {
        let full = "{\"applied\":3,\"failed\":1,\"errors\":[{\"line\":4,\"code\":\"DISKFULL\",\"detail\":\"x\"}]}";
        let (ended, tally, settled, _) = send(vec![(200, full.to_owned())]);
        assert_eq!(ended.unwrap_err().exit_code, IO);
        assert_eq!((tally.failed, settled), (0, 0));
    }

    #[test]
    fn an_answer_that_leaves_lines_out_is_an_error_and_not_a_loss() {
        let (ended, _, settled, _) = send(vec![(200, report(2, 0))]);
        assert_eq!(ended.unwrap_err().exit_code, INTERNAL);
        assert_eq!(settled, 0);
    }

    #[test]
    fn a_server_that_is_gone_is_named_and_the_state_is_kept() {
        let scratch = Scratch::new();
        let file = scratch.write("a.jsonl", b"{}\n");
        let place = || Place::of(scratch.path(), &file, "x").unwrap();
        let (url, _seen) = serve(vec![(200, report(4, 0))]);
        let mut sender = sender(url.clone(), Some(place()));
        sender.send(&chunk()).unwrap();
        let error = sender.send(&chunk()).unwrap_err();
        assert_eq!(error.exit_code, UNAVAILABLE);
        assert!(error.text.contains(&url), "{}", error.text);
        assert!(
            error.text.contains("run the same command again"),
            "{}",
            error.text
        );
        assert_eq!(place().begin(false).line, 15);
    }
}
