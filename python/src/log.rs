//! What the library does, told to Python's `logging`.
//!
//! Lines are noted while the kernel works and told afterwards, all at once: so Python's lock is taken once a call, and
//! a handler may use the host.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use guestnet::Host;
use pyo3::prelude::*;

/// `logging.DEBUG`.
const DEBUG: u8 = 10;

/// The lines that are yet to be told.
#[derive(Clone, Default)]
pub(crate) struct Log {
    wanted: Arc<AtomicBool>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    /// A log of every act on `host`. An act's line never shows what is in a message.
    pub(crate) fn of(host: &mut Host) -> Self {
        let log = Self::default();
        let (wanted, lines) = (Arc::clone(&log.wanted), Arc::clone(&log.lines));
        host.watch(move |act| {
            if wanted.load(Ordering::Relaxed) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(act.to_string());
            }
        });
        log
    }

    /// Looks whether anybody listens.
    pub(crate) fn begin(&self, py: Python<'_>) -> PyResult<()> {
        let listens = logger(py)?.call_method1("isEnabledFor", (DEBUG,))?.extract()?;
        self.wanted.store(listens, Ordering::Relaxed);
        Ok(())
    }

    /// Tells what was noted.
    pub(crate) fn end(&self, py: Python<'_>) -> PyResult<()> {
        let lines = mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        if lines.is_empty() {
            return Ok(());
        }
        let logger = logger(py)?;
        lines.into_iter().try_for_each(|line| logger.call_method1("debug", ("%s", line)).map(drop))
    }
}

fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("logging")?.call_method1("getLogger", ("guestnet",))
}
