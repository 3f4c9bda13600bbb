//! Files laid over each other: maps merge, the rest replaces, `null` removes, and what wins keeps its place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value as Json;
use straddle_core::spec::Source;
use straddle_fuzz::{Anything, load};

/// The same rule over plain values.
fn merge(base: &mut Json, over: &Json) {
    match (base, over) {
        (Json::Object(base), Json::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(key) {
                    _ if value.is_null() => {
                        base.shift_remove(key);
                    }
                    Some(known) => merge(known, value),
                    None => {
                        base.insert(key.clone(), pruned(value));
                    }
                }
            }
        }
        (base, over) => *base = pruned(over),
    }
}

fn pruned(value: &Json) -> Json {
    match value {
        Json::Object(entries) => {
            let kept = entries.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(key, value)| (key.clone(), pruned(value))).collect()
        }
        other => other.clone(),
    }
}

fuzz_target!(|text: &str| {
    // Two files never fill in anything differently from one.
    let text = text.replace('$', "S");
    let sources: Vec<Source> = text.split("\n===\n").take(4).map(|text| Source::new("fuzz", text)).collect();
    let each: Result<Vec<Json>, _> = sources
        .iter()
        .map(|source| load::<Anything>(std::slice::from_ref(source)).map(|read| read.value.0))
        .collect();
    match (each, load::<Anything>(&sources)) {
        (Ok(each), Ok(merged)) => {
            let mut expected = each[0].clone();
            each[1..].iter().for_each(|over| merge(&mut expected, over));
            assert_eq!(merged.value.0, expected);
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(problems)) => panic!("each file is read alone: {problems}"),
        (Err(problems), Ok(_)) => panic!("a file cannot be read alone: {problems}"),
    }
});
