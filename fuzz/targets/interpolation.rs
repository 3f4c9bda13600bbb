//! Variables in texts: no panic, every problem with its place, and a text is written so that it is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use straddle_core::spec::{Template, Text};
use straddle_fuzz::{json, load};

fuzz_target!(|text: &str| {
    let source = json(serde_json::Value::from(text).to_string());
    if let Ok(read) = load::<Template>(&[source.clone()]) {
        let written = read.value.to_string();
        assert_eq!(written.parse::<Template>().as_ref(), Ok(&read.value), "{written}");
    }
    if let Ok(read) = load::<Text>(&[source]) {
        let again = load::<Text>(&[json(serde_json::to_string(&read.value).unwrap())]);
        assert_eq!(again.map(|again| again.value).ok(), Some(read.value));
    }
});
