//! Where the spec comes from.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use guestnet::core::{Error as CoreError, input};
use guestnet::spec::decode;
use guestnet::{CheckedSpec, Problem, Problems, Secrets};
use zeroize::Zeroizing;

use crate::exit::Failure;

/// The spec of a command that needs one.
#[derive(clap::Args)]
pub struct Input {
    /// The spec; `-` is standard input.
    #[arg(long, short = 'f', value_name = "FILE|-")]
    file: PathBuf,
    #[command(flatten)]
    form: Form,
}

/// The spec of a command that can do without.
#[derive(clap::Args)]
pub struct OptionalInput {
    /// The spec; `-` is standard input.
    #[arg(long, short = 'f', value_name = "FILE|-")]
    file: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// A document that is JSON and nothing else.
#[derive(clap::Args)]
pub struct JsonInput {
    /// The document; `-` is standard input.
    #[arg(long, short = 'f')]
    file: PathBuf,
    /// Secrets that it only names: a JSON object of names and hex digits in this file, in file descriptor N (`fd:N`), or
    /// on standard input (`-`).
    #[arg(long, value_name = "FILE")]
    secrets: Option<Stream>,
}

/// How a spec is to be read.
#[derive(clap::Args)]
struct Form {
    /// The language of the spec; without it TOML for names that end in .toml, else JSON.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Secrets that the spec only names: a JSON object of names and hex digits in this file, in file descriptor N
    /// (`fd:N`) or on standard input (`-`).
    #[arg(long, value_name = "FILE|fd:N|-")]
    secrets: Option<Stream>,
}

/// Where descriptors have paths.
const DESCRIPTORS: [&str; 2] = ["/dev/fd/", "/proc/self/fd/"];

/// Where bytes come from.
#[derive(Clone, Debug, PartialEq)]
enum Stream {
    StandardInput,
    Descriptor(u16),
    File(PathBuf),
}

impl FromStr for Stream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::StandardInput);
        }
        match text.strip_prefix("fd:") {
            Some(number) => {
                let refused = || "behind `fd:` stands the number of a file descriptor".to_owned();
                guestnet::core::number(number).map(Self::Descriptor).ok_or_else(refused)
            }
            None => Ok(Self::at(text.as_ref())),
        }
    }
}

impl Stream {
    /// The file at `path`, or the descriptor of the caller's that it stands for, as in `<(…)` of a shell.
    fn at(path: &Path) -> Self {
        let text = path.to_str().unwrap_or_default();
        let number =
            DESCRIPTORS.iter().find_map(|directory| guestnet::core::number(text.strip_prefix(directory)?));
        match number {
            Some(number) => Self::Descriptor(number),
            None if text == "/dev/stdin" => Self::StandardInput,
            None => Self::File(path.into()),
        }
    }

    /// All that it has.
    fn read(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let what = match self {
            Self::StandardInput => "read standard input".to_owned(),
            Self::Descriptor(number) => format!("read file descriptor {number}"),
            Self::File(path) => format!("read {}", path.display()),
        };
        let bytes = match self {
            Self::StandardInput => input::stream(io::stdin().lock(), input::LONGEST),
            Self::Descriptor(number) => File::open(format!("/proc/self/fd/{number}"))
                .and_then(|stream| input::stream(stream, input::LONGEST)),
            Self::File(path) => input::file(path, input::LONGEST),
        };
        bytes.map_err(|e| Failure::io(what, e))
    }
}

/// The text of a document, or of the secrets beside one.
fn text(bytes: &[u8]) -> Result<Zeroizing<String>, CoreError> {
    Ok(Zeroizing::new(decode(bytes)?.to_owned()))
}

/// `error`, which is about secrets and not about the spec.
fn of_secrets(error: CoreError) -> CoreError {
    let CoreError::Spec(problems) = error else { return error };
    let moved = problems.into_iter().map(|problem| Problem { path: "secrets".to_owned().into(), ..problem });
    moved.collect::<Problems>().into()
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
    pub fn read(&self) -> Result<CheckedSpec, Failure> {
        self.form.read(&self.file)
    }
}

impl OptionalInput {
    /// The spec, read and checked, where one is given.
    pub fn read(&self) -> Result<Option<CheckedSpec>, Failure> {
        self.file.as_deref().map(|file| self.form.read(file)).transpose()
    }
}

impl JsonInput {
    /// What is in the document, and the secrets that it names.
    pub fn read(&self) -> Result<(Zeroizing<String>, Secrets), Failure> {
        read(&self.file, self.secrets.as_ref())
    }
}

/// What is in a file, and the secrets beside it.
fn read(file: &Path, secrets: Option<&Stream>) -> Result<(Zeroizing<String>, Secrets), Failure> {
    let document = if file.as_os_str() == "-" { Stream::StandardInput } else { Stream::at(file) };
    if document == Stream::StandardInput && secrets == Some(&document) {
        return Err(Failure::Usage("the spec and its secrets cannot both be on standard input".into()));
    }
    let secrets = match secrets {
        Some(stream) => Secrets::from_json(&text(&stream.read()?).map_err(of_secrets)?)?,
        None => Secrets::new(),
    };
    Ok((text(&document.read()?)?, secrets))
}

impl Form {
    fn read(&self, file: &Path) -> Result<CheckedSpec, Failure> {
        let (text, secrets) = read(file, self.secrets.as_ref())?;
        let toml = match self.format {
            Some(format) => format == Format::Toml,
            None => file.extension().is_some_and(|extension| extension == "toml"),
        };
        Ok(match toml {
            true => CheckedSpec::from_toml(&text, &secrets)?,
            false => CheckedSpec::from_json(&text, &secrets)?,
        })
    }
}
