//! The developer's commands. `cargo xtask` lists them.

#![allow(clippy::print_stderr, reason = "a program")]

mod architecture;
mod bench;
mod demo;
mod deps;
mod firewall;
mod fuzz;
mod man;
mod packages;
mod python;
mod python_types;
mod run;
mod schema;
mod second_kernel;
mod soak;
mod test;
mod vm;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use guestnet_lab::place;

const USAGE: &str = "\
cargo xtask demo                two hosts, their guests and an internet, shown as a table
cargo xtask test [--quick]      everything that must hold; --quick leaves out what needs the second kernel
cargo xtask bench [--quick] [JOB...]
                                what it costs, beside the kernel's floor and other tools; `list` names the jobs
cargo xtask bench --second-kernel [--quick] [JOB...]
                                the jobs that this kernel may lack something for (IPsec states): ratios only
cargo xtask bench --readme      write what the last whole run has measured into README.md
cargo xtask bench --count       the instructions of the pure middle, and how they grow; --accept: they are the new baseline
cargo xtask firewall            the firewall judged by packets, in namespaces on this kernel: docs/testing-the-firewall.md
cargo xtask firewall --mutants  rules left out one at a time: which of them no frame misses
cargo xtask fuzz list | --smoke inputs changed at random: names the targets, or tries each for some seconds
cargo xtask fuzz TARGET --hours N
                                the same, one target for long; FILE... replays inputs, --minimise keeps the best:
                                docs/fuzzing.md
cargo xtask soak --hours N      random hosts, by seeds that nobody has tried; --seed N is one of them: docs/fuzzing.md
cargo xtask deps                install what building and testing need on a Debian machine
cargo xtask schema              write the JSON Schemas of the documents into schemas/
cargo xtask man                 write man pages and completions into target/share, laid out for /usr
cargo xtask wheel               make the Python package, and try it in a clean environment of each Python here
cargo xtask python-types        make python/guestnet/spec.py from the schema; --check compares
cargo xtask vm -- COMMAND...    run COMMAND in the second kernel, here, with this environment
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<u8> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(0)
        }
        ["demo"] => demo::start(),
        // What `demo` runs: to see whether this kernel will do, on a kernel that will, and in namespaces there.
        ["demo-probe"] => demo::probe(),
        ["demo-probe-tap"] => demo::probe_tap(),
        ["demo-here"] => demo::isolated_here(),
        ["demo-inside"] => demo::inside(),
        ["demo-real"] => demo::inside_with_a_real_guest(),
        ["test"] => test::run(test::Extent::Whole),
        ["test", "--quick"] => test::run(test::Extent::Quick),
        ["bench", "--count"] => bench::check().and_then(|()| bench::check_growth()).map(|()| 0),
        ["bench", "--accept"] => bench::accept(),
        ["bench", "--readme"] => bench::write_readme().map(|()| 0),
        ["bench", ..] => bench::run(&arguments[1..]),
        // What `test` runs inside the second kernel.
        ["test-list", list] => second_kernel::run_list(list.as_ref()),
        ["wheel"] => python::wheel().map(|()| 0),
        // A stage of `test`.
        ["python-test"] => python::test().map(|()| 0),
        ["python-types"] => python_types::run(false).map(|()| 0),
        ["python-types", "--check"] => python_types::run(true).map(|()| 0),
        ["fuzz", ..] => fuzz::run(&arguments[1..]).map(|()| 0),
        ["soak", rest @ ..] => soak::run(rest).map(|()| 0),
        ["firewall"] => firewall::judge(false).map(|()| 0),
        ["firewall", "--mutants"] => firewall::judge(true).map(|()| 0),
        ["deps"] => deps::install_all().map(|()| 0),
        ["schema"] => schema::write().map(|()| 0),
        ["man"] => man::write().map(|()| 0),
        ["vm", "--", _, ..] => vm::run(&arguments[2..], Duration::from_secs(3600)),
        _ => bail!("what is {:?}?\n{USAGE}", arguments.join(" ")),
    }
}
