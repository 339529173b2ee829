//! What is sent to the servers under measurement.

use super::server::Server;
use crate::program;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;

/// What `redis-benchmark` and the kernel say of one turn.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    /// Requests answered in a second.
    pub(crate) rate: f64,
    /// Microseconds of the server's CPU for one request.
    pub(crate) cpu_us: f64,
    /// Milliseconds within which half and 99 % of the requests were answered.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Sends one command from 50 connections, over 100,000 users.
///
/// # Errors
/// `redis-benchmark` is missing or fails.
pub(crate) fn benchmark(
    server: &Server,
    command: &str,
    requests: u32,
    pipeline: u32,
) -> Result<Turn, String> {
    let (port, count) = (server.port.to_string(), requests.to_string());
    let depth = pipeline.to_string();
    let mut args = vec!["-h", "127.0.0.1", "-p", &port, "-n", &count, "-P", &depth];
    args.extend(["-c", "50", "-r", "100000", "--csv"]);
    args.extend(command.split(' '));
    let before = server.cpu_seconds();
    let text = program::output("redis-benchmark", &args).ok_or("redis-benchmark fails")?;
    let cpu = server.cpu_seconds() - before;
    let cells: Vec<f64> = text
        .lines()
        .last()
        .unwrap_or_default()
        .rsplit("\",\"")
        .filter_map(|cell| cell.trim_matches('"').parse().ok())
        .collect();
    // From the end: max, p99, p95, p50, min, average, rate.
    let [_, p99_ms, _, p50_ms, _, _, rate, ..] = cells.as_slice() else {
        return Err(format!("redis-benchmark says {text:?}"));
    };
    let cpu_us = cpu * 1e6 / f64::from(requests);
    Ok(Turn {
        rate: *rate,
        cpu_us,
        p50_ms: *p50_ms,
        p99_ms: *p99_ms,
    })
}

/// Sends commands down one connection while reading their replies; the number of errors.
///
/// # Errors
/// The connection breaks.
pub(crate) fn pipeline(server: &Server, commands: &[String]) -> Result<usize, String> {
    let stream = TcpStream::connect(("127.0.0.1", server.port)).map_err(|e| e.to_string())?;
    let mut writer = stream.try_clone().map_err(|e| e.to_string())?;
    let mut reader = BufReader::new(stream);
    thread::scope(|scope| {
        let sent = scope.spawn(move || {
            commands
                .iter()
                .try_for_each(|line| writer.write_all(framed(line).as_bytes()))
        });
        let mut errors = 0;
        let mut line = String::new();
        for _ in commands {
            line.clear();
            let got = reader.read_line(&mut line).map_err(|e| e.to_string())?;
            if got == 0 {
                return Err("the server hung up".to_owned());
            }
            errors += usize::from(line.starts_with('-'));
        }
        match sent.join() {
            Ok(Ok(())) => Ok(errors),
            _ => Err("the commands could not be sent".to_owned()),
        }
    })
}

fn framed(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut out = format!("*{}\r\n", words.len());
    for word in words {
        out.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    out
}

/// The value of a metric without labels.
///
/// # Errors
/// The server has no such metric.
pub(crate) fn metric(server: &Server, name: &str) -> Result<f64, String> {
    let address = server.admin.as_deref().ok_or("no admin port")?;
    let mut stream = TcpStream::connect(address).map_err(|e| e.to_string())?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: perf\r\nconnection: close\r\n\r\n")
        .map_err(|e| e.to_string())?;
    let mut text = String::new();
    stream
        .read_to_string(&mut text)
        .map_err(|e| e.to_string())?;
    text.lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .strip_prefix(' ')?
                .trim()
                .parse()
                .ok()
        })
        .ok_or_else(|| format!("no metric {name}"))
}
