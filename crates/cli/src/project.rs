//! The spec: which files it is read from, and what they say.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use straddle_core::{
    error::{Error, ErrorKind},
    model::{App, AppSpec},
    path::FieldPath,
    scope::Scope,
    spec::{self, Decoder, Document, Files, Inputs, Layered, MAX_SOURCE_BYTES, Node, Shape, Source, Spec},
    units::Name,
};

use crate::{config::Target, error::Failure, folder, shell::Shell, style};

/// The names by which a spec is found without `-f`. `straddle.toml` is configuration; a spec in TOML is given with `-f`.
const NAMES: [&str; 3] = ["straddle.yaml", "straddle.yml", "straddle.json"];

/// The files of a spec, read once.
#[derive(Debug)]
pub(crate) struct Project {
    /// Where the user stands.
    folder: PathBuf,
    files: Vec<SpecFile>,
    /// What was read of each file: a pipe gives it only once, and several targets shall see the same.
    read: Mutex<Vec<Option<Source>>>,
}

#[derive(Debug)]
enum SpecFile {
    Path(PathBuf),
    Stdin,
}

/// A spec that holds together, with where everything in it stands.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) app: App,
    pub(crate) document: Document,
    pub(crate) scope: Scope,
}

impl Project {
    /// Finds the files of the spec: those that were named, or `straddle.yaml` here or above.
    pub(crate) fn find(folder: &Path, named: &[String]) -> Result<Self, Failure> {
        let files =
            if named.is_empty() { vec![SpecFile::Path(search(folder)?)] } else { given(folder, named)? };
        let read = Mutex::new(vec![None; files.len()]);
        Ok(Self { folder: folder.to_owned(), files, read })
    }

    /// Returns where the project's configuration is looked for first: the folder of the first file.
    pub(crate) fn home(folder: &Path, named: &[String]) -> PathBuf {
        match named.first().map(String::as_str) {
            None | Some("-") => folder.to_owned(),
            Some(file) => folder.join(file).parent().map_or_else(|| folder.to_owned(), Path::to_owned),
        }
    }

    /// Reads the spec as it is on a target.
    pub(crate) fn load(
        &self,
        target: &Target,
        variables: &BTreeMap<String, String>,
        shell: &Shell,
    ) -> Result<Loaded, Failure> {
        let spec::Loaded { value, document } = self.read::<AppSpec>(target, variables, shell)?;
        let app = value.check().map_err(Failure::internal)?;
        let scope = Scope::new(&app.app).with_environment(&target.environment);
        Ok(Loaded { app, document, scope })
    }

    /// Reads only the name of the application, so that other mistakes do not matter.
    pub(crate) fn name(
        &self,
        target: &Target,
        variables: &BTreeMap<String, String>,
        shell: &Shell,
    ) -> Result<Name, Failure> {
        let NameOnly(name) = self.read::<NameOnly>(target, variables, shell)?.value;
        Ok(name)
    }

    fn read<T: Spec>(
        &self,
        target: &Target,
        variables: &BTreeMap<String, String>,
        shell: &Shell,
    ) -> Result<spec::Loaded<T>, Failure> {
        let specs = self.sources(shell)?;
        let overlays = target
            .overlays
            .iter()
            .map(|overlay| {
                open(&overlay.value, &self.folder).map_err(|failure| {
                    failure.with_help(format!("target `{}` names it, in {}", target.name, overlay.origin))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let variables = Layered { first: &target.vars, then: variables };
        let variables = Borrowed(&variables);
        let files = FilesBelow { folder: self.folder.clone() };
        Ok(spec::load(&Inputs { specs: &specs, overlays: &overlays, variables: &variables, files: &files })?)
    }

    fn sources(&self, shell: &Shell) -> Result<Vec<Source>, Failure> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = self.files.iter().zip(read.iter_mut()).map(|(file, read)| match read {
            Some(source) => Ok(source.clone()),
            None => Ok(read.insert(self.source(file, shell)?).clone()),
        });
        sources.collect()
    }

    fn source(&self, file: &SpecFile, shell: &Shell) -> Result<Source, Failure> {
        match file {
            SpecFile::Path(path) => open(path, &self.folder),
            SpecFile::Stdin => {
                let bytes = shell
                    .read_to_end(MAX_SOURCE_BYTES as u64 + 1)
                    .map_err(|error| Failure::usage(format!("standard input cannot be read: {error}")))?;
                Ok(Source::from_bytes("-", &bytes)?)
            }
        }
    }
}

/// Passes on by reference.
struct Borrowed<'a, V>(&'a V);

impl<V: spec::Variables> spec::Variables for Borrowed<'_, V> {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name)
    }
}

fn search(folder: &Path) -> Result<PathBuf, Failure> {
    for folder_above in folder.ancestors() {
        let found: Vec<PathBuf> =
            NAMES.iter().map(|name| folder_above.join(name)).filter(|file| file.is_file()).collect();
        match found.as_slice() {
            [] => {}
            [file] => return Ok(file.clone()),
            several => {
                let names: Vec<String> = several.iter().map(|file| folder::shown(file, folder)).collect();
                return Err(Failure::usage(format!("{} are both there", style::list(&names)))
                    .with_help("name one with -f"));
            }
        }
    }
    Err(Failure::usage("there is no straddle.yaml here or in a folder above")
        .with_help("straddle init writes one; -f names another file"))
}

fn given(folder: &Path, named: &[String]) -> Result<Vec<SpecFile>, Failure> {
    if named.iter().filter(|name| *name == "-").count() > 1 {
        return Err(Failure::usage("standard input (-f -) can be read only once"));
    }
    Ok(named
        .iter()
        .map(|name| if name == "-" { SpecFile::Stdin } else { SpecFile::Path(folder.join(name)) })
        .collect())
}

fn open(path: &Path, folder: &Path) -> Result<Source, Failure> {
    let name = folder::shown(path, folder);
    if path.is_dir() {
        return Err(Failure::usage(format!("{name} is a folder, where a spec is expected")));
    }
    match fs::File::open(path) {
        Ok(file) => Ok(Source::from_reader(name, file)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::usage(format!("there is no file {name}")))
        }
        Err(error) => Err(Failure::usage(format!("{name} cannot be read: {error}"))),
    }
}

/// Reads the files that a spec mentions; relative paths count from the folder of the file that mentions them.
#[derive(Debug)]
struct FilesBelow {
    /// From where the names of sources count.
    folder: PathBuf,
}

impl Files for FilesBelow {
    fn read(&self, source_name: &str, path: &str) -> io::Result<Vec<u8>> {
        let source = self.folder.join(source_name).display().to_string();
        spec::DiskFiles.read(&source, path)
    }
}

/// The name of the application, whatever else a spec says.
struct NameOnly(Name);

impl Spec for NameOnly {
    fn decode(node: &Node, path: &FieldPath, decoder: &mut Decoder<'_>) -> Option<Self> {
        match node.as_map().and_then(|map| map.get("app")) {
            Some(entry) => Name::decode(&entry.value, &path.child("app"), decoder).map(Self),
            None => {
                decoder.problem(node, path, "missing key `app`").help("name the application: `app: shop`");
                None
            }
        }
    }

    fn shape() -> Shape {
        Name::shape()
    }
}

/// Makes the scope of an application that was named on the command line.
pub(crate) fn scope(app: &str, environment: &Name) -> Result<Scope, Failure> {
    let name: Name = app.parse().map_err(|error: spec::ScalarError| {
        let help = error.help().map(str::to_owned);
        let failure = Failure::usage(error.message().to_owned());
        match help {
            Some(help) => failure.with_help(help),
            None => failure,
        }
    })?;
    Ok(Scope::new(&name).with_environment(environment))
}

/// Makes the error of a service or task that the spec does not have.
pub(crate) fn no_such(kind: &str, name: &str, known: &[&str]) -> Failure {
    let error = Error::new(ErrorKind::NotFound, format!("there is no {kind} `{name}` in the spec"));
    let help = match (crate::config::closest(name, known.iter().copied()), known) {
        (Some(other), _) => format!("did you mean `{other}`?"),
        (None, []) => format!("the spec has no {kind}s"),
        (None, known) => format!(
            "the spec has {}",
            style::list(&known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
        ),
    };
    Failure::Core(error.with_help(help))
}
