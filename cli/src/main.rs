//! The command `guestnet`.

use std::process::ExitCode;

fn main() -> ExitCode {
    guestnet_cli::main()
}
