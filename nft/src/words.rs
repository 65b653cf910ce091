//! How numbers of things read in a plan.

/// `1 rule`, `2 rules`.
pub fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}
