//! The command line as it is typed.

use std::fmt::Write;

use clap::{Arg, ArgAction, Args, Command as ClapCommand, CommandFactory, Parser, Subcommand};

use crate::{commands, exit, shell::Format, style};

/// Run one definition of services and tasks on the engine of your choice
#[derive(Debug, Parser)]
#[command(name = "straddle", version, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) selection: PlaceArgs,
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(commands::init::InitArgs),
    Check(commands::check::CheckArgs),
    Plan(commands::plan::PlanArgs),
    Render(commands::render::RenderArgs),
    Up(commands::up::UpArgs),
    Status(commands::status::StatusArgs),
    Wait(commands::wait::WaitArgs),
    Logs(commands::logs::LogsArgs),
    Events(commands::events::EventsArgs),
    History(commands::history::HistoryArgs),
    Exec(commands::exec::ExecArgs),
    Run(commands::run::RunArgs),
    PortForward(commands::port_forward::PortForwardArgs),
    Scale(commands::scale::ScaleArgs),
    Restart(commands::restart::RestartArgs),
    Rollback(commands::rollback::RollbackArgs),
    Down(commands::down::DownArgs),
    Targets(commands::targets::TargetsArgs),
    Capabilities(commands::capabilities::CapabilitiesArgs),
    Schema(commands::schema::SchemaArgs),
    Completions(commands::completions::CompletionsArgs),
    Man(commands::man::ManArgs),
}

/// What every command takes, before or behind its name.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct GlobalArgs {
    /// Print text, or json: one document, or one a line for events and logs
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    pub(crate) output: Format,
    /// Print nothing on success, save data that was asked for
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more; twice: each call with how long it took
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// What a command works on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub(crate) files: Vec<String>,
    pub(crate) targets: Vec<String>,
    pub(crate) environment: Option<String>,
    pub(crate) app: Option<String>,
}

impl Selection {
    /// Adds what was given before the name of the command.
    pub(crate) fn after(self, outer: &PlaceArgs) -> Self {
        let join = |first: &[String], then: Vec<String>| first.iter().cloned().chain(then).collect();
        Self { files: join(&outer.files, self.files), targets: join(&outer.targets, self.targets), ..self }
    }
}

/// What stands before the name of a command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which application, and where")]
pub(crate) struct PlaceArgs {
    /// Read this spec; further ones are laid over it, `-` is standard input [default: straddle.yaml here or above]
    #[arg(short, long = "file", value_name = "SPEC")]
    pub(crate) files: Vec<String>,
    /// Work on this target of your configuration [default: docker, or what straddle.toml says]
    #[arg(short, long = "target", value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
}

/// For commands that read the whole spec.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which application, and where")]
pub(crate) struct SpecArgs {
    /// Read this spec; further ones are laid over it, `-` is standard input [default: straddle.yaml here or above]
    #[arg(short, long = "file", value_name = "SPEC")]
    files: Vec<String>,
    /// Work on this target of your configuration [default: docker, or what straddle.toml says]
    #[arg(short, long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// Work on this environment, in place of the target's
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

/// For commands that only need to know the application by its name.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which application, and where")]
pub(crate) struct AppArgs {
    /// Take the application of this spec [default: straddle.yaml here or above]
    #[arg(short, long = "file", value_name = "SPEC")]
    files: Vec<String>,
    /// Work on this target of your configuration [default: docker, or what straddle.toml says]
    #[arg(short, long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// Work on this environment, in place of the target's
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Name the application, so that no spec is needed
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    app: Option<String>,
}

/// The same for commands in which `-f` means to follow.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which application, and where")]
pub(crate) struct FollowAppArgs {
    /// Take the application of this spec [default: straddle.yaml here or above]
    #[arg(long = "file", value_name = "SPEC")]
    files: Vec<String>,
    /// Work on this target of your configuration [default: docker, or what straddle.toml says]
    #[arg(short, long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// Work on this environment, in place of the target's
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Name the application, so that no spec is needed
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    app: Option<String>,
}

/// The same for commands in which `-t` means a terminal.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Which application, and where")]
pub(crate) struct ExecAppArgs {
    /// Take the application of this spec [default: straddle.yaml here or above]
    #[arg(short, long = "file", value_name = "SPEC")]
    files: Vec<String>,
    /// Work on this target of your configuration [default: docker, or what straddle.toml says]
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// Work on this environment, in place of the target's
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Name the application, so that no spec is needed
    #[arg(long, value_name = "NAME", conflicts_with = "files")]
    app: Option<String>,
}

/// For commands about targets alone.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Where")]
pub(crate) struct TargetArgs {
    /// Look at this target of your configuration; may be repeated [default: docker, or what straddle.toml says]
    #[arg(short, long = "target", value_name = "TARGET")]
    targets: Vec<String>,
}

impl From<SpecArgs> for Selection {
    fn from(SpecArgs { files, targets, environment }: SpecArgs) -> Self {
        Self { files, targets, environment, app: None }
    }
}

impl From<AppArgs> for Selection {
    fn from(AppArgs { files, targets, environment, app }: AppArgs) -> Self {
        Self { files, targets, environment, app }
    }
}

impl From<FollowAppArgs> for Selection {
    fn from(FollowAppArgs { files, targets, environment, app }: FollowAppArgs) -> Self {
        Self { files, targets, environment, app }
    }
}

impl From<ExecAppArgs> for Selection {
    fn from(ExecAppArgs { files, targets, environment, app }: ExecAppArgs) -> Self {
        Self { files, targets, environment, app }
    }
}

impl From<TargetArgs> for Selection {
    fn from(TargetArgs { targets }: TargetArgs) -> Self {
        Self { targets, ..Self::default() }
    }
}

/// The commands as the help groups them.
const GROUPS: [(&str, &[&str]); 4] = [
    ("From a spec to what runs", &["init", "check", "plan", "up", "render"]),
    ("See what runs", &["status", "wait", "logs", "events", "history"]),
    ("Work with what runs", &["exec", "run", "port-forward", "scale", "restart", "rollback", "down"]),
    ("Know more", &["targets", "capabilities", "schema", "completions", "man"]),
];

/// What stands below the options.
pub(crate) const REMARK: &str =
    "straddle COMMAND --help tells more. Without any configuration the target is the local Docker engine.";

/// Returns the exit codes with their meanings, one a line.
pub(crate) fn exit_codes() -> String {
    let lines: Vec<String> =
        exit::TABLE.iter().map(|(code, meaning)| format!("  {code:>3}  {meaning}")).collect();
    lines.join("\n")
}

/// Returns the parser, with its commands in groups.
pub(crate) fn command() -> ClapCommand {
    let command = Cli::command();
    let groups = groups(&command);
    // One form of help: options in a table, and what there is to explain above them.
    let help =
        Arg::new("help").short('h').long("help").help("Print help").action(ArgAction::HelpShort).global(true);
    let help = help.help_heading("Output");
    command
        .disable_help_flag(true)
        .arg(help)
        .mut_subcommands(explained)
        .help_template("{about}\n\n{usage-heading} {usage}\n\n{before-help}{options}{after-help}")
        .before_help(groups)
        .after_help(format!("{REMARK}\n\n{}\n{}", heading("Exit codes"), exit_codes()))
}

/// Puts what a command has to explain below its first line.
fn explained(command: ClapCommand) -> ClapCommand {
    let details = command.get_long_about().map(ToString::to_string).unwrap_or_default();
    let details = details.split_once('\n').map(|(_, rest)| rest.trim().to_owned()).unwrap_or_default();
    let command =
        command.help_template("{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}");
    if details.is_empty() { command } else { command.before_help(details) }
}

fn groups(command: &ClapCommand) -> String {
    let mut text = String::new();
    for (title, names) in GROUPS {
        let _ = writeln!(text, "{}", heading(title));
        for name in names {
            let about =
                command.find_subcommand(name).and_then(ClapCommand::get_about).map(ToString::to_string);
            let _ = writeln!(text, "  {} {}", style::bold(format!("{name:<13}")), about.unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

fn heading(title: &str) -> String {
    // The look of clap's own headings.
    let style = anstyle::Style::new().bold().underline();
    format!("{style}{title}:{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parser_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_command_is_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = command();
        let mut known: Vec<&str> = command.get_subcommands().map(ClapCommand::get_name).collect();
        grouped.sort_unstable();
        known.sort_unstable();
        assert_eq!(grouped, known);
    }
}
