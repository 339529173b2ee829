//! One guard and one file.

use super::*;
use std::fs::OpenOptions;

fn scratch(name: &str, bytes: &[u8]) -> (std::path::PathBuf, File) {
    let path = std::env::temp_dir().join(format!("kidoku-guard-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    (path, file)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| hash(&at.to_le_bytes()).to_le_bytes()[0])
        .collect()
}

const LENGTHS: [usize; 6] = [
    0,
    1,
    BLOCK_BYTES,
    BLOCK_BYTES + 1,
    STRIPE_BYTES,
    2 * STRIPE_BYTES + 3 * BLOCK_BYTES + 77,
];

#[test]
fn a_bad_block_in_each_stripe_is_given_back() {
    for length in LENGTHS {
        let whole = bytes(length);
        let (path, file) = scratch("given-back", &whole);
        let guard = Guard::of(&file).unwrap();
        assert_eq!(
            Guard::decode(&guard.encode()),
            Some(guard.clone()),
            "{length}"
        );
        for stripe in 0..guard.stripes() {
            assert_eq!(guard.mend_stripe(&file, stripe).unwrap(), Mended::default());
            let from = stripe * STRIPE_BYTES;
            let end = (from + STRIPE_BYTES).min(length);
            for at in [from, from + (end - from) / 2, end - 1] {
                let mut rotten = whole.clone();
                rotten[at] ^= 0x10;
                std::fs::write(&path, &rotten).unwrap();
                let mended = guard.mend_stripe(&file, stripe).unwrap();
                assert_eq!((mended.blocks, mended.lost), (1, 0), "{length}: {at}");
                assert!(std::fs::read(&path).unwrap() == whole, "{length}: {at}");
            }
        }
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn two_bad_blocks_of_a_stripe_are_told_and_left_alone() {
    let whole = bytes(STRIPE_BYTES);
    let (path, file) = scratch("left-alone", &whole);
    let guard = Guard::of(&file).unwrap();
    let mut rotten = whole;
    rotten[0] ^= 1;
    rotten[BLOCK_BYTES] ^= 1;
    std::fs::write(&path, &rotten).unwrap();
    let mended = guard.mend_stripe(&file, 0).unwrap();
    assert_eq!((mended.blocks, mended.lost), (0, 2));
    assert_eq!(std::fs::read(&path).unwrap(), rotten);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_flipped_bit_of_a_guard_never_changes_a_sound_file() {
    let whole = bytes(3 * BLOCK_BYTES + 5);
    let (path, file) = scratch("sound", &whole);
    let encoded = Guard::of(&file).unwrap().encode();
    for bit in 0..encoded.len() * 8 {
        let mut rotten = encoded.clone();
        rotten[bit / 8] ^= 1 << (bit % 8);
        if let Some(guard) = Guard::decode(&rotten) {
            let mended = guard.mend_stripe(&file, 0).unwrap();
            assert!(mended.guard_is_bad && mended.blocks == 0, "bit {bit}");
        }
    }
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    std::fs::remove_file(&path).unwrap();
}
