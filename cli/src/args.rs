//! What the command takes, as far as several of its commands share it. What only one takes stands with that one.

use clap::{Parser, ValueEnum};

use crate::command::Command;

/// Gives the guests of this host their network: NAT, IPsec tunnels, proxied neighbours, DHCP, from one description.
#[derive(Parser)]
#[command(name = "guestnet", version, after_help = crate::exit::HELP,
    after_long_help = format!("{}\n{}", crate::exit::MORE_HELP, crate::exit::HELP))]
pub struct Args {
    /// How results and errors are printed.
    #[arg(long, short = 'o', value_enum, default_value = "text", global = true)]
    pub output: OutputFormat,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// For whom the output is.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// For programs: one JSON document on standard output, errors too, those on standard error.
    Json,
}
