//! The commands, a file for each: what it takes (`clap::Args`), and its `run`, which returns a document to be printed.
//!
//! A new one is a file in this folder, its `mod` line, and its line in `commands!`.

mod add;
mod adopt;
mod apply;
mod doctor;
mod encap;
mod explain;
mod plan;
mod rekey;
mod remove;
mod render;
mod schema;
mod show;
mod verify;

use crate::answer::Answer;
use crate::exit::Failure;

/// One command.
trait Run {
    /// Does it, and says what to print and with what to exit.
    fn run(self) -> Result<Answer, Failure>;
}

macro_rules! commands {
    ($($module:ident::$name:ident,)*) => {
        /// What to do. The help of each stands with its type.
        #[derive(clap::Subcommand)]
        pub enum Command {
            $(#[allow(missing_docs)] $name($module::$name),)*
        }

        impl Command {
            /// Does it.
            pub fn run(self) -> Result<Answer, Failure> {
                match self { $(Self::$name(command) => command.run(),)* }
            }
        }
    };
}

commands! {
    plan::Plan,
    apply::Apply,
    add::Add,
    show::Show,
    verify::Verify,
    remove::Remove,
    adopt::Adopt,
    rekey::Rekey,
    schema::Schema,
    render::Render,
    encap::Encap,
    explain::Explain,
    doctor::Doctor,
}
