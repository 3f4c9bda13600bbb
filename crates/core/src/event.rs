//! What happens while a plan is carried out, as typed events.

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{failure::Failure, plan::Step};

/// Something that happened while a plan was carried out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A step began.
    StepStarted {
        /// The number of the step.
        step: u32,
        /// The resource, as `service/web`.
        resource: String,
    },
    /// A step moved on.
    StepProgress {
        /// The number of the step.
        step: u32,
        /// Where it is: `2/3 healthy`.
        text: String,
    },
    /// A step reached its end.
    StepDone {
        /// The number of the step.
        step: u32,
        /// What it came to: `3/3 healthy`.
        text: String,
        /// How long it took, in seconds.
        #[serde(serialize_with = "seconds")]
        elapsed: Duration,
    },
    /// A step failed.
    StepFailed {
        /// The number of the step.
        step: u32,
        /// Why, in one line.
        text: String,
        /// How long it took, in seconds.
        #[serde(serialize_with = "seconds")]
        elapsed: Duration,
    },
    /// A step was not begun, since one before it failed or somebody cancelled.
    StepSkipped {
        /// The number of the step.
        step: u32,
    },
    /// An image is pulled.
    Pull {
        /// The step that needs it.
        step: u32,
        /// The image.
        image: String,
        /// Bytes that are here.
        current: u64,
        /// Bytes in all, as far as they are known.
        total: u64,
    },
    /// The cause of a failure is known; a rollback may follow.
    FailureSeen {
        /// The number of the step.
        step: u32,
        /// The cause.
        failure: Box<Failure>,
    },
    /// A call is repeated.
    Retrying {
        /// Which call.
        operation: String,
        /// Why.
        reason: String,
        /// How long is waited first, in seconds.
        #[serde(serialize_with = "seconds")]
        delay: Duration,
    },
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((duration.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Takes events; cheap to clone.
#[derive(Clone)]
pub struct EventSink(Arc<dyn Fn(Event) + Send + Sync>);

impl EventSink {
    /// Makes a sink of a function, which must return at once.
    #[must_use]
    pub fn new(take: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Makes a sink that drops everything.
    #[must_use]
    pub fn none() -> Self {
        Self::new(drop)
    }

    /// Hands over an event.
    pub fn send(&self, event: Event) {
        (self.0)(event);
    }

    /// Says where a step is.
    pub fn progress(&self, step: &Step, text: impl Into<String>) {
        self.send(Event::StepProgress { step: step.id, text: text.into() });
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSink")
    }
}
