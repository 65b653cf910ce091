//! Applies the spec in `host.json`, and says what changed.

use guestnet::{Host, HostSpec};

fn main() -> Result<(), guestnet::Error> {
    let spec = HostSpec::from_json(&std::fs::read_to_string("host.json").expect("a spec"))?;
    let mut host = Host::open()?;
    println!("{}", host.plan(&spec)?);
    let report = host.apply(&spec)?;
    for file in &report.files {
        println!("{file} has changed: restart the daemon that reads it");
    }
    assert!(host.verify(&spec)?.is_empty());
    Ok(())
}
