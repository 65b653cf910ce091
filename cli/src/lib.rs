//! The command `guestnet`: the library for shells, scripts and people. It is a library of its own so that its man pages
//! and completions can be made from it.

mod answer;
mod args;
mod command;
mod exit;
mod input;
mod output;
mod place;
mod watch;

use std::borrow::Cow;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use guestnet::core::visible_lines;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use args::{Args, OutputFormat};
use exit::Failure;
use output::Output;

/// Does what the command line says.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let args = match Args::try_parse_from(&words) {
        Ok(args) => args,
        Err(error) => return not_run(&error, &words),
    };
    raise_file_limit();
    let output = Output::new(args.output);
    match args.command.run().and_then(|answer| output.answer(&answer)) {
        Ok(code) => code.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.code().into()
        }
    }
}

/// Help was asked for, or the call is wrong.
fn not_run(error: &clap::Error, words: &[OsString]) -> ExitCode {
    let wrong = error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    let said = error.to_string();
    let usage = Failure::Usage(said.trim_start_matches("error: ").trim_end().to_owned());
    if wrong && asks_for_json(words) {
        Output::new(OutputFormat::Json).failure(&usage);
    } else if wrong && matches!(visible_lines(&said), Cow::Owned(_)) {
        // It repeats an argument, which is not shown as it is.
        Output::new(OutputFormat::Text).failure(&usage);
    } else if let Err(error) = error.print()
        && !wrong
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        let failure = Failure::io("write to standard output", error);
        Output::new(OutputFormat::Text).failure(&failure);
        return failure.code().into();
    }
    if wrong { usage.code().into() } else { ExitCode::SUCCESS }
}

/// Whether a call that could not be understood asks for JSON all the same.
fn asks_for_json(words: &[OsString]) -> bool {
    let is = |word: &OsString, texts: &[&str]| texts.iter().any(|text| word == text);
    let pair = |pair: &[OsString]| is(&pair[0], &["-o", "--output"]) && is(&pair[1], &["json"]);
    words.windows(2).any(pair) || words.iter().any(|word| is(word, &["-ojson", "-o=json", "--output=json"]))
}

/// Each namespace of a guest takes four descriptors, and the usual soft limit is 1024; the hard one is what counts.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it cannot be raised, opening says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// The command line, described.
pub fn command_line() -> clap::Command {
    Args::command()
}
