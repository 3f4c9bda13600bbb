//! Ctrl-C, and the request to stop that a system sends.

use std::future::pending;

use crate::environment::Interrupts;

/// Where Ctrl-C comes from; from the moment on that it is made, Ctrl-C does not end the process by itself.
#[derive(Debug)]
pub(crate) struct Source {
    from: Interrupts,
    #[cfg(unix)]
    signals: Option<[tokio::signal::unix::Signal; 2]>,
}

impl Source {
    #[cfg(unix)]
    pub(crate) fn new(from: Interrupts) -> Self {
        use tokio::signal::unix::{SignalKind, signal};

        let signals = match from {
            Interrupts::Signals => signal(SignalKind::interrupt())
                .ok()
                .zip(signal(SignalKind::terminate()).ok())
                .map(<[_; 2]>::from),
            Interrupts::Channel(_) => None,
        };
        Self { from, signals }
    }

    #[cfg(not(unix))]
    pub(crate) fn new(from: Interrupts) -> Self {
        Self { from }
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        let heard = match &mut self.from {
            Interrupts::Channel(receiver) => receiver.recv().await.is_some(),
            #[cfg(unix)]
            Interrupts::Signals => match &mut self.signals {
                Some([interrupt, terminate]) => tokio::select! {
                    heard = interrupt.recv() => heard.is_some(),
                    heard = terminate.recv() => heard.is_some(),
                },
                None => false,
            },
            #[cfg(not(unix))]
            Interrupts::Signals => tokio::signal::ctrl_c().await.is_ok(),
        };
        if !heard {
            // Nobody is there who could interrupt.
            pending::<()>().await;
        }
    }
}
