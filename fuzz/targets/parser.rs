//! The readers of YAML, TOML and JSON: no panic, every problem with its place, and what is read is the same when it is written as JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use straddle_fuzz::{Anything, json, load, source, written};

fuzz_target!(|data: &[u8]| {
    let Some(source) = source(data) else { return };
    let Ok(read) = load::<Anything>(&[source]) else { return };
    let text = written(&read.value.0);
    // JSON has one syntax for what others write in many; the same value means the same everywhere. Digits of floats aside.
    match load::<Anything>(&[json(text.clone())]) {
        Ok(again) => assert_eq!(written(&again.value.0), text),
        // Aliases can make a text of what is small, and then the limits of a text count.
        Err(problems) => assert!(text.len() > 100_000, "{problems}\n{text}"),
    }
});
