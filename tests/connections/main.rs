//! Addresses that are used again: connections of who had one before are not let in to who has it next (6.12).

#[path = "../support/mod.rs"]
mod support;

mod bridged;
mod killed;
mod many;
mod routed;
mod talk;
