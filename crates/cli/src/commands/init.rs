use std::{fs, io::Write};

use clap::{Args, ValueHint};
use straddle_core::{
    model::AppSpec,
    spec,
    units::{ImageRef, Name, Port},
};

use super::Outcome;
use crate::{error::Failure, exit, output::FilesOutput, session::Session, style};

/// Where the schema is written, so that editors work offline.
const SCHEMA: &str = ".straddle/straddle.schema.json";

/// The image of the example: public, small, and it answers on its port with nothing else set.
const IMAGE: &str = "nginx:alpine";

/// Write a spec to begin with
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The file to write; an existing one is left as it is
    #[arg(value_name = "FILE", default_value = "straddle.yaml", value_hint = ValueHint::FilePath)]
    file: String,
    /// The name of the application [default: the name of this folder]
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// The image of its web service
    #[arg(long, value_name = "IMAGE", default_value = IMAGE)]
    image: ImageRef,
    /// The port on which the image listens
    #[arg(long, value_name = "PORT", default_value = "80")]
    port: Port,
    /// The port of this machine on which it is reached
    #[arg(long, value_name = "PORT", default_value = "8080")]
    publish: Port,
}

pub(crate) fn run(args: &InitArgs, session: &Session) -> Outcome {
    let path = session.folder.join(&args.file);
    let name = args.name.clone().map_or_else(|| name_of(session), Ok)?;
    let text = text(args, &name);
    // What is written must be right before anybody sees it.
    if spec::Format::of(&args.file) != spec::Format::Yaml {
        return Err(Failure::usage(format!("{} does not end in .yaml or .yml", args.file)));
    }
    spec::from_yaml::<AppSpec>(&text)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| {
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Failure::usage(format!("{} is there already, and stays as it is", args.file))
                    .with_help("name another file: straddle init FILE")
            }
            _ => Failure::usage(format!("{} cannot be written: {error}", args.file)),
        }
    })?;
    file.write_all(text.as_bytes())
        .map_err(|error| Failure::usage(format!("{} cannot be written: {error}", args.file)))?;
    let folder = path.parent().unwrap_or(&session.folder);
    write_schema(&folder.join(SCHEMA))?;
    if session.shell.is_json() {
        session.shell.json(&FilesOutput { files: vec![args.file.clone(), SCHEMA.to_owned()] })?;
    } else {
        let with = if args.file == "straddle.yaml" { String::new() } else { format!(" -f {}", args.file) };
        session.shell.say(&format!(
            "Wrote {}: one web service, ready to run on Docker.   Next: {}\n",
            style::name(&args.file),
            style::bold(format!("straddle{with} up"))
        ));
    }
    Ok(exit::DONE)
}

fn write_schema(path: &std::path::Path) -> Result<(), Failure> {
    let unwritable = |error: std::io::Error| Failure::usage(format!("{SCHEMA} cannot be written: {error}"));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(unwritable)?;
    }
    let schema = serde_json::to_string_pretty(&spec::schema::<AppSpec>()).map_err(Failure::internal)?;
    fs::write(path, schema + "\n").map_err(unwritable)
}

/// Makes a name of the folder's.
fn name_of(session: &Session) -> Result<Name, Failure> {
    let folder =
        session.folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = folder.chars().map(fits).collect();
    let name = name.trim_matches(['-', '_']);
    let name = if name.is_empty() { "app" } else { name };
    name.parse().map_err(|_| {
        Failure::usage("the name of this folder cannot be that of an application").with_help("give --name")
    })
}

fn text(args: &InitArgs, name: &Name) -> String {
    let InitArgs { file: _, name: _, image, port, publish } = args;
    // A word that YAML takes for something else is quoted.
    let quoted = |text: String| {
        let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && !matches!(text.as_str(), "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null");
        if is_plain { text } else { format!("\"{text}\"") }
    };
    let (name, image) = (quoted(name.to_string()), quoted(image.to_string()));
    format!(
        "# yaml-language-server: $schema={SCHEMA}
#
# What runs, the same on every engine. `straddle check` reads it and says what each target makes of it,
# `straddle up` makes it so, `straddle schema` prints all that can be written here.
app: {name}

services:
  web:
    image: {image}
    ports:
      - {{name: http, port: {port}}}
    # It counts as up once this answers.
    health: {{http: /, port: http, interval: 2s, start_period: 20s}}
    # On Docker: http://localhost:{publish}
    expose:
      - {{port: http, publish: {publish}}}
    replicas: 2
    resources: {{cpu: 250m, memory: 256Mi}}
    # env: {{LOG_LEVEL: info}}
    # secrets: {{API_KEY: \"env:API_KEY\"}}

# A task runs to its end: when asked (`straddle run migrate`), or before a service that says `after: {{migrate: success}}`.
# tasks:
#   migrate: {{image: {image}, command: [\"true\"]}}
"
    )
}
