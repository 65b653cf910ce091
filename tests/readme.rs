//! What the README shows is so.

use std::collections::BTreeSet;

use guestnet::HostSpec;

const README: &str = include_str!("../README.md");

/// The code blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        if line.strip_prefix("```") == Some(language) {
            blocks.push(lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n"));
        }
    }
    blocks
}

#[test]
fn the_spec_of_the_readme_is_one() {
    let specs = blocks("json");
    assert_eq!(specs.len(), 1);
    let spec = HostSpec::from_json(&specs[0]).unwrap();
    assert_eq!(spec.objects().unwrap().namespaces.len(), 1);
}

#[test]
fn the_rust_of_the_readme_is_an_example_that_is_built() {
    let shown = blocks("rust,no_run");
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].trim(), include_str!("../examples/apply.rs").trim());
}

#[test]
fn the_examples_are_specs_without_problems() {
    for (name, text) in [
        ("host1.json", include_str!("../examples/host1.json")),
        ("seed.json", include_str!("../examples/seed.json")),
    ] {
        HostSpec::from_json(text).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    HostSpec::from_toml(include_str!("../examples/host2.toml")).unwrap();
}

#[test]
fn the_exit_codes_of_the_readme_are_those_of_the_help() {
    let of_help: BTreeSet<&str> = include_str!("../cli/src/exit.rs")
        .lines()
        .skip_while(|line| !line.starts_with("pub const HELP"))
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next().filter(|word| word.parse::<u8>().is_ok()))
        .collect();
    let of_readme: BTreeSet<&str> = README
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| ")?.split(" |").next().filter(|word| word.parse::<u8>().is_ok())
        })
        .collect();
    assert!(!of_help.is_empty());
    assert_eq!(of_readme, of_help);
}
