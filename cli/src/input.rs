//! Where the spec comes from.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use guestnet::{HostSpec, Secrets};
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
                let refused = |_| "behind `fd:` stands the number of a file descriptor".to_owned();
                number.parse().map(Self::Descriptor).map_err(refused)
            }
            None => Ok(Self::File(text.into())),
        }
    }
}

impl Stream {
    /// All that it has, wiped when it is dropped: there may be secrets in it.
    fn read(&self) -> Result<Zeroizing<String>, Failure> {
        let what = match self {
            Self::StandardInput => "read standard input".to_owned(),
            Self::Descriptor(number) => format!("read file descriptor {number}"),
            Self::File(path) => format!("read {}", path.display()),
        };
        let opened = match self {
            Self::StandardInput => return read_all(io::stdin().lock()).map_err(|e| Failure::io(what, e)),
            Self::Descriptor(number) => File::open(format!("/proc/self/fd/{number}")),
            Self::File(path) => File::open(path),
        };
        opened.and_then(read_all).map_err(|e| Failure::io(what, e))
    }
}

/// A string that grows leaves copies of what it held: so it is made large enough, and copied where it was not.
fn read_all(mut stream: impl Read) -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let mut piece = Zeroizing::new(vec![0; 1 << 16]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => {
                if bytes.capacity() - bytes.len() < n {
                    let mut larger = Zeroizing::new(Vec::with_capacity(2 * (bytes.len() + n)));
                    larger.extend_from_slice(&bytes);
                    bytes = larger;
                }
                bytes.extend_from_slice(&piece[..n]);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text"))?;
    Ok(Zeroizing::new(text.to_owned()))
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

impl JsonInput {
    /// What is in the document, and the secrets that it names.
    pub fn read(&self) -> Result<(Zeroizing<String>, Secrets), Failure> {
        read(&self.file, self.secrets.as_ref())
    }
}

/// What is in a file, and the secrets beside it.
fn read(file: &Path, secrets: Option<&Stream>) -> Result<(Zeroizing<String>, Secrets), Failure> {
    let document = if file.as_os_str() == "-" { Stream::StandardInput } else { Stream::File(file.into()) };
    if document == Stream::StandardInput && secrets == Some(&document) {
        return Err(Failure::Usage("the spec and its secrets cannot both be on standard input".into()));
    }
    let secrets = match secrets {
        Some(stream) => Secrets::from_json(&stream.read()?)?,
        None => Secrets::new(),
    };
    Ok((document.read()?, secrets))
}

impl Form {
    fn read(&self, file: &Path) -> Result<HostSpec, Failure> {
        let (text, secrets) = read(file, self.secrets.as_ref())?;
        let toml = match self.format {
            Some(format) => format == Format::Toml,
            None => file.extension().is_some_and(|extension| extension == "toml"),
        };
        Ok(match toml {
            true => HostSpec::from_toml_with(&text, &secrets)?,
            false => HostSpec::from_json_with(&text, &secrets)?,
        })
    }
}
