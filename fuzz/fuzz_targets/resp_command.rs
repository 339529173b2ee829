#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kidoku_fuzz::resp_command::run(data));
