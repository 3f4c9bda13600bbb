//! What a container can find out about itself.

use std::fmt::Write as _;
use std::fs;
use std::io;

use crate::options::wrong;

/// One fact by its name; numbers are plain, whatever has several parts is JSON.
pub(crate) fn fact(name: &str, argument: Option<&str>) -> io::Result<String> {
    match name {
        "hostname" => Ok(hostname()),
        "uid" => status_field("Uid", 1),
        "gid" => status_field("Gid", 1),
        "groups" => status_line("Groups"),
        "capabilities" => status_field("CapEff", 0),
        "cwd" => Ok(std::env::current_dir()?.display().to_string()),
        "args" => Ok(array(std::env::args())),
        "environment" => {
            let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
            Ok(object(std::env::vars_os().map(|(name, value)| (text(name), string(&text(value))))))
        }
        "ulimit" => ulimit(argument),
        "memory" => Ok(memory()),
        "cpu" => Ok(cpu()),
        "version" => Ok(env!("CARGO_PKG_VERSION").to_owned()),
        other => Err(wrong(format!("unknown fact `{other}`"))),
    }
}

pub(crate) fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

fn status_line(key: &str) -> io::Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.map(|line| line.trim().to_owned()).ok_or_else(|| io::Error::other(format!("no {key} in /proc")))
}

/// One column of a line: of the four ids of a process the second is the effective one.
fn status_field(key: &str, column: usize) -> io::Result<String> {
    let line = status_line(key)?;
    line.split_whitespace()
        .nth(column)
        .map(str::to_owned)
        .ok_or_else(|| io::Error::other(format!("{key} in /proc has no column {column}")))
}

/// Soft and hard limit of one resource by the name that container engines use, or all limits.
fn ulimit(name: Option<&str>) -> io::Result<String> {
    const NAMES: [(&str, &str); 16] = [
        ("as", "Max address space"),
        ("core", "Max core file size"),
        ("cpu", "Max cpu time"),
        ("data", "Max data size"),
        ("fsize", "Max file size"),
        ("locks", "Max file locks"),
        ("memlock", "Max locked memory"),
        ("msgqueue", "Max msgqueue size"),
        ("nice", "Max nice priority"),
        ("nofile", "Max open files"),
        ("nproc", "Max processes"),
        ("rss", "Max resident set"),
        ("rtprio", "Max realtime priority"),
        ("rttime", "Max realtime timeout"),
        ("sigpending", "Max pending signals"),
        ("stack", "Max stack size"),
    ];
    let limits = fs::read_to_string("/proc/self/limits")?;
    let Some(name) = name else { return Ok(limits) };
    let title = NAMES.iter().find(|(short, _)| *short == name).map(|(_, title)| *title);
    let line = title.and_then(|title| limits.lines().find_map(|line| line.strip_prefix(title)));
    let mut words = line.ok_or_else(|| wrong(format!("unknown limit `{name}`")))?.split_whitespace();
    Ok(format!("{} {}", words.next().unwrap_or("?"), words.next().unwrap_or("?")))
}

/// `{"limit":BYTES,"reservation":BYTES}`, `null` where there is none, in either version of cgroups.
fn memory() -> String {
    // Version 1 says "no limit" with the largest number of whole pages.
    const UNLIMITED: u64 = 1 << 60;
    let value = |files: [&str; 2]| {
        let value = first(files).and_then(|text| text.parse().ok()).filter(|&bytes: &u64| bytes < UNLIMITED);
        number(value)
    };
    let limit = value(["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
    let reservation =
        value(["/sys/fs/cgroup/memory.low", "/sys/fs/cgroup/memory/memory.soft_limit_in_bytes"]);
    object([("limit".to_owned(), limit), ("reservation".to_owned(), reservation)])
}

/// `{"limit":CPUS,"shares":N,"weight":N}`: shares in version 1 of cgroups, weight in version 2.
fn cpu() -> String {
    let quota = match first(["/sys/fs/cgroup/cpu.max"]) {
        Some(text) => text.split_once(' ').map(|(quota, period)| (quota.to_owned(), period.to_owned())),
        None => first(["/sys/fs/cgroup/cpu/cpu.cfs_quota_us"])
            .zip(first(["/sys/fs/cgroup/cpu/cpu.cfs_period_us"])),
    };
    let limit = quota.and_then(|(quota, period)| {
        let (quota, period) = (quota.parse::<f64>().ok()?, period.parse::<f64>().ok()?);
        (quota > 0.0 && period > 0.0).then(|| quota / period)
    });
    let whole = |file: &str| number(first([file]).and_then(|text| text.parse::<u64>().ok()));
    object([
        ("limit".to_owned(), number(limit)),
        ("shares".to_owned(), whole("/sys/fs/cgroup/cpu/cpu.shares")),
        ("weight".to_owned(), whole("/sys/fs/cgroup/cpu.weight")),
    ])
}

/// The contents of the first file that is there.
fn first<const N: usize>(files: [&str; N]) -> Option<String> {
    files.iter().find_map(|file| fs::read_to_string(file).ok()).map(|text| text.trim().to_owned())
}

fn number<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

fn array(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.map(|item| string(&item)).collect();
    format!("[{}]", items.join(","))
}

fn object(members: impl IntoIterator<Item = (String, String)>) -> String {
    let members: Vec<String> =
        members.into_iter().map(|(key, value)| format!("{}:{value}", string(&key))).collect();
    format!("{{{}}}", members.join(","))
}

/// A JSON string.
fn string(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // Writing to a string cannot fail.
            control if control.is_control() => drop(write!(quoted, "\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_strings_are_escaped() {
        assert_eq!(string("a\"b\\c\nd"), "\"a\\\"b\\\\c\\u000ad\"");
        assert_eq!(array(["a", "b"].map(str::to_owned).into_iter()), r#"["a","b"]"#);
    }

    #[test]
    fn every_fact_can_be_told() {
        for name in
            ["hostname", "uid", "gid", "groups", "capabilities", "cwd", "args", "environment", "memory"]
        {
            fact(name, None).unwrap();
        }
        assert_eq!(fact("ulimit", Some("nofile")).unwrap().split(' ').count(), 2);
        assert!(fact("ulimit", Some("nothing")).is_err());
    }
}
