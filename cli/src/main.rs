//! The command `guestnet`: the library for shells, scripts and people.

mod answer;
mod args;
mod command;
mod exit;
mod input;
mod output;
mod place;

use std::process::ExitCode;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use args::Args;
use output::Output;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // clap knows whether help was asked for (standard output, 0) or the call was wrong.
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
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

/// Each namespace of a guest takes four descriptors, and the usual soft limit is 1024; the hard one is what counts.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it cannot be raised, opening says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
