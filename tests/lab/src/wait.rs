//! Waiting for something to become so.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The most that one look can take of a deadline. A machine that stands still for longer (its host stops it, or gives it
/// no time) has not looked meanwhile.
const LOOK: Duration = Duration::from_millis(200);

/// Asks `condition` again and again until it is met or `deadline` has passed.
///
/// # Errors
/// `what` did not happen in time.
pub fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) -> Result<()> {
    let mut left = deadline;
    let mut last = Instant::now();
    while !condition() {
        if left.is_zero() {
            bail!("{what}: still not so after {:.1} s", deadline.as_secs_f32());
        }
        std::thread::sleep(Duration::from_millis(20));
        let now = Instant::now();
        left = left.saturating_sub(now.duration_since(last).min(LOOK));
        last = now;
    }
    Ok(())
}
