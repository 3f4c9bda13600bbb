//! What a command line of the probe program does.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{
    options::{Options, bytes, duration, number},
    state::{Container, Moment, Process, Server, State},
};

/// The time between two numbers of `count`.
pub(in crate::memory) const COUNT_PAUSE: Duration = Duration::from_millis(100);
/// The time between two looks of `wait-file`.
pub(in crate::memory) const FILE_PAUSE: Duration = Duration::from_millis(50);
/// How long `eat` takes until its memory is full.
const EAT_TIME: Duration = Duration::from_millis(50);

/// What a command does from now on, before it is put into a process.
#[derive(Default)]
struct Plan {
    at: Duration,
    process: Process,
}

impl Plan {
    fn push(&mut self, moment: Moment) {
        self.process.script.push_back((self.at, moment));
    }

    fn print(&mut self, line: &str) {
        let (stderr, text) = line.strip_prefix("err:").map_or((false, line), |line| (true, line));
        self.push(Moment::Line { stderr, text: text.to_owned() });
    }

    /// Prints a text line by line, and exits.
    fn tell(&mut self, text: &str) {
        text.lines().for_each(|line| self.push(Moment::Line { stderr: false, text: line.to_owned() }));
        self.push(Moment::Exit { code: 0 });
    }
}

impl State {
    /// Starts a command in a container; `None` where the image has no such program.
    pub(in crate::memory) fn process(
        &mut self,
        group: &str,
        container: &str,
        argv: &[String],
        terminal: bool,
    ) -> Option<Process> {
        let image = &self.container(group, container)?.document.image;
        let (_, image) = self.images.get(image)?;
        let words = image.words(argv)?;
        let mut plan = Plan { at: self.now, process: Process::default() };
        if let Err(error) = self.command(&mut plan, group, container, &words, terminal) {
            plan.push(Moment::Line { stderr: true, text: format!("probe: {error}") });
            plan.push(Moment::Exit { code: 1 });
        }
        Some(plan.process)
    }

    fn command(
        &mut self,
        plan: &mut Plan,
        group: &str,
        container: &str,
        words: &[String],
        terminal: bool,
    ) -> Result<(), String> {
        let Some((command, rest)) = words.split_first() else {
            plan.tell("The probe program of the conformance suite; see its --help.");
            return Ok(());
        };
        let options = Options::parse(rest)?;
        match command.as_str() {
            "serve" => plan.process.server = Some(self.serve(group, &options)?),
            "udp" => plan.process.udp = Some(options.number(0)?),
            "exit" => {
                let code: u8 = options.number(0)?;
                options.get("print").into_iter().for_each(|line| plan.print(line));
                plan.at += options.duration("after")?.unwrap_or_default();
                plan.push(Moment::Exit { code: i64::from(code) });
            }
            "sleep" => {
                if let Some(time) = options.words.first() {
                    plan.at += duration(time)?;
                    plan.push(Moment::Exit { code: 0 });
                }
            }
            "print" => {
                options.words.iter().for_each(|line| plan.print(line));
                plan.at += options.duration("stay")?.unwrap_or_default();
                plan.push(Moment::Exit { code: 0 });
            }
            "count" => {
                plan.push(Moment::Count { number: 1, to: options.get("to").map_or(Ok(u64::MAX), number)? });
            }
            // Nothing is sent to it here; a command that gets input is answered where it is run.
            "cat" => plan.push(Moment::Exit { code: 0 }),
            "tty" => {
                let word = if terminal { "terminal" } else { "pipe" };
                plan.tell(&format!("stdin {word}, stdout {word}"));
            }
            "eat" => {
                let size = bytes(options.word(0)?)?;
                plan.at += EAT_TIME;
                if self.memory_limit(group, container).is_some_and(|limit| size > limit) {
                    plan.push(Moment::OutOfMemory);
                } else {
                    plan.push(Moment::Line {
                        stderr: false,
                        text: format!("eaten {} MiB", size.div_ceil(1024 * 1024)),
                    });
                }
            }
            "env" => match self.variable(group, container, options.word(0)?) {
                Some(value) => plan.tell(&value),
                None => plan.push(Moment::Exit { code: 1 }),
            },
            "show" => plan.tell(&self.fact(
                group,
                container,
                options.word(0)?,
                options.words.get(1).map(String::as_str),
            )?),
            "read" => {
                plan.tell(&String::from_utf8_lossy(&self.read_file(group, container, options.word(0)?)?));
            }
            "write" => {
                let (path, text) = (options.word(0)?.to_owned(), options.word(1)?.to_owned());
                plan.at += options.duration("after")?.unwrap_or_default();
                plan.push(Moment::Write { path, text });
            }
            "wait-file" => {
                let until = self.now + options.duration("timeout")?.unwrap_or(Duration::from_secs(30));
                plan.push(Moment::AwaitFile { path: options.word(0)?.to_owned(), until });
            }
            "fetch" => {
                let url = options.word(0)?;
                let answer = self.fetch(group, url)?;
                String::from_utf8_lossy(&answer.body).lines().for_each(|line| plan.print(line));
                let success = (200..300).contains(&answer.status);
                if !success {
                    plan.print(&format!("err:{url} answered {}", answer.status));
                }
                plan.push(Moment::Exit { code: i64::from(!success) });
            }
            "resolve" => plan.tell(&self.resolve(group, options.word(0)?)?),
            other => return Err(format!("unknown command `{other}`")),
        }
        Ok(())
    }

    fn serve(&self, group: &str, options: &Options) -> Result<Server, String> {
        let port = options.number(0)?;
        if self.listens(group, port) {
            return Err("Address already in use (os error 98)".to_owned());
        }
        Ok(Server {
            port,
            body: options.get("body").map(str::to_owned),
            ready: self.now + options.duration("ready-after")?.unwrap_or_default(),
            checks: 0,
            healthy_checks: options.get("unhealthy-after").map_or(Ok(u64::MAX), number)?,
            unhealthy: false,
        })
    }

    /// Returns the most memory that a container may have: its own limit, or that of its task.
    pub(super) fn memory_limit(&self, group: &str, container: &str) -> Option<u64> {
        let own = self.container(group, container)?.document.memory.limit;
        own.or(self.groups.get(group)?.task.resources.memory).map(crate::units::Memory::bytes)
    }

    /// Returns the most CPUs that a container may use: its own limit, or that of its task.
    fn cpu_limit(&self, group: &str, container: &str) -> Option<f64> {
        const NANOS: f64 = 1e9;
        let own = self.container(group, container)?.document.cpu.limit;
        let cpu = own.or(self.groups.get(group)?.task.resources.cpu)?;
        // Nanos of some thousand CPUs still fit exactly into the 53 bits of the number.
        Some(f64::from(u32::try_from(cpu.nanos() / 1000).unwrap_or(u32::MAX)) * 1000.0 / NANOS)
    }

    pub(super) fn variable(&self, group: &str, container: &str, name: &str) -> Option<String> {
        self.container(group, container)?.environment.get(name).cloned()
    }

    /// Returns what a container can find out about itself, in the form in which the probe program tells it.
    pub(super) fn fact(
        &self,
        group: &str,
        container: &str,
        name: &str,
        argument: Option<&str>,
    ) -> Result<String, String> {
        let own = self.container(group, container).ok_or("the container is gone")?;
        let ids = own
            .document
            .user
            .as_ref()
            .map(|user| user.as_str().map_or_else(|| user.to_string(), str::to_owned));
        let ids = ids.as_deref().unwrap_or("0");
        let (user, user_group) = ids.split_once(':').unwrap_or((ids, "0"));
        Ok(match name {
            "hostname" => self.host_name(group),
            "uid" => user.to_owned(),
            "gid" => user_group.to_owned(),
            "groups" => String::new(),
            "capabilities" => "00000000a80425fb".to_owned(),
            "cwd" => own.document.workdir.clone().unwrap_or_else(|| "/".to_owned()),
            "args" => Value::from(own.argv.clone()).to_string(),
            "environment" => json!(own.environment).to_string(),
            "ulimit" => limits(own, argument)?,
            "memory" => {
                let reservation = own.document.memory.reservation.map(crate::units::Memory::bytes);
                json!({"limit": self.memory_limit(group, container), "reservation": reservation}).to_string()
            }
            "cpu" => {
                json!({"limit": self.cpu_limit(group, container), "shares": null, "weight": null}).to_string()
            }
            "version" => env!("CARGO_PKG_VERSION").to_owned(),
            other => return Err(format!("unknown fact `{other}`")),
        })
    }

    pub(super) fn container(&self, group: &str, container: &str) -> Option<&Container> {
        self.groups.get(group)?.containers.get(container)
    }
}

fn limits(container: &Container, name: Option<&str>) -> Result<String, String> {
    const DEFAULT: (u64, u64) = (1024, 1_048_576);
    let limits: BTreeMap<&str, (u64, u64)> = std::iter::once(("nofile", DEFAULT))
        .chain(
            container.document.ulimits.iter().map(|(name, limit)| (name.as_str(), (limit.soft, limit.hard))),
        )
        .collect();
    let shown = |(soft, hard): &(u64, u64)| format!("{soft} {hard}");
    match name {
        Some(name) => limits.get(name).map(shown).ok_or_else(|| format!("unknown limit `{name}`")),
        None => Ok(limits
            .iter()
            .map(|(name, limit)| format!("{name} {}", shown(limit)))
            .collect::<Vec<_>>()
            .join("\n")),
    }
}
