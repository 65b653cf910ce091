//! libnftables in the process, in its JSON: what a program can do without spawning `nft`.

use std::ffi::CString;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::job::Missing;
use crate::sys;

/// The library, opened.
pub struct Library(sys::Libnftables);

impl Library {
    /// Opens it.
    pub fn open() -> Result<Self> {
        let missing = || Missing("libnftables.so.1 is not on this machine".to_owned());
        Ok(Self(sys::Libnftables::open().ok_or_else(missing)?))
    }

    /// Carries commands out, in one transaction.
    pub fn run(&self, commands: &Value) -> Result<()> {
        ensure!(self.0.run(&CString::new(commands.to_string())?), "libnftables refuses the commands");
        Ok(())
    }
}

/// The command that adds (or deletes) elements `key : data` of the map `name`.
pub fn elements(verb: &str, table: &str, name: &str, pairs: &[(String, String)]) -> Value {
    let elements: Vec<Value> = pairs.iter().map(|(key, data)| json!([key, data])).collect();
    json!({ verb: { "element": { "family": "ip", "table": table, "name": name, "elem": elements } } })
}
