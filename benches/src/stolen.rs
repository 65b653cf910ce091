//! What the hypervisor takes away: time for which a virtual processor wanted to run and was not let (`steal` in
//! proc_stat(5)). Where a machine may use its processors for so long only, that comes in the middle of a long job, and
//! makes it take twice as long.

use std::fs;

/// Of all processors together, since boot.
#[derive(Clone, Copy, Default)]
pub struct Ticks {
    wanted: u64,
    stolen: u64,
}

impl Ticks {
    /// As they are now; none at all where the kernel does not count them.
    pub fn now() -> Self {
        fs::read_to_string("/proc/stat").ok().and_then(|text| Self::read(&text)).unwrap_or_default()
    }

    fn read(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [user, nice, system, _idle, _iowait, irq, softirq, stolen, ..] = ticks[..] else { return None };
        Some(Self { wanted: user + nice + system + irq + softirq + stolen, stolen })
    }

    /// Which part of the time that was wanted since `before` was stolen: 0 to 1.
    pub fn stolen_since(self, before: Self) -> f64 {
        let wanted = self.wanted.saturating_sub(before.wanted).max(1);
        self.stolen.saturating_sub(before.stolen) as f64 / wanted as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Ticks;

    #[test]
    fn what_was_stolen_is_a_part_of_what_was_wanted() {
        let before = Ticks::read("cpu  100 0 50 900 5 0 10 20 0 0\ncpu0 …").unwrap();
        let after = Ticks::read("cpu  130 0 70 990 5 0 10 70 0 0\ncpu0 …").unwrap();
        assert!((after.stolen_since(before) - 0.5).abs() < 1e-9);
        assert!(before.stolen_since(before) < 1e-9);
        assert!(Ticks::read("cpu 1 2 3\n").is_none() && Ticks::read("").is_none());
    }
}
