//! Instructions of the pure middle, counted by callgrind and compared with what is committed. Unlike times they are the
//! same on a busy machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use guestnet_lab::output;
use serde_json::{Value, json};

use crate::{deps, place};

/// What is counted: `guestnet-bench count FIGURE` does it, in a function `counted_FIGURE`.
const FIGURES: [(&str, &str); 6] = [
    ("parse", "HostSpec::from_json of 1,000 guests: the check and the lowering included"),
    ("check", "what is wrong with 1,000 guests, each by itself"),
    ("lower", "HostSpec::objects of 1,000 guests, the check included"),
    ("diff", "core::diff, one guest of 1,000 missing"),
    ("plan", "Plan::from_nothing of 1,000 guests"),
    ("encode", "Kind::encode of all objects of 1,000 guests"),
];

/// How many guests the figure that must not grow with their square is counted for, and twice as many: so many that a walk
/// along all guests for each of them would show.
const GUESTS: u32 = 250;

/// Twice the guests at not much more than twice the cost: trees have become deeper.
const GROWTH: f64 = 2.2;

/// By how many percent a figure may grow, or should shrink before that is to be kept.
const TOLERANCE: f64 = 5.0;

const ACCEPT: &str = "cargo xtask bench --accept";

fn baseline() -> PathBuf {
    place::repository().join("benches/instructions.json")
}

/// What the counts depend on beside our code. Where it differs, numbers cannot be compared.
fn compiler() -> Result<String> {
    Ok(output(Command::new("rustc").arg("--version").current_dir(place::repository()))?.trim().to_owned())
}

/// Counts, and writes the counts down as what is accepted.
pub fn accept() -> Result<u8> {
    let counts = count_all()?;
    let document = json!({ "rustc": compiler()?, "instructions": counts });
    fs::write(baseline(), format!("{document:#}\n"))?;
    println!("written to {}: to be committed", baseline().display());
    Ok(0)
}

/// Counts, and compares with what is committed.
///
/// # Errors
/// When a figure has become worse by more than the tolerance.
pub fn check() -> Result<()> {
    let text = fs::read_to_string(baseline()).with_context(|| format!("read {}", baseline().display()))?;
    let accepted: Value = serde_json::from_str(&text).context("read the accepted counts")?;
    let (then, now) = (accepted["rustc"].as_str().unwrap_or_default().to_owned(), compiler()?);
    if then != now {
        let words =
            format!("the counts were accepted with {then:?}, and this is {now:?}: `{ACCEPT}`, and commit");
        ensure!(std::env::var_os("GUESTNET_LAB_REQUIRED").is_none(), "{words}");
        println!("SKIPPED: {words}");
        return Ok(());
    }
    let old: BTreeMap<String, u64> = serde_json::from_value(accepted["instructions"].clone())?;
    let new = count_all()?;
    println!("{}", verdict(&old, &new)?);
    Ok(())
}

/// What became better, in words.
///
/// # Errors
/// With what became worse by more than the tolerance, from how much to how much, and how to accept it.
fn verdict(old: &BTreeMap<String, u64>, new: &BTreeMap<String, u64>) -> Result<String> {
    let (mut worse, mut better) = (Vec::new(), Vec::new());
    for (figure, &now) in new {
        let Some(&then) = old.get(figure) else {
            worse.push(format!("{figure}: {now} instructions, and none were accepted yet"));
            continue;
        };
        let percent = (now as f64 / then as f64 - 1.0) * 100.0;
        let words = format!("{figure}: {now} instructions, where {then} were accepted ({percent:+.1} %)");
        if percent > TOLERANCE {
            worse.push(words);
        } else if percent < -TOLERANCE {
            better.push(words);
        }
    }
    let worse = worse.join("\n");
    ensure!(
        worse.is_empty(),
        "{worse}\nmore than {TOLERANCE} % worse; if it is worth it, accept it with `{ACCEPT}`, and commit"
    );
    if better.is_empty() {
        return Ok(format!("no figure is more than {TOLERANCE} % worse or better than what was accepted"));
    }
    let better = better.join("\n");
    Ok(format!("{better}\nmore than {TOLERANCE} % better: keep it with `{ACCEPT}`, and commit"))
}

fn count_all() -> Result<BTreeMap<String, u64>> {
    deps::install_for_counting()?;
    let program = super::build()?;
    FIGURES
        .into_iter()
        .map(|(figure, what)| {
            let count = count(&program, figure, &[])?;
            println!("{figure:8} {count:>13} instructions  {what}");
            Ok((figure.to_owned(), count))
        })
        .collect()
}

/// Counts what it costs to lower specs of all shapes, and twice as large ones.
///
/// # Errors
/// With the shapes that cost more than twice as much then.
pub fn check_growth() -> Result<()> {
    deps::install_for_counting()?;
    let program = super::build()?;
    let shapes = output(Command::new(&program).arg("shapes"))?;
    let mut grown = Vec::new();
    for shape in shapes.lines() {
        let lower = |guests: u32| count(&program, "lower", &[shape, &guests.to_string()]);
        let (once, twice) = (lower(GUESTS)?, lower(2 * GUESTS)?);
        let growth = twice as f64 / once as f64;
        let words = format!(
            "{shape:10} {once:>13} instructions for {GUESTS} guests, {growth:.2} times that for twice as many"
        );
        println!("{words}");
        if growth > GROWTH {
            grown.push(words);
        }
    }
    ensure!(!shapes.is_empty() && grown.is_empty(), "more than {GROWTH} times:\n{}", grown.join("\n"));
    Ok(())
}

/// How many instructions are executed in `counted_FIGURE` and what it calls; `spec` is the shape and size of the spec.
fn count(program: &Path, figure: &str, spec: &[&str]) -> Result<u64> {
    let folder = place::target().join("bench");
    fs::create_dir_all(&folder)?;
    let out = folder.join(format!("callgrind.{figure}"));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", &format!("--toggle-collect=*counted_{figure}*")])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(program)
        .args(["count", figure])
        .args(spec)
        .stdout(Stdio::null())
        .status()
        .context("start valgrind")?;
    ensure!(status.success(), "counting the instructions of {figure}: {status}");
    let profile = fs::read_to_string(&out).with_context(|| format!("read {}", out.display()))?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    let total = total.with_context(|| format!("{} has no total", out.display()))?;
    ensure!(total > 0, "callgrind found no function counted_{figure}");
    Ok(total)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::verdict;

    fn judge(old: &[(&str, u64)], new: &[(&str, u64)]) -> Result<String, String> {
        let figures = |list: &[(&str, u64)]| -> BTreeMap<String, u64> {
            list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        verdict(&figures(old), &figures(new)).map_err(|e| e.to_string())
    }

    #[test]
    fn more_than_five_percent_worse_fails_and_says_how_to_accept() {
        assert_eq!(
            judge(&[("diff", 1000), ("plan", 500)], &[("diff", 1060), ("plan", 500)]).unwrap_err(),
            "diff: 1060 instructions, where 1000 were accepted (+6.0 %)\n\
             more than 5 % worse; if it is worth it, accept it with `cargo xtask bench --accept`, and commit"
        );
        let words = judge(&[("diff", 1000)], &[("diff", 1000), ("new", 1)]).unwrap_err();
        assert!(words.starts_with("new: 1 instructions, and none were accepted yet\n"), "{words}");
        // What became better does not make good for what became worse.
        assert!(judge(&[("a", 1000), ("b", 1000)], &[("a", 1051), ("b", 100)]).is_err());
    }

    #[test]
    fn up_to_five_percent_are_let_pass_and_what_is_better_should_be_kept() {
        let words = judge(&[("a", 1000), ("b", 1000)], &[("a", 1049), ("b", 951)]).unwrap();
        assert!(words.starts_with("no figure"), "{words}");
        let words = judge(&[("a", 1000)], &[("a", 940)]).unwrap();
        assert!(words.starts_with("a: 940 ") && words.contains("`cargo xtask bench --accept`"), "{words}");
    }
}
