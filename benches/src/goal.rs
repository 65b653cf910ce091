//! What has been promised, and whether it was kept. Printed, never asserted: machines differ.

use crate::statistics::{Spread, around_median, digits, time};

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
    /// How much more was taken in each round by the contestant than by the other, as [`Self::most`] has it. `first` is the
    /// first row of the table, and `least` the least that it took.
    pub fn found(&self, rounds: impl Iterator<Item = [f64; 3]>, least: f64) -> Vec<f64> {
        let more = |[who, with, first]: [f64; 3]| match self.most {
            Most::Times(_) => who / with,
            Most::Longer(_) => who - with,
            Most::LongerAtBest(_) => (who - with) / first * least,
        };
        rounds.map(more).collect()
    }

    /// The promise in words, with what was found in the rounds: the median, between what it lies, and whether that is
    /// within the promise. A limit that lies between the two was neither kept nor broken for sure.
    pub fn judge(&self, found: &[f64]) -> String {
        let with = self.with;
        let (most, words, say): (_, _, fn(f64) -> String) = match self.most {
            Most::Times(most) => (most, format!("≤ {most} × {with}"), digits),
            Most::Longer(most) | Most::LongerAtBest(most) => {
                (most, format!("≤ {with} + {}", time(most)), time)
            }
        };
        let median = Spread::of(found.iter().copied()).median;
        let (low, high) = around_median(found.iter().copied());
        let verdict = if median <= most { "met" } else { "**missed**" };
        let sure = if low <= most && most < high { ", within noise" } else { "" };
        format!("{words}: {verdict}{sure} ({}; {} to {})", say(median), say(low), say(high))
    }
}

#[cfg(test)]
mod tests {
    use super::{Goal, Most};

    fn judged(most: Most, rounds: &[[f64; 3]]) -> String {
        let goal = Goal { who: "guestnet", with: "floor", most, from: 0 };
        goal.judge(&goal.found(rounds.iter().copied(), 1000.0))
    }

    #[test]
    fn a_promise_is_kept_broken_or_within_noise() {
        let times = |most, whos: [f64; 6]| judged(Most::Times(most), &whos.map(|who| [who, 10.0, 10.0]));
        let whos = [11.0, 12.0, 13.0, 14.0, 15.0, 16.0];
        assert_eq!(times(1.6, whos), "≤ 1.6 × floor: met (1.35; 1.10 to 1.60)");
        assert_eq!(times(1.5, whos), "≤ 1.5 × floor: met, within noise (1.35; 1.10 to 1.60)");
        assert_eq!(times(1.2, whos), "≤ 1.2 × floor: **missed**, within noise (1.35; 1.10 to 1.60)");
        assert_eq!(times(1.0, whos), "≤ 1 × floor: **missed** (1.35; 1.10 to 1.60)");
    }

    #[test]
    fn at_best_a_difference_counts_at_the_pace_of_the_first_row() {
        let rounds = [[2200.0, 2000.0, 2000.0]];
        assert_eq!(
            judged(Most::LongerAtBest(50.0), &rounds),
            "≤ floor + 0.05 us: **missed** (0.10 us; 0.10 us to 0.10 us)"
        );
        assert_eq!(
            judged(Most::Longer(500.0), &rounds),
            "≤ floor + 0.50 us: met (0.20 us; 0.20 us to 0.20 us)"
        );
    }
}
