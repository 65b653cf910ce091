//! What stands above the tables: how to read them, and who the contestants are.

use crate::job::Job;

/// The contestants, and what they do.
const CONTESTANTS: &[(&str, &str)] = &[
    ("floor", "what guestnet sent, sent again from a tight loop: the kernel's own time"),
    ("floor and questions", "and what it asks the kernel while it does so"),
    ("the second answer", "what the way of an answer costs once the first has come"),
    ("raw dumps", "all that a host asks which was just opened, asked again; the answers are thrown away"),
    ("raw dumps, sysctls, files", "and the sysctls and files that guestnet has made read, one by one"),
    ("raw dumps of an open host", "what a host still asks that has done the same before"),
    ("guestnet", "the library, in a host (or, for single elements, a namespace) that is open"),
    ("guestnet, all applied", "the whole spec with the new guest applied, not the new guest added"),
    ("guestnet, the command", "a process of it, from the reading of the spec to its end"),
    ("guestnet, Python", "the Python module, from records on"),
    ("guestnet, notrack", "translation past connection tracking"),
    ("guestnet, tracked", "translation beside connection tracking"),
    ("one add of all", "one process of the command, whose spec has all of them"),
    ("an add for each, one after the other", "a process for each, started when the one before has ended"),
    ("an add for each, all at once", "a process for each, all started before the first has ended"),
    ("one remove of all", "one process of the command, whose spec has all of them"),
    ("a remove for each, one after the other", "a process for each, started when the one before has ended"),
    ("a remove for each, all at once", "a process for each, all started before the first has ended"),
    ("ip -batch, nft -f", "the lines that guestnet renders, by one process of each for each namespace"),
    ("ip -batch", "all lines by one process of ip; of a rekey, one for each act"),
    ("ip -batch, of 100", "one of a hundred lines in a process"),
    ("nft -f", "a ruleset by one process"),
    ("a process an object", "the same lines, a process each"),
    ("a process of ip", "one line, one process"),
    ("nft, a process an element", "one element, one process"),
    ("libnftables, JSON", "the library in this process, warm"),
    ("pyroute2, nft -f", "a Python that is warm; rulesets by nft"),
    ("the seed's processes", "the steps of an orchestrator that spawns processes"),
    ("ip -j, nft -j", "everything listed as JSON"),
    ("nft -j list", "the ruleset listed as JSON"),
    ("plain forwarding", "no rules: what the way through the kernel costs"),
    ("connection tracking alone", "no rules, but connections are known: what any stateful filter pays"),
    ("sets by hand", "the shortest filter that does it, guests in sets"),
    ("careful sets by hand", "and that asks of these packets what guestnet's contract asks"),
    ("rules for each guest", "the same filter without sets, in one chain"),
    ("maps by hand", "the shortest ruleset that translates"),
    (
        "careful maps by hand",
        "and that does right by guests that call each other, and by what must stay as it is",
    ),
    ("careful maps by hand, tracked", "the same, where connections are tracked by private addresses"),
    ("stateful NAT", "dnat and snat from maps, with connection tracking"),
    ("the seed's linear rules", "two rules a guest, in one chain"),
];

/// The head of a report about `jobs`.
pub fn head(kernel: &str, quick: bool, jobs: &[Job]) -> String {
    let quick = if quick { " --quick" } else { "" };
    let mut out = format!(
        "# `cargo xtask bench{quick}`, on Linux {kernel}\n\n\
         Contestants take turns in rounds. \"÷\": of each round the median, divided by that of the first row in the same \
         round; then the median of these. Memory: by how much a process grows, or the most that a program takes which is \
         started. Calls: system calls. The last column: what was promised, or why there is nothing.\n\n"
    );
    let there = |name| jobs.iter().flat_map(|job| &job.contestants).any(|contestant| contestant.name == name);
    CONTESTANTS
        .iter()
        .filter(|(name, _)| there(*name))
        .for_each(|(name, what)| out += &format!("- *{name}*: {what}\n"));
    out
}

#[cfg(test)]
mod tests {
    use super::CONTESTANTS;

    #[test]
    fn everybody_is_explained() {
        for contestant in crate::jobs::all().iter().flat_map(|job| &job.contestants) {
            let known = CONTESTANTS.iter().any(|(name, _)| *name == contestant.name);
            assert!(known, "a line for {:?} is missing", contestant.name);
        }
    }
}
