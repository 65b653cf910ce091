//! Fresh namespaces for tests, and carrying changes out in them.
#![allow(dead_code)]

pub mod corpus;

use std::process::Command;

use guestnet_core::diff::{Change, diff};
use guestnet_core::netlink::Refusal;
use guestnet_core::{Context, Kind, Message, Namespace, Object, Outbox, Phase, Protocol, Set, Step};
use guestnet_nft::{Name, Table, TableName};
use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread in a network namespace of its own.
pub fn in_namespace(test: impl FnOnce(&mut Namespace) + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
            test(&mut Namespace::current().expect("the namespace"));
        });
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// What `program` prints in the namespace of the calling thread; fails the test when it fails.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// `nft` with one argument.
pub fn nft(command: &str) -> String {
    run("nft", &[command])
}

/// `nft -f -` with `text`.
pub fn nft_file(text: &str) {
    use std::io::Write;
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("nft");
    child.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("write");
    let output = child.wait_with_output().expect("wait");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// The messages of `changes`.
pub fn messages(changes: &[Change<Table>]) -> Vec<Message> {
    let mut out = Outbox::new();
    for phase in [Phase::Filters, Phase::Devices] {
        for (n, change) in changes.iter().enumerate() {
            out.begin(n);
            Table::encode(change, phase, &Context::default(), &mut out).expect("encode");
        }
    }
    let message = |step| match step {
        Step::Send(Protocol::Netfilter, message) => message,
        other => panic!("{other:?}"),
    };
    out.into_steps().into_iter().map(|(_, step)| message(step)).collect()
}

pub fn send(namespace: &mut Namespace, changes: &[Change<Table>]) -> Vec<(usize, Refusal)> {
    namespace.exchange(Protocol::Netfilter, &mut messages(changes)).expect("exchange")
}

/// Carries `changes` out.
pub fn carry_out(namespace: &mut Namespace, changes: &[Change<Table>]) {
    let refused = send(namespace, changes);
    assert!(
        refused.is_empty(),
        "refused: {refused:?} of {}",
        changes.iter().map(Change::text).collect::<String>()
    );
}

/// What is to be done so that the namespace has `tables`.
pub fn plan(namespace: &mut Namespace, tables: &Set<Table>) -> Vec<Change<Table>> {
    let observed = Table::observe(namespace, tables).expect("observe");
    let (changes, conflicts) = diff(tables, &observed);
    assert!(conflicts.is_empty());
    changes
}

/// Makes it so, and that there is nothing to be done then.
pub fn apply(namespace: &mut Namespace, tables: &Set<Table>) -> Vec<Change<Table>> {
    let changes = plan(namespace, tables);
    carry_out(namespace, &changes);
    let left = plan(namespace, tables);
    assert!(left.is_empty(), "still to be done: {}", left.iter().map(explain).collect::<String>());
    changes
}

fn explain(change: &Change<Table>) -> String {
    match change {
        Change::Replace { old, new } => format!("{}\nold {old:#?}\nnew {new:#?}", new.changed_from(old)),
        other => other.text(),
    }
}

pub fn one(table: Table) -> Set<Table> {
    Set::from_iter([table])
}

pub fn name(text: &str) -> Name {
    text.parse().expect("name")
}

pub fn table_name(text: &str) -> TableName {
    text.parse().expect("table name")
}
