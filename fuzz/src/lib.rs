//! Fuzzing: what reads text, files and the kernel's answers is given inputs of all kinds. docs/fuzzing.md says how.
//!
//! A target is a module of `target/`: it reads an input and asserts what must hold of every one. How inputs are changed so
//! that they stay nearly right is in `mutate/`. Neither knows libFuzzer, which `main.rs` binds to them: the same targets
//! replay kept inputs in a plain test.

pub mod kernel;
pub mod memory;
pub mod mutate;
pub mod property;
mod sys;
pub mod target;

pub use target::{TARGETS, Target};
