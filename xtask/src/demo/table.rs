//! The table that the demo prints.

use std::time::{Duration, Instant};

use anyhow::Result;

/// What a row's text may take.
const WIDTH: usize = 100;

/// Prints a row for each thing shown, as it is shown.
pub struct Table {
    start: Instant,
    rows: usize,
    failed: usize,
}

impl Table {
    /// Prints the head.
    pub fn begin() -> Self {
        println!("\n{:>2}  {:6} {:>9}  what is shown", "", "", "time");
        Self { start: Instant::now(), rows: 0, failed: 0 }
    }

    /// Shows one thing: `show` says what it saw. A failure is printed and counted, and the next row still comes.
    pub fn row(&mut self, title: &str, show: impl FnOnce() -> Result<String>) {
        let start = Instant::now();
        let shown = show();
        self.rows += 1;
        let (word, text) = match shown {
            Ok(text) => ("ok", text),
            Err(e) => {
                self.failed += 1;
                ("FAILED", format!("{e:#}"))
            }
        };
        println!("{:>2}  {word:6} {}  {title}", self.rows, milliseconds(start.elapsed()));
        for line in text.lines().flat_map(|line| folded(line, WIDTH)) {
            println!("{:23}{line}", "");
        }
    }

    /// Prints the sum; exit code 0 when all was shown.
    pub fn end(self) -> u8 {
        let shown = self.rows - self.failed;
        println!(
            "{:>2}  {:6} {}  {shown} of {} shown",
            "",
            "",
            milliseconds(self.start.elapsed()),
            self.rows
        );
        u8::from(self.failed > 0)
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:>6} ms", time.as_millis())
}

/// `line` in pieces of at most `width` characters, broken between words where there are any.
fn folded(line: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for word in line.split(' ') {
        let length = pieces.last().map_or(0, |piece| piece.chars().count());
        if length > 0 && length + 1 + word.chars().count() > width {
            pieces.push(word.to_owned());
        } else if let Some(piece) = pieces.last_mut() {
            if length > 0 {
                piece.push(' ');
            }
            piece.push_str(word);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::{Table, folded};

    #[test]
    fn long_lines_are_folded_between_words() {
        assert_eq!(folded("one two three", 7), ["one two", "three"]);
        assert_eq!(folded("unbreakable", 3), ["unbreakable"]);
        assert_eq!(folded("", 3), [""]);
    }

    #[test]
    fn a_failed_row_makes_the_table_fail() {
        let mut table = Table::begin();
        table.row("good", || Ok("seen".to_owned()));
        table.row("bad", || anyhow::bail!("not seen"));
        table.row("good", || Ok("seen".to_owned()));
        assert_eq!((table.rows, table.failed), (3, 1));
        assert_eq!(table.end(), 1);
    }
}
