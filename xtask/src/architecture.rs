//! The house rules that a program can check: who imports whom, and how long a file is.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use guestnet_lab::output;
use serde_json::Value;

use crate::place;

/// For each crate, the crates of this workspace that it may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("guestnet-core", &[]),
    ("guestnet-nft", &["guestnet-core"]),
    ("guestnet-nat", &["guestnet-core", "guestnet-nft"]),
    ("guestnet-firewall", &["guestnet-core", "guestnet-nft"]),
    ("guestnet-xfrm", &["guestnet-core"]),
    ("guestnet-ndp", &["guestnet-core"]),
    ("guestnet-dhcpconf", &["guestnet-core"]),
    (
        "guestnet",
        &[
            "guestnet-core",
            "guestnet-nft",
            "guestnet-nat",
            "guestnet-firewall",
            "guestnet-xfrm",
            "guestnet-ndp",
            "guestnet-dhcpconf",
        ],
    ),
    ("guestnet-agent", &["guestnet"]),
    ("guestnet-cli", &["guestnet"]),
    ("guestnet-python", &["guestnet"]),
    ("guestnet-bench", &["guestnet", "guestnet-lab"]),
    ("guestnet-lab", &[]),
    ("xtask", &["guestnet-lab"]),
];

/// What the tests of every crate may use.
const LAB: &str = "guestnet-lab";

/// Beyond this a file probably holds two ideas.
const LONG: usize = 400;

/// An import: the crate, what it imports, and whether only its tests do.
#[derive(Debug)]
struct Arrow {
    from: String,
    to: String,
    in_tests: bool,
}

/// Fails when a crate imports one that it should not know.
pub fn check() -> Result<()> {
    let said = output(
        Command::new("cargo")
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(place::repository()),
    )?;
    let metadata: Value = serde_json::from_str(&said).context("read cargo metadata")?;
    let (crates, arrows) = graph(&metadata)?;
    let wrong: Vec<String> = crates
        .iter()
        .filter(|name| allowed(name).is_none())
        .map(|name| format!("{name} is new: say in xtask/src/architecture.rs what it may import"))
        .chain(
            arrows
                .iter()
                .filter(|arrow| !is_right(arrow))
                .map(|a| format!("{} must not import {}", a.from, a.to)),
        )
        .collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} crates, {} imports between them, none the wrong way", crates.len(), arrows.len());
    Ok(())
}

fn graph(metadata: &Value) -> Result<(Vec<String>, Vec<Arrow>)> {
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let names: Vec<String> = packages.iter().filter_map(|p| p["name"].as_str()).map(str::to_owned).collect();
    let mut arrows = Vec::new();
    for package in packages {
        let (Some(from), Some(dependencies)) = (package["name"].as_str(), package["dependencies"].as_array())
        else {
            bail!("cargo metadata names a package without dependencies");
        };
        for dependency in dependencies {
            let Some(to) = dependency["name"].as_str().filter(|to| names.iter().any(|name| name == to))
            else {
                continue;
            };
            let in_tests = dependency["kind"].as_str() == Some("dev");
            arrows.push(Arrow { from: from.to_owned(), to: to.to_owned(), in_tests });
        }
    }
    Ok((names, arrows))
}

fn allowed(name: &str) -> Option<&'static [&'static str]> {
    MAY_IMPORT.iter().find(|(from, _)| *from == name).map(|(_, to)| *to)
}

fn is_right(arrow: &Arrow) -> bool {
    let import = allowed(&arrow.from).is_none_or(|allowed| allowed.contains(&arrow.to.as_str()));
    import || (arrow.in_tests && arrow.to == LAB)
}

/// Names the files that have become long.
pub fn warn_of_long_files() -> Result<()> {
    let mut long = Vec::new();
    measure(place::repository(), &mut long)?;
    long.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
    for (file, lines) in long {
        println!("warning: {file} has {lines} lines; beyond {LONG} a file probably holds two ideas");
    }
    Ok(())
}

fn measure(directory: &Path, long: &mut Vec<(String, usize)>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                measure(&path, long)?;
            }
        } else if name.ends_with(".rs") {
            let lines = fs::read_to_string(&path)?.lines().count();
            if lines > LONG {
                let shown = path.strip_prefix(place::repository()).unwrap_or(&path);
                long.push((shown.display().to_string(), lines));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(from: &str, to: &str, in_tests: bool) -> bool {
        is_right(&Arrow { from: from.into(), to: to.into(), in_tests })
    }

    #[test]
    fn arrows_run_down() {
        assert!(arrow("guestnet-nat", "guestnet-nft", false));
        assert!(!arrow("guestnet-nft", "guestnet-nat", false));
        assert!(!arrow("guestnet-xfrm", "guestnet-nft", false), "only nat and firewall know nft");
        assert!(!arrow("guestnet-ndp", "guestnet-xfrm", false), "domain crates never import each other");
        assert!(!arrow("guestnet-ndp", "guestnet-xfrm", true), "not in tests either");
        assert!(arrow("guestnet-ndp", "guestnet-lab", true));
        assert!(!arrow("guestnet-ndp", "guestnet-lab", false), "the lab is for tests");
    }

    #[test]
    fn metadata_is_read() {
        let metadata = serde_json::json!({"packages": [
            {"name": "a", "dependencies": [{"name": "b", "kind": "dev"}, {"name": "libc", "kind": null}]},
            {"name": "b", "dependencies": [{"name": "a", "kind": null}]},
        ]});
        let (names, arrows) = graph(&metadata).expect("a graph");
        assert_eq!(names, ["a", "b"]);
        let arrows: Vec<_> = arrows.iter().map(|a| (a.from.as_str(), a.to.as_str(), a.in_tests)).collect();
        assert_eq!(arrows, [("a", "b", true), ("b", "a", false)]);
    }
}
