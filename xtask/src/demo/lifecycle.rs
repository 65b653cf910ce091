//! Making, changing and removing a host's network.

use std::fs;

use anyhow::{Context, Result, ensure};
use guestnet_lab::{Netns, scratch};
use serde_json::Value;

use super::command::expect;
use super::snapshot::Snapshot;
use crate::place;

/// Plans, applies and verifies.
pub fn make(host: &Netns, spec: &str) -> Result<String> {
    let plan = expect(host, &["plan", "-f", spec], 2)?;
    let sum = plan.lines().last().unwrap_or_default().to_owned();
    let report = expect(host, &["apply", "-f", spec], 0)?;
    expect(host, &["verify", "-f", spec], 0)?;
    Ok(format!("plan: {sum}\napply: {}", report.lines().next().unwrap_or_default()))
}

/// Applies what is there already, and what `show` prints.
pub fn again(hosts: &[Netns], specs: &[&str]) -> Result<String> {
    let mut said = Vec::new();
    for (host, spec) in hosts.iter().zip(specs) {
        let report = expect(host, &["apply", "-f", spec], 0)?;
        ensure!(report.starts_with("nothing to do"), "{}: {report}", host.name());
        let shown = scratch().join(format!("{}-shown.json", host.name()));
        fs::write(&shown, expect(host, &["show"], 0)?)?;
        let shown = shown.to_string_lossy().into_owned();
        let report = expect(host, &["apply", "-f", &shown], 0)?;
        ensure!(report.starts_with("nothing to do"), "{}, of what show prints: {report}", host.name());
        said.push(format!("{}: {report}, also of what `guestnet show` prints", host.name()));
    }
    Ok(said.join("\n"))
}

/// Takes the guest `name` out of the spec: only what is the guest's may go.
pub fn change(host: &Netns, spec: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(place::repository().join(spec))?;
    let mut value: Value = serde_json::from_str(&text)?;
    let guests = value["guests"].as_array_mut().context("the spec has guests")?;
    guests.retain(|guest| guest["name"] != name);
    let path = scratch().join("changed.json");
    fs::write(&path, value.to_string())?;
    let path = path.to_string_lossy().into_owned();
    let plan = expect(host, &["plan", "-f", &path], 2)?;
    let (sum, lines) = plan
        .lines()
        .collect::<Vec<_>>()
        .split_last()
        .map(|(s, l)| (s.to_string(), l.to_vec()))
        .context("a plan")?;
    // All that names the guest, its public address, its prefix or its endpoint.
    let is_its = |line: &&str| {
        [name, "203.0.113.18", "2001:db8:1:b1:", "2001:db8:1::b1"].iter().any(|w| line.contains(w))
    };
    let others: Vec<&str> =
        lines.iter().filter(|line| !line.starts_with('-') || !is_its(line)).copied().collect();
    ensure!(others.is_empty(), "the plan changes more than {name}: {}", others.join("; "));
    let report = expect(host, &["apply", "-f", &path], 0)?;
    Ok(format!("plan: {sum}\n{}\napply: {}", lines.join("\n"), report.lines().next().unwrap_or_default()))
}

/// Removes everything: the hosts are as they were `before`.
pub fn remove(hosts: &[Netns], before: &[Snapshot]) -> Result<String> {
    let mut said = Vec::new();
    for (host, before) in hosts.iter().zip(before) {
        let report = expect(host, &["remove"], 0)?;
        Snapshot::take(host)?.same_as(before).with_context(|| format!("{} is not as it was", host.name()))?;
        said.push(format!("{}: {}", host.name(), report.lines().next().unwrap_or_default()));
    }
    let left = Netns::here()?.ip("netns list")?;
    let left: Vec<&str> = left.lines().filter(|line| line.starts_with("vm")).collect();
    ensure!(left.is_empty(), "namespaces of guests are left: {}", left.join(", "));
    Ok(said.join("\n"))
}
