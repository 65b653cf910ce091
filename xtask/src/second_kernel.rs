//! The tests that the running kernel could not run, run in the second one: all in one boot.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::run::run;
use crate::{python, vm};

/// More than the tests take there.
pub const DEADLINE: Duration = Duration::from_secs(1800);

/// By working directory and test binary, the names of the tests.
type List = BTreeMap<(String, String), Vec<String>>;

/// How many tests are in the list that the lab has written.
pub fn count(list: &Path) -> Result<usize> {
    Ok(read(list)?.values().map(Vec::len).sum())
}

/// A part of the changes that tools can make, which this kernel has been tried with as a whole: (program, test, variable).
const DRIFT: (&str, &str, (&str, &str)) =
    ("drift-", "what_tools_change_of_ours_is_found_and_mended", ("GUESTNET_DRIFT_PART", "0/12"));

/// The same with what this kernel could run, and is not the same on each.
fn with_drift(mut list: List) -> List {
    let is_drift = |program: &str| {
        let name = Path::new(program).file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(DRIFT.0)
    };
    for ((_, _), names) in list.iter_mut().filter(|((_, program), _)| is_drift(program)) {
        names.push(DRIFT.1.to_owned());
    }
    list
}

/// Boots the second kernel and runs there what is in `list`, with `variables` more in the environment.
pub fn test(list: &Path, variables: &[(&str, String)], deadline: Duration) -> Result<()> {
    let program = std::env::current_exe().context("find xtask itself")?;
    let set = variables.iter().map(|(name, value)| format!("{name}={value}"));
    let words = [program.as_path(), "test-list".as_ref(), list];
    let words = words.iter().map(|word| word.to_string_lossy().into_owned());
    let command: Vec<String> = std::iter::once("env".to_owned()).chain(set).chain(words).collect();
    let code = vm::run(&command, deadline)?;
    ensure!(code == 0, "tests have failed in the second kernel");
    Ok(())
}

/// Runs what is in `list` on this kernel; exit code 0 when all has passed.
pub fn run_list(list: &Path) -> Result<u8> {
    let mut code = 0;
    for ((place, program), names) in with_drift(read(list)?) {
        let short = Path::new(&program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        println!("     Running {short} in the second kernel");
        let mut command = Command::new(&program);
        // Nothing may be missing here, and there is no third kernel.
        command.env("GUESTNET_LAB_REQUIRED", "1").env_remove("GUESTNET_LAB_LATER");
        command.env("GUESTNET_PYTHON", python::interpreter()).env(DRIFT.2.0, DRIFT.2.1);
        if let Err(e) = run(command.arg("--exact").args(&names).current_dir(&place)) {
            eprintln!("error: {e:#}");
            code = 1;
        }
    }
    Ok(code)
}

fn read(list: &Path) -> Result<List> {
    let text = match fs::read_to_string(list) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other.with_context(|| format!("read {}", list.display()))?,
    };
    Ok(parse(&text))
}

fn parse(text: &str) -> List {
    let mut list = List::new();
    for line in text.lines() {
        if let [place, program, name] = line.split('\t').collect::<Vec<_>>().as_slice() {
            let names = list.entry(((*place).to_owned(), (*program).to_owned())).or_default();
            names.push((*name).to_owned());
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::{parse, with_drift};

    #[test]
    fn what_tools_change_is_tried_there_too() {
        let list = with_drift(parse("/here\t/bin/drift-12ab\ta\n/here\t/bin/other\tb\n"));
        let names: Vec<_> = list.values().map(|names| names.join(" ")).collect();
        assert_eq!(names, ["a what_tools_change_of_ours_is_found_and_mended", "b"]);
    }

    #[test]
    fn the_list_is_grouped_by_binary() {
        let list = parse("/here\t/bin/one\ta\n/here\t/bin/two\tb\n/here\t/bin/one\tc::d\n");
        let groups: Vec<_> =
            list.iter().map(|((_, program), names)| (program.as_str(), names.join(" "))).collect();
        assert_eq!(groups, [("/bin/one", "a c::d".to_owned()), ("/bin/two", "b".to_owned())]);
    }
}
