//! Writes what is made from the command itself: `generate schemas DIR` the JSON Schemas of its documents,
//! `generate share DIR` man pages and completions, laid out as below `/usr/share`.

use std::error::Error;
use std::fs;
use std::path::Path;

use clap_complete::Shell;
use clap_mangen::Man;
use guestnet::document::Described;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["schemas", folder] => schemas(Path::new(folder)),
        ["share", folder] => share(Path::new(folder)),
        _ => Err("generate schemas DIR | generate share DIR".into()),
    }
}

fn schemas(folder: &Path) -> Result<(), Box<dyn Error>> {
    for document in Described::ALL {
        let text = serde_json::to_string_pretty(&document.schema())? + "\n";
        write(&folder.join(format!("{}.json", document.name())), text.as_bytes())?;
    }
    Ok(())
}

fn share(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut command = guestnet_cli::command_line();
    for (shell, place) in [
        (Shell::Bash, "bash-completion/completions/guestnet"),
        (Shell::Zsh, "zsh/site-functions/_guestnet"),
        (Shell::Fish, "fish/vendor_completions.d/guestnet.fish"),
    ] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, "guestnet", &mut text);
        write(&folder.join(place), &text)?;
    }
    command.build();
    pages(&command, &folder.join("man/man1"))
}

/// A page for the command and one for each command of it: `guestnet.1`, `guestnet-apply.1`.
fn pages(command: &clap::Command, folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut text = Vec::new();
    Man::new(command.clone()).render(&mut text)?;
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    write(&folder.join(format!("{name}.1")), &text)?;
    let of_its_own = |command: &&clap::Command| !command.is_hide_set() && command.get_name() != "help";
    command.get_subcommands().filter(of_its_own).try_for_each(|command| pages(command, folder))
}

fn write(path: &Path, text: &[u8]) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).map_err(|e| format!("write {}: {e}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
