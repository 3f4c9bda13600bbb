//! The set of backends behind the door: which may get new connections, and who holds how many.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::dns::left_until;

/// The last line of a complete file.
const END: &str = ".";

/// The backends that a file names, with their connections.
#[derive(Debug)]
pub(crate) struct Backends {
    file: PathBuf,
    state: Mutex<State>,
    /// The set of names has changed.
    changed: Condvar,
    /// A connection has ended.
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// In the order of the file; backends that left the set stay until their last connection ends.
    entries: Vec<Entry>,
    /// Whose turn it is, among the active entries.
    turn: usize,
    /// The file from which the set was read.
    read: Option<Stamp>,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    active: bool,
    open: usize,
    total: u64,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

/// A connection's claim on a backend; it counts as open until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    backends: Arc<Backends>,
    name: Arc<str>,
}

impl Backends {
    /// Backends as a file names them; the file may come later.
    pub(crate) fn new(file: PathBuf) -> Arc<Self> {
        let backends =
            Self { file, state: Mutex::default(), changed: Condvar::new(), released: Condvar::new() };
        Arc::new(backends)
    }

    /// Reads the file now. A missing or incomplete one changes nothing.
    pub(crate) fn reload(&self) {
        let mut state = self.lock();
        state.read = None;
        self.refresh(&mut state);
    }

    /// Claims the next backend that is not among `tried`, round robin.
    pub(crate) fn pick(self: &Arc<Self>, tried: &[Arc<str>]) -> Option<Lease> {
        let mut state = self.lock();
        self.refresh(&mut state);
        let active = state.entries.iter().filter(|entry| entry.active).count();
        let turn = state.turn;
        for step in 0..active {
            let index = (turn + step) % active;
            let entry = state.entries.iter_mut().filter(|entry| entry.active).nth(index)?;
            if !tried.contains(&entry.name) {
                entry.open += 1;
                let name = Arc::clone(&entry.name);
                state.turn = (index + 1) % active;
                return Some(Lease { backends: Arc::clone(self), name });
            }
        }
        None
    }

    /// Waits until the set changes, at most so long.
    pub(crate) fn wait_for_change(&self, timeout: Duration) {
        let state = self.lock();
        drop(self.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits until a backend has no connection; returns how many are left when the time is over.
    pub(crate) fn drain(&self, name: &str, timeout: Duration) -> usize {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            let open = state.entry(name).map_or(0, |entry| entry.open);
            match left_until(deadline) {
                Some(left) if open > 0 => {
                    let waited = self.released.wait_timeout(state, left);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                _ => return open,
            }
        }
    }

    /// The backends as one line of JSON.
    pub(crate) fn status(&self) -> String {
        let mut state = self.lock();
        self.refresh(&mut state);
        let mut json = String::from(r#"{"backends":["#);
        for (index, Entry { name, active, open, total }) in state.entries.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a string cannot fail, and names need no escapes.
            let _ =
                write!(json, r#"{comma}{{"name":"{name}","active":{active},"open":{open},"total":{total}}}"#);
        }
        json.push_str("]}");
        json
    }

    fn is_active(&self, name: &str) -> bool {
        let mut state = self.lock();
        self.refresh(&mut state);
        state.entry(name).is_some_and(|entry| entry.active)
    }

    /// Takes over the file if it is another than the one read last, and complete.
    fn refresh(&self, state: &mut State) {
        let Ok(stamp) = fs::metadata(&self.file).map(|metadata| Stamp::of(&metadata)) else { return };
        if state.read == Some(stamp) {
            return;
        }
        // Stamped before it is read: a change in between shows at the next look.
        let Ok(text) = fs::read_to_string(&self.file) else { return };
        let Some(names) = complete(&text) else { return };
        state.replace(&names);
        state.read = Some(stamp);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn entry(&mut self, name: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| &*entry.name == name)
    }

    fn replace(&mut self, names: &[&str]) {
        let mut old = std::mem::take(&mut self.entries);
        let mut seen = HashSet::new();
        for &name in names.iter().filter(|name| seen.insert(**name)) {
            let entry = match old.iter().position(|entry| &*entry.name == name) {
                Some(index) => Entry { active: true, ..old.swap_remove(index) },
                None => Entry { name: Arc::from(name), active: true, open: 0, total: 0 },
            };
            self.entries.push(entry);
        }
        self.turn %= self.entries.len().max(1);
        old.retain(|entry| entry.open > 0);
        self.entries.extend(old.into_iter().map(|entry| Entry { active: false, ..entry }));
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Lease {
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether the backend still belongs to the set.
    pub(crate) fn is_current(&self) -> bool {
        self.backends.is_active(&self.name)
    }

    /// Counts the connection as made, unless the backend has left the set since it was picked.
    pub(crate) fn confirm(&self) -> bool {
        let mut state = self.backends.lock();
        self.backends.refresh(&mut state);
        match state.entry(&self.name) {
            Some(entry) if entry.active => {
                entry.total += 1;
                true
            }
            _ => false,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.backends.lock();
        if let Some(entry) = state.entry(&self.name) {
            entry.open = entry.open.saturating_sub(1);
        }
        state.entries.retain(|entry| entry.active || entry.open > 0);
        self.backends.released.notify_all();
    }
}

/// Writes a complete file in one step, so that no reader sees half of it.
pub(crate) fn write(file: &Path, names: &[String]) -> io::Result<()> {
    if let Some(name) = names.iter().find(|name| !is_name(name)) {
        return Err(io::Error::new(ErrorKind::InvalidInput, format!("`{name}` is not a name or an address")));
    }
    let mut text: String = names.iter().map(|name| format!("{name}\n")).collect();
    text.push_str(END);
    text.push('\n');
    let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&temporary, text)?;
    fs::rename(&temporary, file)
}

/// The names of a file, if its last line marks it as complete and nothing in it is not a name.
fn complete(text: &str) -> Option<Vec<&str>> {
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.pop()?;
    (last == END && lines.iter().all(|name| is_name(name))).then_some(lines)
}

fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    text.bytes().all(known) && text.bytes().any(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tempfile::TempDir;

    use super::*;

    fn backends(names: &[&str]) -> (TempDir, Arc<Backends>) {
        let folder = tempfile::tempdir().unwrap();
        let backends = Backends::new(folder.path().join("backends"));
        set(&backends, names);
        (folder, backends)
    }

    fn set(backends: &Backends, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        write(&backends.file, &names).unwrap();
        backends.reload();
    }

    fn next(backends: &Arc<Backends>) -> String {
        backends.pick(&[]).unwrap().name().to_string()
    }

    #[test]
    fn turns_go_round() {
        let (_folder, backends) = backends(&["a", "b", "c"]);
        let turns: Vec<String> = (0..4).map(|_| next(&backends)).collect();
        assert_eq!(turns, ["a", "b", "c", "a"]);
    }

    #[test]
    fn tried_backends_are_passed_over() {
        let (_folder, backends) = backends(&["a", "b"]);
        assert_eq!(&**backends.pick(&["a".into()]).unwrap().name(), "b");
        assert!(backends.pick(&["a".into(), "b".into()]).is_none());
    }

    #[test]
    fn a_removed_backend_gets_nothing_new_and_keeps_its_connections() {
        let (_folder, backends) = backends(&["a", "b"]);
        let lease = backends.pick(&[]).unwrap();
        assert!(lease.confirm());
        set(&backends, &["b"]);
        assert!((0..4).all(|_| next(&backends) == "b"));
        assert!(!lease.is_current());
        assert_eq!(
            backends.status(),
            r#"{"backends":[{"name":"b","active":true,"open":0,"total":0},{"name":"a","active":false,"open":1,"total":1}]}"#
        );
        drop(lease);
        assert!(!backends.status().contains(r#""name":"a""#));
    }

    #[test]
    fn a_backend_that_left_while_being_dialled_is_not_confirmed() {
        let (_folder, backends) = backends(&["a"]);
        let lease = backends.pick(&[]).unwrap();
        set(&backends, &[]);
        assert!(!lease.confirm());
    }

    #[test]
    fn an_incomplete_or_missing_file_changes_nothing() {
        let (_folder, backends) = backends(&["a"]);
        for text in ["", "b\n", "b", "b c\n.\n"] {
            fs::write(&backends.file, text).unwrap();
            backends.reload();
            assert_eq!(next(&backends), "a", "{text:?}");
        }
        fs::remove_file(&backends.file).unwrap();
        assert_eq!(next(&backends), "a");
    }

    #[test]
    fn a_new_file_is_seen_without_being_told() {
        let (_folder, backends) = backends(&["a"]);
        write(&backends.file, &["b".to_owned()]).unwrap();
        assert_eq!(next(&backends), "b");
    }

    #[test]
    fn drain_ends_with_the_last_connection() {
        let (_folder, backends) = backends(&["a"]);
        let lease = backends.pick(&[]).unwrap();
        assert_eq!(backends.drain("a", Duration::from_millis(10)), 1);
        let waiting = thread::spawn({
            let backends = Arc::clone(&backends);
            move || backends.drain("a", Duration::from_secs(60))
        });
        drop(lease);
        assert_eq!(waiting.join().unwrap(), 0);
        assert_eq!(backends.drain("unknown", Duration::from_secs(60)), 0);
    }

    #[test]
    fn names_are_checked_before_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", ".", "a b", "a\nb", "\""] {
            let error = write(&folder.path().join("backends"), &[name.to_owned()]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}");
        }
    }
}
