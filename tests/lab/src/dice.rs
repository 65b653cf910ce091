//! Chance that can be had again.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Numbers that follow from a seed (xorshift64*).
pub struct Dice(u64);

impl Dice {
    /// Those of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Seeds to try: that of `GUESTNET_SEED`; or for as many seconds as `GUESTNET_SOAK` says those that follow from the time;
    /// or the first `few`, which are always the same.
    ///
    /// # Panics
    /// When a variable is no number.
    pub fn seeds(few: u64) -> Box<dyn Iterator<Item = u64>> {
        let number = |name: &str| {
            let text = std::env::var(name).ok()?;
            Some(text.parse().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
        };
        if let Some(seed) = number("GUESTNET_SEED") {
            return Box::new(std::iter::once(seed));
        }
        let Some(seconds) = number("GUESTNET_SOAK") else { return Box::new(1..=few) };
        let until = Instant::now() + Duration::from_secs(seconds);
        let first = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Box::new((first..).take_while(move |_| Instant::now() < until))
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    /// Whether one of `n` is thrown.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of `list`.
    ///
    /// # Panics
    /// When it is empty.
    pub fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()].clone()
    }
}
