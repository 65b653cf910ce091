//! What has been promised, and whether it was kept. Printed, never asserted: machines differ.

use crate::statistics::Spread;

/// A promise about one contestant, in comparison with another of the same run.
pub struct Goal {
    /// Who.
    pub who: &'static str,
    /// Compared with whom.
    pub with: &'static str,
    /// How much more it may take.
    pub most: Most,
    /// The least size of the job for which it is promised.
    pub from: usize,
}

/// How much more than another one may take.
#[derive(Clone, Copy)]
pub enum Most {
    /// So many times as long.
    Times(f64),
    /// So many nanoseconds longer.
    Longer(f64),
    /// So many nanoseconds longer at the pace at which the first row took the least: for what is so short that a machine
    /// which is slower for some seconds makes more of a difference. Compared are contestants in the same round, in parts of
    /// the time of the first.
    LongerAtBest(f64),
}

impl Goal {
    /// The promise in words, with what came of it.
    pub fn judge(&self, times: &Spread, longer: &Spread, at_best: f64) -> String {
        let (kept, words) = match self.most {
            Most::Times(most) => (times.median <= most, format!("≤ {most} × {}", self.with)),
            Most::Longer(most) => {
                (longer.median <= most, format!("≤ {} + {}", self.with, crate::statistics::time(most)))
            }
            Most::LongerAtBest(most) => {
                let (most_in_words, found) =
                    (crate::statistics::time(most), crate::statistics::time(at_best));
                (at_best <= most, format!("≤ {} + {most_in_words} ({found})", self.with))
            }
        };
        format!("{words}: {}", if kept { "met" } else { "**missed**" })
    }
}
