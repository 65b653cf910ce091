//! The same host by way of `ip`, `sysctl` and `nft`: the lines that guestnet renders, carried out.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::peak;

/// A line of a rendering, with the namespace that it is about; an empty name is the host's.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    /// What follows `ip`, or `ip -n NAME`.
    Ip(String, String),
    /// `KEY=VALUE`.
    Sysctl(String, String),
    /// A ruleset.
    Nft(String, String),
}

/// Takes a rendering apart.
pub fn lines(rendering: &str) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut input = rendering.lines();
    while let Some(line) = input.next() {
        if line.starts_with('#') {
            continue;
        }
        let (netns, rest) = inside(line);
        if rest == "nft -f - <<'END'" {
            let ruleset: Vec<&str> = input.by_ref().take_while(|line| *line != "END").collect();
            lines.push(Line::Nft(netns, ruleset.join("\n")));
        } else if let Some(sysctl) = rest.strip_prefix("sysctl -w ") {
            lines.push(Line::Sysctl(netns, sysctl.to_owned()));
        } else if let Some(words) = rest.strip_prefix("ip ") {
            lines.push(Line::Ip(netns, words.trim_start_matches("-6 ").to_owned()));
        } else {
            bail!("what is {line:?}?");
        }
    }
    Ok(lines)
}

/// The namespace of a line, and the line as it would be in there.
fn inside(line: &str) -> (String, String) {
    if let Some((netns, rest)) = line.strip_prefix("ip netns exec ").and_then(|rest| rest.split_once(' ')) {
        return (netns.to_owned(), rest.to_owned());
    }
    match line.strip_prefix("ip -n ").and_then(|rest| rest.split_once(' ')) {
        Some((netns, rest)) => (netns.to_owned(), format!("ip {rest}")),
        None => (String::new(), line.to_owned()),
    }
}

/// Carries each line out by a process of its own.
pub fn one_by_one(lines: &[Line]) -> Result<()> {
    lines.iter().try_for_each(|line| match line {
        Line::Ip(netns, words) => {
            let mut command = Command::new("ip");
            if !netns.is_empty() {
                command.args(["-n", netns]);
            }
            run(command.args(words.split_whitespace()), "")
        }
        Line::Sysctl(netns, sysctl) => run(in_namespace(netns, "sysctl").args(["-qw", sysctl]), ""),
        Line::Nft(netns, ruleset) => run(in_namespace(netns, "nft").args(["-f", "-"]), ruleset),
    })
}

/// What [`batches`] runs: for each namespace one `ip -batch`, one `sysctl`, one `nft`; that of the host first.
#[derive(Default)]
pub struct Batch {
    ip: String,
    sysctls: Vec<String>,
    nft: String,
}

/// Puts lines together by namespace.
pub fn batches(lines: &[Line]) -> BTreeMap<String, Batch> {
    let mut batches = BTreeMap::<String, Batch>::new();
    for line in lines {
        match line {
            Line::Ip(netns, words) => {
                let batch = batches.entry(netns.clone()).or_default();
                batch.ip += words;
                batch.ip.push('\n');
            }
            Line::Sysctl(netns, sysctl) => {
                batches.entry(netns.clone()).or_default().sysctls.push(sysctl.clone());
            }
            Line::Nft(netns, ruleset) => {
                let batch = batches.entry(netns.clone()).or_default();
                batch.nft += ruleset;
                batch.nft.push('\n');
            }
        }
    }
    batches
}

/// Runs the batches.
pub fn in_batches(batches: &BTreeMap<String, Batch>) -> Result<()> {
    for (netns, batch) in batches {
        if !batch.nft.is_empty() && netns.is_empty() {
            run(in_namespace(netns, "nft").args(["-f", "-"]), &batch.nft)?;
        }
        let mut ip = Command::new("ip");
        if !netns.is_empty() {
            ip.args(["-n", netns]);
        }
        run(ip.args(["-batch", "-"]), &batch.ip)?;
        // Rulesets in other namespaces come when those are there.
        if !batch.nft.is_empty() && !netns.is_empty() {
            run(in_namespace(netns, "nft").args(["-f", "-"]), &batch.nft)?;
        }
        // An argument list has its limits.
        for sysctls in batch.sysctls.chunks(1000) {
            run(in_namespace(netns, "sysctl").arg("-qw").args(sysctls), "")?;
        }
    }
    Ok(())
}

fn in_namespace(netns: &str, program: &str) -> Command {
    if netns.is_empty() {
        return Command::new(program);
    }
    let mut command = Command::new("ip");
    command.args(["netns", "exec", netns, program]);
    command
}

/// Runs `command` with `input`; its output is thrown away.
pub fn run(command: &mut Command, input: &str) -> Result<()> {
    let mut command = peak::weighed(command);
    command.stdout(Stdio::null());
    if input.is_empty() {
        let status = command.stdin(Stdio::null()).status().with_context(|| format!("start {command:?}"))?;
        ensure!(status.success(), "{command:?}: {status}");
        return Ok(());
    }
    let mut child = command.stdin(Stdio::piped()).spawn().with_context(|| format!("start {command:?}"))?;
    child.stdin.take().context("its input")?.write_all(input.as_bytes())?;
    let status = child.wait()?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Line, lines};

    #[test]
    fn a_rendering_is_taken_apart() {
        let text = "ip netns add a\nip netns exec a nft -f - <<'END'\ntable ip t {\n}\nEND\n\
                    ip netns exec a sysctl -w net/x=1\nip -n a -6 route add ::/0 dev b\n# file x:\n#   y\n";
        let words = |s: &str| s.to_owned();
        assert_eq!(
            lines(text).unwrap(),
            [
                Line::Ip(String::new(), words("netns add a")),
                Line::Nft(words("a"), words("table ip t {\n}")),
                Line::Sysctl(words("a"), words("net/x=1")),
                Line::Ip(words("a"), words("route add ::/0 dev b")),
            ]
        );
        assert!(lines("rm -r /").is_err());
    }
}
