//! Power cuts: the disk as it is at one moment, and a server started on that.
//!
//! `kill -9` proves nothing about syncing: what the kernel holds survives a process. So the server
//! writes to an ext4 file system in a file that lies on btrfs. The cut is a reflink copy of that
//! file, which is atomic: the copy holds what the disk had then and nothing that was only in the
//! kernel's memory. The copy is mounted, which replays its journal as a machine does that comes up.
//!
//! The same run on a server whose syncs are made to do nothing has to lose something. If it does
//! not, the cuts cut nothing, and the whole run is void.

use crate::load::{Lane, Port, check, drive};
use crate::options::Options;
use crate::random::Random;
use crate::sandbox::{self, Disk, call, text};
use crate::server::{Server, TempDir, table_rows};
use crate::shim::Shim;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Cuts on one file system, after which a new one is begun: a long run does not grow.
const CUTS_OF_A_WORLD: u64 = 40;

/// MiB of the file system the server writes to.
const DISK_MIB: u64 = 600;

/// MiB of the one that holds it and its copies; sparse.
const HOLDER_MIB: u64 = 4_096;

/// What happened in all.
#[derive(Default)]
struct Totals {
    sure: u64,
    open: u64,
    claims: u64,
    lost: u64,
    /// What the control lost first.
    first_loss: String,
}

/// Where things are.
struct Place<'a> {
    disk: Disk,
    shim: &'a Shim,
    lanes: u64,
}

/// Runs it. Options: `--rounds`, `--control-rounds`, `--seed`, `--lanes`.
///
/// # Errors
/// What was lost, or that the control lost nothing.
pub fn run(options: &mut Options) -> Result<String, String> {
    let rounds: u64 = options.take("rounds", 20)?;
    let control_rounds: u64 = options.take("control-rounds", 4)?;
    let seed: u64 = options.take("seed", 1)?;
    let lanes: u64 = options.take("lanes", 4)?;
    sandbox::run(|dir| {
        let tools = TempDir::new();
        let shim = Shim::build(&tools)?;
        let holder = dir.join("holder");
        hold(dir, &holder)?;
        let mut random = Random::new(seed);
        let mut totals = Totals::default();
        let mut left = rounds;
        while left > 0 {
            let cuts = left.min(CUTS_OF_A_WORLD);
            let place = Place {
                disk: Disk::make(&holder.join("disk"), &dir.join("disk"), DISK_MIB)?,
                shim: &shim,
                lanes,
            };
            world(&place, cuts, &mut random, &mut totals)
                .map_err(|why| format!("seed {seed}: {why}"))?;
            place.disk.unmount()?;
            left -= cuts;
        }
        let mut lost = 0;
        for _ in 0..control_rounds {
            let place = Place {
                disk: Disk::make(&holder.join("disk"), &dir.join("disk"), DISK_MIB)?,
                shim: &shim,
                lanes,
            };
            if let Some(loss) = control(&place, &mut random)? {
                lost += 1;
                totals.first_loss = loss;
            }
            drop(place.disk.unmount());
        }
        if lost == 0 {
            return Err(format!(
                "void: {control_rounds} cuts of a server that never syncs lost nothing"
            ));
        }
        Ok(format!(
            "seed {seed}: {rounds} power cuts, {} acknowledged before, {} open, {} claims compared, \
             {} lost; {lost} of {control_rounds} control cuts without syncs lost something ({})",
            totals.sure, totals.open, totals.claims, totals.lost, totals.first_loss
        ))
    })
}

/// The file system that can copy a file in no time. Checksums of data are off, because the loop
/// device may change a page while it is being written.
fn hold(dir: &Path, holder: &Path) -> Result<(), String> {
    let image = dir.join("holder.image");
    call(&["truncate", "-s", &format!("{HOLDER_MIB}M"), &text(&image)])?;
    call(&["mkfs.btrfs", "-q", &text(&image)])?;
    fs::create_dir_all(holder).map_err(|error| error.to_string())?;
    call(&[
        "mount",
        "-o",
        "loop,nodatasum",
        &text(&image),
        &text(holder),
    ])
}

fn world(
    place: &Place<'_>,
    cuts: u64,
    random: &mut Random,
    totals: &mut Totals,
) -> Result<(), String> {
    let mut lanes = lanes(place, random);
    place.shim.lie(false);
    let mut server = start(place, random)?;
    open(&server, &mut lanes)?;
    for cut in 0..cuts {
        cut_power(place, server, &mut lanes, random)?;
        server = start(place, random).map_err(|why| format!("cut {cut}: {why}"))?;
        for lane in &mut lanes {
            totals.sure = totals.sure.max(lane.book.sure);
            let mut client = server.client();
            let looked = check(&mut client, &mut lane.book).and_then(|claims| {
                lane.retry(&mut client)?;
                Ok(claims + check(&mut client, &mut lane.book)?)
            });
            totals.claims += looked.map_err(|why| format!("cut {cut}: {why}"))?;
        }
    }
    server.kill();
    totals.sure = lanes.iter().map(|lane| lane.book.sure).sum();
    totals.open = lanes.iter().map(|lane| lane.book.open).sum();
    Ok(())
}

/// One cut of a server whose syncs do nothing. Answers what it lost.
fn control(place: &Place<'_>, random: &mut Random) -> Result<Option<String>, String> {
    let mut lanes = lanes(place, random);
    place.shim.lie(true);
    let server = start(place, random)?;
    open(&server, &mut lanes)?;
    cut_power(place, server, &mut lanes, random)?;
    place.shim.lie(false);
    let server = match start(place, random) {
        Ok(server) => server,
        Err(why) => return Ok(Some(format!("it does not start: {why}"))),
    };
    let mut client = server.client();
    for lane in &mut lanes {
        if let Err(loss) = check(&mut client, &mut lane.book) {
            return Ok(Some(loss));
        }
    }
    Ok(None)
}

fn lanes(place: &Place<'_>, random: &mut Random) -> Vec<Lane> {
    (0..place.lanes.max(1))
        .map(|lane| {
            let port = if lane % 4 == 3 {
                Port::Http
            } else {
                Port::Resp
            };
            Lane::new(lane, port, random.any())
        })
        .collect()
}

fn open(server: &Server, lanes: &mut [Lane]) -> Result<(), String> {
    let mut client = server.client();
    lanes.iter_mut().try_for_each(|lane| lane.open(&mut client))
}

/// With small parts, so that cuts meet flushes, cuts of the log and new segments.
fn start(place: &Place<'_>, random: &mut Random) -> Result<Server, String> {
    let dir = place.disk.path().join("data");
    fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    let interval = random.between(10, 400).to_string();
    let table_rows = table_rows(random.percent(50));
    Server::start(
        &dir,
        &[
            "--dev",
            "--log-segment-bytes",
            "1MiB",
            "--checkpoint-overlay-bytes",
            "1MiB",
            "--checkpoint-interval-ms",
            &interval,
            "--checkpoint-table-rows",
            table_rows,
        ],
        &place.shim.environment(),
    )
}

/// Works for a while, takes the disk as it is in the midst of that, and puts it in the place of the
/// one the server went on writing to.
fn cut_power(
    place: &Place<'_>,
    mut server: Server,
    lanes: &mut [Lane],
    random: &mut Random,
) -> Result<(), String> {
    let copy = place.disk.image().with_extension("copy");
    let addresses = (server.resp_address(), server.http_address());
    let count = lanes.len();
    let load = Duration::from_millis(random.between(100, 700));
    drive(lanes, addresses, Duration::ZERO, |signals| {
        thread::sleep(load);
        signals.cut(count)?;
        let from = text(place.disk.image());
        call(&["cp", "--reflink=always", &from, &text(&copy)])?;
        server.kill();
        Ok(())
    })?;
    for lane in lanes.iter_mut() {
        if let Some((word, count)) = lane.refused.first_key_value() {
            return Err(format!("{count} operations were refused with {word}"));
        }
        lane.go_back();
    }
    place.disk.unmount()?;
    fs::rename(&copy, place.disk.image()).map_err(|error| error.to_string())?;
    place.disk.mount()
}
