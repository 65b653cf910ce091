//! Where the spec comes from.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use guestnet::HostSpec;

use crate::exit::Failure;

/// The spec of a command that needs one.
#[derive(clap::Args)]
pub struct Input {
    /// The spec; `-` is standard input.
    #[arg(long, short = 'f')]
    file: PathBuf,
    #[command(flatten)]
    form: Form,
}

/// The spec of a command that can do without.
#[derive(clap::Args)]
pub struct OptionalInput {
    /// The spec; `-` is standard input.
    #[arg(long, short = 'f')]
    file: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// How a spec is to be read.
#[derive(clap::Args)]
struct Form {
    /// The language of the spec; without it TOML for names that end in .toml, else JSON.
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// The language of a spec.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON.
    Json,
    /// TOML.
    Toml,
}

impl Input {
    /// The spec, read and checked.
    pub fn read(&self) -> Result<HostSpec, Failure> {
        self.form.read(&self.file)
    }
}

impl OptionalInput {
    /// The spec, read and checked, where one is given.
    pub fn read(&self) -> Result<Option<HostSpec>, Failure> {
        self.file.as_deref().map(|file| self.form.read(file)).transpose()
    }
}

impl Form {
    fn read(&self, file: &Path) -> Result<HostSpec, Failure> {
        let mut text = String::new();
        if file.as_os_str() == "-" {
            let failed = |e| Failure::Io("read standard input".into(), e);
            io::stdin().read_to_string(&mut text).map_err(failed)?;
        } else {
            text = std::fs::read_to_string(file)
                .map_err(|e| Failure::Io(format!("read {}", file.display()), e))?;
        }
        let toml = match self.format {
            Some(format) => format == Format::Toml,
            None => file.extension().is_some_and(|extension| extension == "toml"),
        };
        let spec = if toml { HostSpec::from_toml(&text) } else { HostSpec::from_json(&text) };
        Ok(spec.map_err(guestnet::Error::from)?)
    }
}
