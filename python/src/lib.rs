//! The native half of the Python package `guestnet`: what only Rust can do, as thin as it goes.
//!
//! The package around it is written by hand and has the documentation. Here are a checked spec, a host and a plan
//! that hold the library's own, the conversion of its errors, and the canonical form of addresses. Python's lock is
//! released while the kernel works.

mod address;
mod error;
mod host;
mod log;
mod plan;
mod spec;

/// `guestnet._native`.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::address::{ip, ipnet, ipv4, ipv4net, ipv6, ipv6net};
    #[pymodule_export]
    use super::host::{Host, examine};
    #[pymodule_export]
    use super::plan::Plan;
    #[pymodule_export]
    use super::spec::{Spec, read, schema, toml_to_json, visible, without_keys};
}
