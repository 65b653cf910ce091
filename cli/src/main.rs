//! The command `guestnet`: the library for shells, scripts and people.

mod args;
mod exit;
mod output;

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use guestnet::{Host, HostSpec, Objects};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use args::{Args, Command, Format, Input, Place};
use exit::Failure;
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
    match run(args.command, &output) {
        Ok(code) => code.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.code().into()
        }
    }
}

fn run(command: Command, output: &Output) -> Result<u8, Failure> {
    match command {
        Command::Plan { input, place } => {
            let spec = spec(&input)?;
            let plan = host(&place)?.plan(&spec)?;
            output.plan(&plan)?;
            if !plan.conflicts().is_empty() {
                return Ok(exit::FAILED);
            }
            Ok(if plan.is_empty() { exit::DONE } else { exit::PENDING })
        }
        Command::Apply { input, place } => {
            let spec = spec(&input)?;
            output.report(&host(&place)?.apply(&spec)?)?;
            Ok(exit::DONE)
        }
        Command::Verify { input, place } => {
            let spec = spec(&input)?;
            let plan = host(&place)?.verify(&spec)?;
            output.plan(&plan)?;
            Ok(if plan.is_empty() { exit::DONE } else { exit::FAILED })
        }
        Command::Show { place } => {
            let objects = host(&place)?.observe()?;
            output.spec(&HostSpec { objects, ..HostSpec::default() })?;
            Ok(exit::DONE)
        }
        Command::Remove { file, format, place } => {
            let spec = file.map(|file| spec(&Input { file, format })).transpose()?;
            let mut host = host(&place)?;
            let report = match spec {
                Some(spec) => host.remove(&spec)?,
                None => host.remove_all()?,
            };
            output.report(&report)?;
            Ok(exit::DONE)
        }
        Command::Schema => {
            output.json(&HostSpec::schema())?;
            Ok(exit::DONE)
        }
        Command::Render { input } => {
            let objects: Objects = spec(&input)?.objects().map_err(guestnet::Error::from)?;
            print(&guestnet::render(&objects))?;
            Ok(exit::DONE)
        }
    }
}

/// Writes to standard output; that nobody reads it (`| head`) is no failure of ours.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Io("write to standard output".into(), e))
        }
        _ => Ok(()),
    }
}

/// Each namespace of a guest takes four descriptors, and the usual soft limit is 1024; the hard one is what counts.
fn raise_file_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it cannot be raised, opening says so.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn host(place: &Place) -> Result<Host, Failure> {
    let mut host = match &place.netns {
        Some(name) => Host::in_namespace(name)?,
        None => Host::open()?,
    };
    if let Some(directory) = &place.files {
        host = host.files_in(directory);
    }
    if let Some(seconds) = place.wait {
        host = host.wait_at_most(Duration::from_secs(seconds));
    }
    Ok(host)
}

fn spec(input: &Input) -> Result<HostSpec, Failure> {
    let mut text = String::new();
    if input.file.as_os_str() == "-" {
        let failed = |e| Failure::Io("read standard input".into(), e);
        io::stdin().read_to_string(&mut text).map_err(failed)?;
    } else {
        text = std::fs::read_to_string(&input.file)
            .map_err(|e| Failure::Io(format!("read {}", input.file.display()), e))?;
    }
    let toml = match input.format {
        Some(format) => format == Format::Toml,
        None => input.file.extension().is_some_and(|extension| extension == "toml"),
    };
    let spec = if toml { HostSpec::from_toml(&text) } else { HostSpec::from_json(&text) };
    Ok(spec.map_err(guestnet::Error::from)?)
}
