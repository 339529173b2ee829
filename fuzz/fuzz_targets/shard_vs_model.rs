#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kidoku_fuzz::shard_vs_model::run(data));
