//! Keys and values, in memory and in one file that is only appended to.
//!
//! One line a question: `GET key`, `SET key value`, `COUNT [prefix]`; one line an answer: `OK value` or `NO reason`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::shutdown::{self, Guest};
use crate::{hostname, optional};

const PORT: u16 = 9000;

struct Store {
    values: BTreeMap<String, String>,
    file: File,
}

pub fn run() -> io::Result<()> {
    let folder = optional("DATA", "/data");
    let store = Store::open(Path::new(&folder))
        .map_err(|error| io::Error::new(error.kind(), format!("{folder} cannot be used: {error}")))?;
    shutdown::on_signal()?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    println!("{}: {} values, listening on port {PORT}", hostname(), store.values.len());
    let store = Arc::new(Mutex::new(store));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let (guest, store) = (Guest::arrive(), Arc::clone(&store));
        thread::spawn(move || {
            // A client that breaks off is its own affair.
            let _ = converse(&stream, &store);
            drop(guest);
        });
    }
}

fn converse(mut stream: &TcpStream, store: &Mutex<Store>) -> io::Result<()> {
    for line in BufReader::new(stream).lines() {
        let answer = store.lock().unwrap_or_else(PoisonError::into_inner).answer(&line?);
        writeln!(stream, "{}", answer.unwrap_or_else(|error| format!("NO {error}")))?;
    }
    Ok(())
}

impl Store {
    /// Reads the file; a last line without an end was not acknowledged to anybody.
    fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join("store");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let values = whole.lines().filter_map(|line| line.split_once(' '));
        let values = values.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(whole.len() as u64)?;
        Ok(Self { values, file })
    }

    fn answer(&mut self, line: &str) -> io::Result<String> {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        match words.as_slice() {
            ["GET", key] => Ok(match self.values.get(*key) {
                Some(value) => format!("OK {value}"),
                None => "NO such key".to_owned(),
            }),
            ["SET", key, value] => {
                writeln!(self.file, "{key} {value}")?;
                self.file.sync_data()?;
                self.values.insert((*key).to_owned(), (*value).to_owned());
                Ok("OK set".to_owned())
            }
            ["COUNT"] => Ok(format!("OK {}", self.values.len())),
            ["COUNT", prefix] => {
                let count = self.values.keys().filter(|key| key.starts_with(prefix)).count();
                Ok(format!("OK {count}"))
            }
            _ => Ok("NO such command".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_a_restart_and_a_torn_line() {
        let folder = std::env::temp_dir().join(format!("shop-store-{}", std::process::id()));
        let mut store = Store::open(&folder).unwrap();
        assert_eq!(store.answer("GET a").unwrap(), "NO such key");
        store.answer("SET a 1").unwrap();
        store.answer("SET a 2 words").unwrap();
        write!(store.file, "b half").unwrap();
        drop(store);

        let mut store = Store::open(&folder).unwrap();
        assert_eq!(store.answer("GET a").unwrap(), "OK 2 words");
        assert_eq!(store.answer("COUNT").unwrap(), "OK 1");
        store.answer("SET b whole").unwrap();
        drop(store);
        assert_eq!(Store::open(&folder).unwrap().answer("GET b").unwrap(), "OK whole");
        fs::remove_dir_all(&folder).unwrap();
    }
}
