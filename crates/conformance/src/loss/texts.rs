//! What is written from a model is read back as the same: every text of every field, also where it looks like a variable.

use super::*;

/// Pieces that mean something where variables are filled in, and some that do not.
const PIECES: [&str; 8] = ["$", "$$", "${", "}", "${A}", "${service.store.host}", "a", " "];

/// Returns every text of up to three pieces.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = PIECES.map(str::to_owned).to_vec();
    for first in PIECES {
        for second in PIECES {
            texts.push(format!("{first}{second}"));
            texts.extend(PIECES.map(|third| format!("{first}{second}{third}")));
        }
    }
    texts
}

#[test]
fn every_text_is_written_as_it_is_read() {
    // More of them for each field would take minutes; each field gets others.
    const EACH: usize = 16;
    let texts = texts();
    let mut next = texts.iter().cycle();
    let (mut free, mut refused) = (0, Vec::new());
    for leaf in spec::leaves(&AppSpec::shape()) {
        if leaf.short || !leaf.examples.iter().all(Value::is_string) {
            continue;
        }
        let (path, documents) = scaffold::documents(&leaf);
        let Some(document) = documents.into_iter().next() else { panic!("{}: no example", leaf.pattern()) };
        let mut taken = 0;
        for text in next.by_ref().step_by(7).take(EACH) {
            let mut document = document.clone();
            // Where every `$` stands twice, nothing is filled in.
            *place(&mut document, &path) = Value::String(text.replace('$', "$$"));
            // Many fields do not take every text.
            let Ok(app) = read(&document) else { continue };
            taken += 1;
            let printed = serde_json::to_value(&app).unwrap();
            let again = read(&printed).unwrap_or_else(|problems| {
                panic!("{}: {text:?} is written as what cannot be read: {problems}", leaf.pattern())
            });
            assert!(again == app, "{}: {text:?} is read back as something else", leaf.pattern());
        }
        free += usize::from(taken == EACH);
        if taken == 0 {
            refused.push(leaf.pattern());
        }
    }
    assert!(free >= 40, "only {free} fields take every text; none of these takes any: {refused:#?}");
}
