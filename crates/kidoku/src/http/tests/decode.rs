use crate::http::decode::Decoder;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::{self, Write};

/// Unpacks `packed`, given in pieces; the most bytes that one step handed out comes with it.
fn unpack(encoding: &str, packed: &[u8], piece: usize) -> io::Result<(Vec<u8>, usize)> {
    let mut decoder = Decoder::new(encoding).unwrap_or(Decoder::Plain);
    let mut out = Vec::new();
    let mut step_max = 0;
    let mut into = |bytes: &[u8]| {
        out.extend_from_slice(bytes);
        step_max = step_max.max(bytes.len());
    };
    for mut piece in packed.chunks(piece) {
        let mut more = false;
        while more || !piece.is_empty() {
            more = decoder.step(&mut piece, &mut into)?;
        }
    }
    decoder.finish(&mut into)?;
    Ok((out, step_max))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

fn text() -> Vec<u8> {
    (0..200_000_u32)
        .flat_map(|n| format!("line {}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
        .collect()
}

#[test]
fn every_encoding_gives_the_text_back_whatever_the_pieces() {
    let text = text();
    let twice = [gzip(&text), gzip(b"more\n")].concat();
    for piece in [1_000, 65_536, usize::MAX] {
        assert_eq!(unpack("", &text, piece).unwrap().0, text);
        assert_eq!(unpack("GZIP", &gzip(&text), piece).unwrap().0, text);
        assert_eq!(unpack("zstd", &zstd(&text), piece).unwrap().0, text);
        assert!(
            unpack("gzip", &twice, piece)
                .unwrap()
                .0
                .ends_with(b"more\n")
        );
    }
    let frames = [zstd(&text), zstd(b"more\n")].concat();
    assert!(
        unpack("zstd", &frames, 7_000)
            .unwrap()
            .0
            .ends_with(b"more\n")
    );
    for encoding in ["", "gzip", "zstd"] {
        assert_eq!(unpack(encoding, b"", 10).unwrap().0, b"");
    }
}

#[test]
fn a_bomb_comes_out_in_small_steps() {
    let zeros = vec![0; 64 << 20];
    for (encoding, packed) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
        assert!(packed.len() < 100_000);
        let (out, step_max) = unpack(encoding, &packed, usize::MAX).unwrap();
        assert_eq!(out.len(), zeros.len());
        assert!(step_max <= 2 << 20, "{encoding}: {step_max}");
    }
}

#[test]
fn every_cut_and_garbage_is_an_error() {
    let text = b"one\ntwo\nthree\n";
    for (encoding, packed) in [("gzip", gzip(text)), ("zstd", zstd(text))] {
        for length in 1..packed.len() {
            let cut = packed.get(..length).unwrap();
            assert!(
                unpack(encoding, cut, usize::MAX).is_err(),
                "{encoding} {length}"
            );
        }
        assert!(unpack(encoding, b"plain text", usize::MAX).is_err());
    }
}

#[test]
fn a_zstd_window_over_8_mib_is_refused() {
    let packed = |window_log: u32| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder
            .set_parameter(zstd::stream::raw::CParameter::WindowLog(window_log))
            .unwrap();
        encoder.write_all(&text()).unwrap();
        encoder.finish().unwrap()
    };
    assert!(unpack("zstd", &packed(23), usize::MAX).is_ok());
    assert!(unpack("zstd", &packed(24), usize::MAX).is_err());
}
