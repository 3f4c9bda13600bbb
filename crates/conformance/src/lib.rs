//! The behaviours that every Straddle backend shows, as a suite that anybody can run against an [`Orchestrator`] of their own.
//!
//! [`BEHAVIOURS`] is the list: one stable id each. [`Suite::run`] runs them against a [`Bench`], which is
//!
//! - the backend, as `Arc<dyn Orchestrator>`,
//! - the name of an image that holds the suite's [probe program](probe), as the engine under test knows it, and
//! - a [`Witness`], which looks at the engine from outside and does what only its environment can do.
//!
//! # The image of the probe
//!
//! The probe is one static program without dependencies, and its image holds nothing else, with `/probe` as its entry point. Building this
//! crate on Linux builds it for the architecture of the machine. Get it to where the engine pulls from in one of these ways:
//!
//! - [`probe::image_tar`] is an archive for `docker load`, `ctr image import`, `podman load` or `skopeo copy docker-archive:...`; the image in it
//!   is called [`probe::image_name`]. Push it from there to a registry where the engine cannot load archives, and give its name in that
//!   registry to [`Bench::new`].
//! - For another architecture, compile `probe/program/main.rs` for it (`rustc --edition 2024 --target aarch64-unknown-linux-musl -C opt-level=s
//!   main.rs`), and put it as `/probe` into an image `FROM scratch` with `ENTRYPOINT ["/probe"]`; or name the program in
//!   `STRADDLE_PROBE_AARCH64` or `STRADDLE_PROBE_X86_64` when this crate is built, and `image_tar` holds it.
//!
//! # A program that runs the suite
//!
//! A backend in memory stands for yours here; `examples/third_party.rs` is a backend with all its methods.
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use straddle_conformance::{Bench, Suite, Witness, probe::image_name};
//! use straddle_core::{
//!     clock::SystemClock,
//!     error::Result,
//!     memory::{Image, World},
//!     orchestrator::Orchestrator,
//!     scope::Scope,
//! };
//!
//! /// Looks at the engine with its own tools, not with the backend under test.
//! #[derive(Debug)]
//! struct Outside(World);
//!
//! #[async_trait]
//! impl Witness for Outside {
//!     async fn plant(&self, scope: &Scope) -> Result<String> {
//!         let name = format!("{}-web-1-1", scope.prefix());
//!         self.0.plant(&name);
//!         Ok(name)
//!     }
//!
//!     async fn is_intact(&self, planted: &str) -> Result<bool> {
//!         Ok(self.0.has_planted(planted))
//!     }
//!
//!     async fn uproot(&self, planted: &str) -> Result<()> {
//!         self.0.uproot(planted);
//!         Ok(())
//!     }
//!
//!     async fn belongings(&self, scope: &Scope) -> Result<Vec<String>> {
//!         Ok(self.0.belongings(scope))
//!     }
//!
//!     // What else it can do: restart the engine, put another image under a name, take a port, kill a process.
//!     // Whatever is left out answers "cannot", and the behaviours that need it are skipped.
//!     async fn restart_engine(&self) -> Result<()> {
//!         self.0.restart_engine();
//!         Ok(())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() {
//!     let world = World::new(Arc::new(SystemClock::new())).with_image(image_name(), Image::probe());
//!     let backend: Arc<dyn Orchestrator> = Arc::new(world.orchestrator());
//!
//!     // The name of the run keeps several runs on one engine apart.
//!     let bench = Bench::new(backend, Arc::new(Outside(world)), image_name(), "nightly").unwrap();
//!     // All of them: `Suite::new()`. While you work on one, name it.
//!     let report = Suite::new().with_only(["scale".to_owned(), "engine-restart".to_owned()]).run(&bench).await;
//!     println!("{report}");
//!     assert!(report.is_good(), "{report}");
//! }
//! ```
//!
//! # How to read the report
//!
//! | outcome | what it means |
//! |---|---|
//! | `passed` | The backend does it: on the engine, seen from inside a container or by the witness. |
//! | `refused` | The backend does not claim it in its [`Capability`](straddle_core::capability::Capability), or has a finding that blocks or ignores a field that it is about. The suite has asked for it all the same, and it was refused as `Blocked` or `Unsupported`, or answered with a finding or note, with nothing changed. |
//! | `skipped` | The witness cannot do what it needs, for the reason that is shown. Nothing is known about it: it is no pass. |
//! | `FAILED` | It is not so; or what is not claimed is done or planned all the same; or something was left behind. |
//!
//! [`Report::is_good`] is true where nothing failed and something passed. [`Report::table`] sets the reports of several engines side by side.
//! Each behaviour has an application of its own, called `<run>-<number>-<id>`, which is removed when it is over, also after a failure; every wait
//! has a deadline. Six run at once; those that disturb others, such as a restart of the engine, run alone at the end.
//!
//! What the suite does not do: it measures nothing, and it shows of a terminal's size that it is taken, not that a program sees it.
//!
//! # The first law
//!
//! [`silent_losses`] is the test of the first law: every leaf field of the model ends up in the native output or in a finding. It needs the pure
//! half of a backend only.

mod behaviours;
mod bench;
mod loss;
mod refusal;
mod suite;
mod witness;

pub mod probe;

pub use behaviours::{BEHAVIOURS, Behaviour};
pub use bench::{Bench, Mismatch};
pub use loss::{Fate, Loss, Said, fates, silent_losses};
pub use suite::{Counts, Entry, Outcome, Report, Suite};
pub use witness::{Abandoned, Applying, Witness, cannot};

#[cfg(doc)]
use straddle_core::orchestrator::Orchestrator;
