//! What the command takes.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use guestnet::core::NetnsName;

/// Gives the guests of this host their network: NAT, IPsec tunnels, proxied neighbours, DHCP, from one description.
#[derive(Parser)]
#[command(name = "guestnet", version, after_help = crate::exit::HELP)]
pub struct Args {
    /// How results and errors are printed.
    #[arg(long, short = 'o', value_enum, default_value = "text", global = true)]
    pub output: OutputFormat,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Print what would change; exits with 2 if something would.
    Plan {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        place: Place,
    },
    /// Make the host as the spec says. What is guestnet's and not in the spec is removed.
    Apply {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        place: Place,
    },
    /// Print what guestnet has made on the host, in the form that `apply` takes.
    Show {
        #[command(flatten)]
        place: Place,
    },
    /// Exit with 0 if the host is as the spec says; otherwise print the difference and exit with 1.
    Verify {
        #[command(flatten)]
        input: Input,
        #[command(flatten)]
        place: Place,
    },
    /// Remove what the spec describes, or without -f all that guestnet has made.
    Remove {
        /// The spec whose objects are removed; `-` is standard input.
        #[arg(long, short = 'f')]
        file: Option<PathBuf>,
        /// The language of the spec; without it TOML for names that end in .toml, else JSON.
        #[arg(long, value_enum)]
        format: Option<Format>,
        #[command(flatten)]
        place: Place,
    },
    /// Print the JSON Schema of a spec.
    Schema,
    /// Print the `ip`, `sysctl` and `nft` lines that a spec amounts to, for review. Secrets are hidden.
    Render {
        #[command(flatten)]
        input: Input,
    },
}

/// Where the spec comes from.
#[derive(clap::Args)]
pub struct Input {
    /// The spec; `-` is standard input.
    #[arg(long, short = 'f')]
    pub file: PathBuf,
    /// The language of the spec; without it TOML for names that end in .toml, else JSON.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// Which host.
#[derive(clap::Args)]
pub struct Place {
    /// The host is the namespace that `ip netns` calls so; without it the one that the command runs in.
    #[arg(long, short = 'n')]
    pub netns: Option<NetnsName>,
    /// The directory for the files of daemons [default: /run/guestnet, or /run/guestnet/netns/NAME with -n].
    #[arg(long)]
    pub files: Option<PathBuf>,
    /// How many seconds to wait for another apply on this host [default: 30].
    #[arg(long)]
    pub wait: Option<u64>,
}

/// The language of a spec.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON.
    Json,
    /// TOML.
    Toml,
}

/// For whom the output is.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// For programs: one JSON document on standard output, errors too, those on standard error.
    Json,
}
