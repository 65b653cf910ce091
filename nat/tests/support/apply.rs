//! Carrying a spec out.

use anyhow::{Result, ensure};
use guestnet_core::diff::{Change, diff};
use guestnet_core::{Context, Kind, Message, Namespace, Outbox, Path, Phase, Problems, Protocol, Set, Step};
use guestnet_nat::NatSpec;
use guestnet_nft::Table;

/// Makes the tables of `spec` in the namespace of the calling thread, and sees that there is nothing to be done then.
pub fn apply(spec: &NatSpec) -> Result<()> {
    let tables: Set<Table> = spec.lower().into_iter().collect();
    let mut problems = Problems::new();
    spec.check(&Path::root(), &mut problems);
    tables.iter().for_each(|table| table.check(&Path::root(), &mut problems));
    ensure!(problems.is_empty(), "{problems}");
    let mut namespace = Namespace::current()?;
    let changes = plan(&mut namespace, &tables)?;
    let mut out = Outbox::new();
    for (n, change) in changes.iter().enumerate() {
        out.begin(n);
        Table::encode(change, Phase::Filters, &Context::default(), &mut out)?;
    }
    let message = |(_, step)| match step {
        Step::Send(Protocol::Netfilter, message) => message,
        other => panic!("{other:?}"),
    };
    let mut messages: Vec<Message> = out.into_steps().into_iter().map(message).collect();
    let refused = namespace.exchange(Protocol::Netfilter, &mut messages)?;
    ensure!(refused.is_empty(), "refused: {refused:?}");
    let left = plan(&mut namespace, &tables)?;
    ensure!(left.is_empty(), "still to be done: {left:#?}");
    Ok(())
}

fn plan(namespace: &mut Namespace, tables: &Set<Table>) -> Result<Vec<Change<Table>>> {
    Ok(diff(tables, &Table::observe(namespace, tables)?).0)
}
