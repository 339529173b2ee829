#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kidoku_fuzz::record_decode::run(data));
