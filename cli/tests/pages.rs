//! Man pages and completions: they are made, they can be rendered and read, and they have all there is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files that `cargo xtask man` makes, by their path below `share`.
fn made(test: &str) -> (PathBuf, BTreeMap<String, String>) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("share-{test}-{}", std::process::id()));
    // Cargo builds the examples with the tests, beside them.
    let program = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/generate");
    let output = Command::new(program).arg("share").arg(&folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let names = String::from_utf8(output.stdout).unwrap();
    let read = |name: &str| (name.to_owned(), std::fs::read_to_string(name).unwrap());
    (folder, names.lines().map(read).collect())
}

#[test]
fn there_is_a_page_for_each_command_and_it_renders() {
    let (folder, files) = made("pages");
    let commands = guestnet_cli::command_line();
    let names: Vec<&str> =
        commands.get_subcommands().map(|c| c.get_name()).filter(|n| *n != "help").collect();
    for name in &names {
        let page = folder.join(format!("man/man1/guestnet-{name}.1"));
        assert!(files.contains_key(page.to_str().unwrap()), "{}", page.display());
    }
    for page in files.keys().filter(|name| name.ends_with(".1")) {
        let mut man = Command::new("man");
        let output = man.args(["--warnings", "-E", "UTF-8", "-l", page]).env("MANWIDTH", "80").output();
        let output = output.expect("man, which `cargo xtask deps` installs");
        assert!(output.status.success() && output.stderr.is_empty(), "{page}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("SYNOPSIS"), "{page}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn shells_can_read_the_completions() {
    let (folder, files) = made("completions");
    let mut shells = 0;
    for (shell, file) in [
        ("bash", "bash-completion/completions/guestnet"),
        ("zsh", "zsh/site-functions/_guestnet"),
        ("fish", "fish/vendor_completions.d/guestnet.fish"),
    ] {
        let file = folder.join(file);
        let text = &files[file.to_str().unwrap()];
        for word in ["apply", "netns", "json", "toml"] {
            assert!(text.contains(word), "{shell}: {word}");
        }
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(output) => {
                assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
                shells += 1;
            }
            Err(_) => guestnet_lab::note(&format!("completions for {shell}, which is not here")),
        }
    }
    assert!(shells > 0);
    // As bash asks for them: what may follow `guestnet app`.
    let script = format!(
        "source {}; COMP_WORDS=(guestnet app); COMP_CWORD=1; _guestnet guestnet app guestnet; echo \"${{COMPREPLY[@]}}\"",
        folder.join("bash-completion/completions/guestnet").display()
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "apply");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn everything_has_help() {
    fn check(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{} has no help", command.get_name());
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{} {} has no help",
                command.get_name(),
                argument.get_id()
            );
        }
        command.get_subcommands().for_each(check);
    }
    let mut command = guestnet_cli::command_line();
    command.build();
    check(&command);
    assert!(command.get_subcommands().count() >= 7);
}
