//! Parts of tests that take long as a whole.

use std::str::FromStr;

use anyhow::{Context, Result, ensure};

/// One of so many parts: `0/8` is the first of eight.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    number: usize,
    of: usize,
}

impl Part {
    /// The part that the environment asks for by `variable`, if it does.
    ///
    /// # Errors
    /// When what it says is no part.
    pub fn said(variable: &str) -> Result<Option<Self>> {
        let Ok(text) = std::env::var(variable) else { return Ok(None) };
        text.parse().map(Some).with_context(|| format!("{variable}={text}"))
    }

    /// Whether the nth thing is in it.
    pub fn has(self, n: usize) -> bool {
        n % self.of == self.number
    }
}

impl FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (number, of) = text.split_once('/').context("a part is said as 0/8")?;
        let part = Self { number: number.parse()?, of: of.parse()? };
        ensure!(part.number < part.of, "of {} parts the last is {}", part.of, part.of.saturating_sub(1));
        Ok(part)
    }
}
