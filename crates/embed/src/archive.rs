//! Packs one program as an image archive in the format of `docker save`.

use std::io;

use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::Architecture;

/// What goes into an image.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    pub(crate) architecture: Architecture,
    /// `name:tag` of the image.
    pub(crate) image: &'a str,
    /// Absolute path of the program in the image; its folders are created.
    pub(crate) path: &'a str,
    pub(crate) binary: &'a [u8],
    pub(crate) labels: &'a [(String, String)],
    pub(crate) stop_signal: Option<&'a str>,
}

/// An image archive, and where in it the program lies.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) bytes: Vec<u8>,
    pub(crate) binary: (usize, usize),
}

/// Packs an image with one layer; the same contents always give the same bytes.
///
/// The format is the one with `manifest.json`, which every engine since Docker 1.10 loads, with the classic
/// image store and with the one of containerd.
pub(crate) fn pack(contents: &Contents<'_>) -> io::Result<Archive> {
    let layer = layer(contents)?;
    let layer_digest = sha256(&layer);
    let config = config(contents, &layer_digest);
    let config_file = format!("{}.json", sha256(config.as_bytes()));
    let layer_file = format!("{layer_digest}.tar");
    let manifest = format!(
        r#"[{{"Config":{},"RepoTags":[{}],"Layers":[{}]}}]"#,
        json(&config_file),
        json(contents.image),
        json(&layer_file)
    );

    let mut archive = Builder::new(Vec::new());
    append(&mut archive, "manifest.json", manifest.as_bytes(), 0o644)?;
    append(&mut archive, &config_file, config.as_bytes(), 0o644)?;
    append(&mut archive, &layer_file, &layer, 0o644)?;
    let bytes = archive.into_inner()?;
    let start = position(&bytes, contents.binary)
        .ok_or_else(|| io::Error::other("the program is not where it was packed"))?;
    Ok(Archive { bytes, binary: (start, contents.binary.len()) })
}

/// The digest in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn layer(contents: &Contents<'_>) -> io::Result<Vec<u8>> {
    let mut layer = Builder::new(Vec::new());
    let path = contents.path.trim_start_matches('/');
    for (end, _) in path.match_indices('/') {
        let mut header = header(0, 0o755);
        header.set_entry_type(EntryType::Directory);
        layer.append_data(&mut header, &path[..=end], io::empty())?;
    }
    append(&mut layer, path, contents.binary, 0o755)?;
    layer.into_inner()
}

fn append(archive: &mut Builder<Vec<u8>>, path: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    archive.append_data(&mut header(bytes.len() as u64, mode), path, bytes)
}

/// A header that tells nothing about the machine or the hour of the build.
fn header(size: u64, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn config(contents: &Contents<'_>, layer_digest: &str) -> String {
    let labels: Vec<String> =
        contents.labels.iter().map(|(key, value)| format!("{}:{}", json(key), json(value))).collect();
    let stop_signal =
        contents.stop_signal.map(|signal| format!(r#","StopSignal":{}"#, json(signal))).unwrap_or_default();
    format!(
        concat!(
            r#"{{"architecture":{architecture},"os":"linux","created":"1970-01-01T00:00:00Z","#,
            r#""config":{{"Entrypoint":[{entrypoint}],"Labels":{{{labels}}}{stop_signal}}},"#,
            r#""rootfs":{{"type":"layers","diff_ids":["sha256:{layer}"]}},"#,
            r#""history":[{{"created":"1970-01-01T00:00:00Z","created_by":{image}}}]}}"#
        ),
        architecture = json(contents.architecture.oci_name()),
        entrypoint = json(contents.path),
        labels = labels.join(","),
        stop_signal = stop_signal,
        layer = layer_digest,
        image = json(contents.image),
    )
}

/// A JSON string; the texts here are names and paths, so control characters are simply left out.
fn json(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// Where the program begins; tar keeps file contents whole and aligned to its blocks.
fn position(archive: &[u8], binary: &[u8]) -> Option<usize> {
    const BLOCK: usize = 512;
    (0..archive.len()).step_by(BLOCK).find(|&start| archive[start..].starts_with(binary))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn contents() -> Contents<'static> {
        Contents {
            architecture: Architecture::X86_64,
            image: "hello:1",
            path: "/straddle/hello",
            binary: b"\x7fELF and so on",
            labels: &[],
            stop_signal: Some("SIGKILL"),
        }
    }

    fn entries(bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(bytes);
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                let mut data = Vec::new();
                entry.read_to_end(&mut data).unwrap();
                (path, entry.header().mode().unwrap(), data)
            })
            .collect()
    }

    #[test]
    fn the_same_contents_give_the_same_bytes() {
        assert_eq!(pack(&contents()).unwrap().bytes, pack(&contents()).unwrap().bytes);
    }

    #[test]
    fn the_binary_is_found_in_the_archive() {
        let archive = pack(&contents()).unwrap();
        let (start, length) = archive.binary;
        assert_eq!(&archive.bytes[start..start + length], contents().binary);
    }

    #[test]
    fn the_manifest_names_config_and_layer_by_their_digests() {
        let archive = pack(&contents()).unwrap();
        let entries = entries(&archive.bytes);
        let [(manifest, _, text), (config, _, config_text), (layer, _, layer_bytes)] = &entries[..] else {
            panic!("three entries, not {entries:?}");
        };
        assert_eq!(manifest, "manifest.json");
        assert_eq!(*config, format!("{}.json", sha256(config_text)));
        assert_eq!(*layer, format!("{}.tar", sha256(layer_bytes)));
        let text = String::from_utf8(text.clone()).unwrap();
        assert_eq!(text, format!(r#"[{{"Config":"{config}","RepoTags":["hello:1"],"Layers":["{layer}"]}}]"#));
        let config_text = String::from_utf8(config_text.clone()).unwrap();
        assert!(config_text.contains(&format!(r#""diff_ids":["sha256:{}"]"#, sha256(layer_bytes))));
        assert!(config_text.contains(r#""Entrypoint":["/straddle/hello"]"#));
        assert!(config_text.contains(r#""StopSignal":"SIGKILL""#));
    }

    #[test]
    fn anybody_may_run_the_program() {
        let layer = layer(&contents()).unwrap();
        let entries = entries(&layer);
        assert_eq!(entries[0].0, "straddle/");
        assert_eq!(entries[0].1, 0o755);
        assert_eq!((entries[1].0.as_str(), entries[1].1), ("straddle/hello", 0o755));
        assert_eq!(entries[1].2, contents().binary);
    }

    #[test]
    fn quotes_are_escaped() {
        assert_eq!(json("a\"b\\c\n"), r#""a\"b\\c""#);
    }
}
