//! What is disturbed: the commands that change an application, each with where it begins and where it ends.

use std::fmt;

/// A small application that has a bit of everything. `PORT` is a free port of the machine.
const SPEC: &str = "\
app: APP
services:
  web:
    containers:
      web:
        image: IMAGE
        command: [serve, \"8080\"]
        env: {VERSION: one}
        ports: [{name: http, port: 8080}]
        files: {/etc/web.conf: \"verbose = true\"}
        secrets: {TOKEN: \"env:LAW_TOKEN\"}
      side: {image: IMAGE, command: [sleep]}
    replicas: 2
    expose: [{port: http, publish: PORT}]
    stop: {grace: 1s, drain: 1s}
    after: {migrate: success}
  store:
    image: IMAGE
    command: [sleep]
    volumes: {/data: kept}
    stop: {grace: 1s}
tasks:
  migrate: {image: IMAGE, command: [exit, \"0\"], env: {VERSION: one}}
";

/// A command that changes something, and is run on a known state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `up` where there is nothing.
    Create,
    /// `up` where everything is as it should be.
    NoOp,
    /// `up` with another version of a service and of the task before it.
    Update,
    /// `up` with a version that does not start, and is rolled back.
    Broken,
    /// `rollback` to the version before.
    Rollback,
    /// `scale` to one replica more.
    Scale,
    /// `restart`.
    Restart,
    /// `down`, with volumes.
    Down,
}

/// What there is of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    Nothing,
    /// The first version.
    One,
    /// The second version, after the first.
    Two,
    /// The first version with one replica more.
    Scaled,
    /// The first version again, after the second.
    Back,
    /// The first version, after a second that did not start.
    RolledBack,
}

impl Operation {
    /// All of them, those first that many others rest on.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Update,
        Self::Rollback,
        Self::Down,
        Self::Broken,
        Self::Scale,
        Self::Restart,
        Self::NoOp,
    ];

    /// Returns the name under which it is asked for.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::NoOp => "no-op",
            Self::Update => "update",
            Self::Broken => "broken-update",
            Self::Rollback => "rollback",
            Self::Scale => "scale",
            Self::Restart => "restart",
            Self::Down => "down",
        }
    }

    /// Finds an operation by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// Returns the arguments of the command.
    #[must_use]
    pub fn command(self) -> &'static [&'static str] {
        match self {
            Self::Create | Self::NoOp | Self::Update | Self::Broken => &["up", "--yes"],
            Self::Rollback => &["rollback", "web", "--to", "1", "--yes"],
            Self::Scale => &["scale", "web=3", "--yes"],
            Self::Restart => &["restart", "--yes"],
            Self::Down => &["down", "--volumes", "--yes"],
        }
    }

    /// Returns the exit code of the command where nothing disturbs it.
    #[must_use]
    pub fn code(self) -> i32 {
        if self == Self::Broken { 5 } else { 0 }
    }

    /// Returns the spec with which the command is run, to be filled in.
    #[must_use]
    pub fn spec(self) -> String {
        match self {
            Self::Update => two(),
            Self::Broken => one().replace("[serve, \"8080\"]", "[exit, \"1\"]"),
            // Rolling back is done because the spec is not right, and so while it is still there.
            Self::Rollback => two(),
            _ => one(),
        }
    }

    /// Returns where it begins.
    #[must_use]
    pub fn begin(self) -> State {
        match self {
            Self::Create => State::Nothing,
            Self::Rollback => State::Two,
            Self::NoOp | Self::Update | Self::Broken | Self::Scale | Self::Restart | Self::Down => State::One,
        }
    }

    /// Returns where it ends.
    #[must_use]
    pub fn end(self) -> State {
        match self {
            Self::Create | Self::NoOp | Self::Restart => State::One,
            Self::Update => State::Two,
            Self::Broken => State::RolledBack,
            Self::Rollback => State::Back,
            Self::Scale => State::Scaled,
            Self::Down => State::Nothing,
        }
    }

    /// Returns the spec and the command that has nothing to do once the operation is done.
    #[must_use]
    pub fn afterwards(self) -> (String, &'static [&'static str]) {
        match self {
            // A version that does not start is tried anew each time; the one that runs is what stays.
            Self::Broken | Self::Restart => (one(), &["up", "--yes"]),
            other => (other.spec(), other.command()),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns the spec of the first version.
pub(super) fn one() -> String {
    SPEC.to_owned()
}

/// Returns the spec of the second version.
pub(super) fn two() -> String {
    SPEC.replace("VERSION: one", "VERSION: two")
}
