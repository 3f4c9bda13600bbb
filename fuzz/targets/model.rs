//! The model: no panic, every problem with its place, and an application that was read is read as the same when it is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use straddle_core::model::{App, AppSpec};
use straddle_fuzz::{json, load, source};

fuzz_target!(|data: &[u8]| {
    let Some(source) = source(data) else { return };
    let Ok(read) = load::<AppSpec>(&[source.clone()]) else { return };
    let printed = serde_json::to_string(&read.value).unwrap();
    match load::<App>(&[json(printed.clone())]) {
        Ok(again) => assert!(again.value.into_spec() == read.value, "read as something else: {printed}"),
        Err(problems) => panic!("{problems}\n{printed}"),
    }
    // What is checked as a whole passes, and every field is found in its file.
    let app = read.value.check().expect("what was read holds together");
    for workload in app.workloads() {
        let path = read.document.written_path(&workload.path());
        assert!(read.document.locate(&workload.path()).is_some(), "{path}");
        assert_eq!(read.document.full_path(&path), workload.path());
    }
});
