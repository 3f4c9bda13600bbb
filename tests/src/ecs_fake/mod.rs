//! Amazon ECS as it behaves, in a process: for tests only.
//!
//! [`Fake`] speaks the wire protocols of ECS and of the services around it on one port of this machine. It keeps what it is sent, refuses what the
//! service refuses, and lets happen what the service lets happen: tasks come up and end, deployments roll, break and go back, targets turn healthy,
//! names begin and cease to stand for tasks. With [`docker`](FakeOptions::docker) its tasks are real containers; without, they are made of nothing
//! but time, so that there can be thousands of them.
//!
//! What lasts minutes on AWS takes seconds here: see [`FakeOptions`]. Any call can be made to go wrong, see [`Fault`].

mod agent;
mod clusters;
mod definitions;
mod deployments;
mod discovery;
mod faults;
mod identity;
mod life;
mod logs;
mod operations;
mod scaling;
mod scheduler;
mod schedules;
mod secrets;
mod server;
mod services;
mod sham;
mod state;
mod tagging;
mod targets;
mod tasks;
mod value;
mod wire;
mod witness;
mod xml;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use serde_json::Value;
use straddle_core::error::{Error, ErrorKind, Result};
use tokio::{net::TcpListener, runtime::Runtime, sync::Notify, time::Instant};

use self::{
    agent::Agent,
    faults::Record,
    state::{Ecs, Names, World},
};
pub use self::{
    faults::{Call, Fault},
    witness::{Connect, FakeWitness},
};

/// What a fake is like.
#[derive(Clone, Debug)]
pub struct FakeOptions {
    /// The account: `111122223333`.
    pub account: String,
    /// How much of the time between two health checks passes, of containers and of targets: 1.
    pub check_pace: f64,
    /// How many tasks have a place; `None` for as many as there are.
    pub capacity: Option<usize>,
    /// How many container instances each cluster has, which is how many tasks a daemon has: 1.
    pub container_instances: usize,
    /// Whether tasks are real containers, on the engine at `DOCKER_HOST` or at the usual place: no.
    pub docker: bool,
    /// Whether the count of failed tasks begins anew once a task runs, so that what exits at once never trips the circuit breaker: no.
    pub failures_reset: bool,
    /// How long a minute lasts that a deployment bakes, or that a container must have run to be restarted: 1 s.
    pub minute: Duration,
    /// The region: `eu-central-1`.
    pub region: String,
    /// What the addresses begin with at which commands in containers are talked to: that of AWS. Nothing of the fake answers there.
    pub sessions: Option<String>,
    /// How long a task that nothing checks must run to count as healthy, which is 40 s on AWS: 1 s.
    pub settle: Duration,
    /// How many times faster than on a clock the buckets fill that [`throttle`](Self::throttle) keeps: 1.
    pub speed: f64,
    /// How long reads show what was before a write.
    pub stale_reads: Duration,
    /// How long each step in the life of a task takes beside what it does: 20 ms.
    pub step: Duration,
    /// Whether names of Service Connect are known only to tasks that were started after the service that has the name was made: no.
    pub strict_names: bool,
    /// Whether calls are limited as the service publishes it: no.
    pub throttle: bool,
}

impl Default for FakeOptions {
    fn default() -> Self {
        Self {
            account: "111122223333".to_owned(),
            check_pace: 1.0,
            capacity: None,
            container_instances: 1,
            docker: false,
            failures_reset: false,
            minute: Duration::from_secs(1),
            region: "eu-central-1".to_owned(),
            sessions: None,
            settle: Duration::from_secs(1),
            speed: 1.0,
            stale_reads: Duration::ZERO,
            step: Duration::from_millis(20),
            strict_names: false,
            throttle: false,
        }
    }
}

/// A fake that ends with the test, and everything with it that it made.
#[derive(Debug)]
pub struct Fake {
    shared: Arc<Shared>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

/// What all parts of a fake know.
#[derive(Debug)]
struct Shared {
    options: FakeOptions,
    world: Mutex<World>,
    record: Mutex<Record>,
    /// What ECS kept before writes that reads do not see yet.
    past: Mutex<VecDeque<(Instant, Ecs)>>,
    /// Told whenever the scheduler may have something to do.
    wake: Notify,
    agent: Option<Agent>,
    handle: tokio::runtime::Handle,
}

impl Fake {
    /// Starts a fake.
    ///
    /// # Errors
    ///
    /// [`Internal`](ErrorKind::Internal) where no port or thread is to be had, [`Unavailable`](ErrorKind::Unavailable) where no Docker engine
    /// answers though one is asked for.
    pub fn start(options: FakeOptions) -> Result<Self> {
        // What calls this may run in a runtime of its own, in which nothing may wait for another one.
        thread::spawn(move || Self::started(options))
            .join()
            .unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "the fake did not start")))
    }

    /// Returns the address for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how often each operation was called since the last [`forget`](Self::forget): `ecs:DescribeServices` and so on.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, usize> {
        self.shared.record().counts.clone()
    }

    /// Returns every call since the last [`forget`](Self::forget), in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Call> {
        self.shared.record().calls.clone()
    }

    /// Returns how many calls came faster than the published rates, where these are kept.
    #[must_use]
    pub fn throttled(&self) -> usize {
        self.shared.record().throttled
    }

    /// Returns the bodies of the calls of an operation.
    #[must_use]
    pub fn requests_of(&self, operation: &str) -> Vec<Value> {
        let record = self.shared.record();
        record.calls.iter().filter(|call| call.operation == operation).map(|call| call.body.clone()).collect()
    }

    /// Forgets calls, and faults that have not struck.
    pub fn forget(&self) {
        let mut record = self.shared.record();
        record.calls.clear();
        record.counts.clear();
        record.calm();
    }

    /// Lets a call go wrong: the `nth` one of this operation from now on, counted from zero; `*` is any operation.
    pub fn disturb(&self, operation: &str, nth: usize, fault: Fault) {
        self.shared.record().disturb(operation, Some(nth), fault);
    }

    /// Lets every call of an operation go wrong until [`forget`](Self::forget) or [`calm`](Self::calm).
    pub fn disturb_all(&self, operation: &str, fault: Fault) {
        self.shared.record().disturb(operation, None, fault);
    }

    /// Lets all calls go well again.
    pub fn calm(&self) {
        self.shared.record().calm();
    }

    /// Returns where on this machine the listener of a load balancer listens, by its ARN.
    #[must_use]
    pub fn listener(&self, arn: &str) -> Option<SocketAddr> {
        self.shared.world().balancing.listener_address(arn)
    }

    /// Takes the place of a task away, as where a Spot task is interrupted; `false` where it does not run.
    #[must_use]
    pub fn interrupt(&self, task: &str) -> bool {
        let mut world = self.shared.world();
        let Some(task) = world.ecs.tasks.get_mut(state::last(task)).filter(|task| !task.is_to_stop()) else {
            return false;
        };
        task.stop("SpotInterruption", "Your Spot Task was interrupted.");
        true
    }

    /// Sets how many tasks have a place from now on.
    pub fn limit_capacity(&self, tasks: Option<usize>) {
        self.shared.world().ecs.capacity = tasks;
        self.shared.wake.notify_one();
    }

    /// Sets the health of a container of a task without Docker; `false` where there is none.
    #[must_use]
    pub fn set_health(&self, task: &str, container: &str, healthy: bool) -> bool {
        let mut world = self.shared.world();
        let task = world.ecs.tasks.get_mut(state::last(task));
        let Some(container) = task.and_then(|task| task.container(container)) else { return false };
        container.health = if healthy { state::Health::Healthy } else { state::Health::Unhealthy };
        true
    }

    /// Ends a container of a task without Docker; `false` where there is none.
    #[must_use]
    pub fn end_container(&self, task: &str, container: &str, code: i64) -> bool {
        sham::end(&self.shared, state::last(task), container, code)
    }

    fn started(options: FakeOptions) -> Result<Self> {
        let failed = |error: io::Error| Error::new(ErrorKind::Internal, "start the fake").with_source(error);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(failed)?;
        let agent =
            if options.docker { Some(runtime.block_on(Agent::connect(options.check_pace))?) } else { None };
        let names = Names {
            account: options.account.clone(),
            region: options.region.clone(),
            sessions: options.sessions.clone(),
        };
        let mut world = World::new(&names);
        world.ecs.capacity = options.capacity;
        let shared = Arc::new(Shared {
            options,
            world: Mutex::new(world),
            record: Mutex::default(),
            past: Mutex::default(),
            wake: Notify::new(),
            agent,
            handle: runtime.handle().clone(),
        });
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        runtime.spawn(server::serve(Arc::clone(&shared), listener));
        runtime.spawn(scheduler::run(Arc::clone(&shared)));
        runtime.spawn(targets::check(Arc::clone(&shared)));
        if shared.agent.is_some() {
            runtime.spawn(agent::watch(Arc::clone(&shared)));
        }
        Ok(Self { shared, address, runtime: Some(runtime) })
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let shared = Arc::clone(&self.shared);
        // Whoever drops it may be in a runtime of its own, which must not wait for another one.
        let end = thread::spawn(move || {
            if let Some(agent) = &shared.agent {
                runtime.block_on(agent.clear());
            }
            runtime.shutdown_background();
        });
        drop(end.join());
    }
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what ECS keeps before it is written to.
    fn keep_past(&self, ecs: &Ecs) {
        if !self.options.stale_reads.is_zero() {
            let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
            past.push_back((Instant::now(), ecs.clone()));
        }
    }

    /// Returns what a read shows where that is not what there is.
    fn seen(&self) -> Option<Ecs> {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        while past.front().is_some_and(|(time, _)| time.elapsed() >= self.options.stale_reads) {
            past.pop_front();
        }
        past.front().map(|(_, ecs)| ecs.clone())
    }

    /// Lets the tasks live that have been made.
    fn bear(self: &Arc<Self>, world: &mut World) {
        for id in world.births.drain(..) {
            self.handle.spawn(life::live(Arc::clone(self), id));
        }
    }
}
