//! Prepares the store for this version of the shop; runs once, to its end.

use std::io;

use crate::client::ask_store;
use crate::required;

const SCHEMA: &str = "1";
const ITEMS: [&str; 3] = ["apple", "bread", "coffee"];

pub fn run() -> io::Result<()> {
    let store = required("DATABASE_URL")?;
    let away = |error: io::Error| io::Error::other(format!("the store at {store} is away: {error}"));
    // A store that is away and one that is empty are told apart.
    ask_store(&store, "COUNT").map_err(away)?;
    if ask_store(&store, "GET schema").is_ok_and(|schema| schema == SCHEMA) {
        println!("the store has schema {SCHEMA} already");
        return Ok(());
    }
    for item in ITEMS {
        ask_store(&store, &format!("SET item:{item} 1"))?;
    }
    ask_store(&store, &format!("SET schema {SCHEMA}"))?;
    println!("the store has schema {SCHEMA} now, and {} items", ITEMS.len());
    Ok(())
}
