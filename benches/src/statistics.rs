//! Medians, quartiles and how they are written.

use serde::Serialize;

/// Where the values of a sample lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// A quarter is below it.
    pub lower: f64,
    /// Half is below it.
    pub median: f64,
    /// Three quarters are below it.
    pub upper: f64,
}

impl Spread {
    /// Of `values`; all zero if there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values = sorted(values);
        let at = |share: f64| {
            let place = share * values.len().saturating_sub(1) as f64;
            let (low, high) = (place.floor() as usize, place.ceil() as usize);
            match (values.get(low), values.get(high)) {
                (Some(a), Some(b)) => a + (b - a) * place.fract(),
                _ => 0.0,
            }
        };
        Self { min: at(0.0), lower: at(0.25), median: at(0.5), upper: at(0.75) }
    }
}

/// Between which of `values` the median lies of that of which they are a sample, in 95 of 100 cases or more; the least and the
/// greatest where there are fewer than six. Each value is as likely below the median as above it, and nothing else is
/// assumed (the sign test turned round).
pub fn around_median(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let values = sorted(values);
    let count = values.len();
    // The chance that exactly so many values lie below the median (its logarithm: of a thousand rounds it is less than a
    // number of this type can be), and that so many or fewer do.
    let mut exactly = count as f64 * 0.5_f64.ln();
    let (mut below, mut many) = (exactly.exp(), 0);
    while below <= 0.025 && many < count {
        exactly += ((count - many) as f64 / (many + 1) as f64).ln();
        below += exactly.exp();
        many += 1;
    }
    // One more than may be left out, if any.
    let left_out = many.saturating_sub(1);
    let at = |place: Option<usize>| place.and_then(|place| values.get(place)).copied().unwrap_or(0.0);
    (at(Some(left_out)), at(count.checked_sub(left_out + 1)))
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Nanoseconds as a person reads them.
pub fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        n if n.abs() < 999_500.0 => format!("{} us", digits(n / 1e3)),
        n if n.abs() < 9_995e6 => format!("{} ms", digits(n / 1e6)),
        n => format!("{} s", digits(n / 1e9)),
    }
}

/// Three digits are enough.
pub fn digits(value: f64) -> String {
    match value.abs() {
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Spread, around_median, digits, time};

    #[test]
    fn quartiles_lie_between_values() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]);
        assert_eq!(spread, Spread { min: 1.0, lower: 1.75, median: 2.5, upper: 3.25 });
        assert_eq!(Spread::of([7.0]).upper, 7.0);
        assert_eq!(Spread::of([]).median, 0.0);
    }

    /// The ranks are those of the tables of the sign test.
    #[test]
    fn a_median_lies_between_ranks() {
        let ranks = |count: u32| around_median((1..=count).rev().map(f64::from));
        assert_eq!([ranks(5), ranks(6), ranks(8)], [(1.0, 5.0), (1.0, 6.0), (1.0, 8.0)]);
        assert_eq!([ranks(9), ranks(20), ranks(40)], [(2.0, 8.0), (6.0, 15.0), (14.0, 27.0)]);
        assert_eq!([ranks(2000), ranks(3000)], [(956.0, 1045.0), (1446.0, 1555.0)]);
        assert_eq!(around_median([]), (0.0, 0.0));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            (digits(1.234), digits(12.34), digits(123.4)),
            ("1.23".into(), "12.3".into(), "123".into())
        );
        assert_eq!(
            (time(2400.0), time(2.4e6), time(24e9)),
            ("2.40 us".into(), "2.40 ms".into(), "24.0 s".into())
        );
    }
}
