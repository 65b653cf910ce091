//! `cargo xtask soak`: random hosts and random calls, by seeds that nobody has tried, until one fails or the time is over. A
//! short form, by seeds that are always the same, is among the tests.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::run::run as run_command;
use crate::test::cargo;
use crate::{deps, place, second_kernel};

/// What the time is shared by: laws of hosts, parts of a whole, hosts with tunnels in the second kernel.
const SHARES: u32 = 3;

/// How much longer than its share a test may take: a real guest takes minutes to boot in the second kernel.
const MORE: Duration = Duration::from_secs(1500);

/// Does what the words behind `cargo xtask soak` say.
pub fn run(words: &[&str]) -> Result<()> {
    let (name, value, time) = match words {
        ["--hours", hours] => {
            let hours: f64 = hours.parse().with_context(|| format!("{hours:?} is no number of hours"))?;
            let time = Duration::try_from_secs_f64(hours * 3600.0).context("so long nobody waits")?;
            ("GUESTNET_SOAK", (time / SHARES).as_secs(), time / SHARES)
        }
        ["--seed", seed] => {
            let seed = seed.parse().with_context(|| format!("{seed:?} is no seed"))?;
            ("GUESTNET_SEED", seed, Duration::ZERO)
        }
        _ => bail!("say `--hours N` or `--seed N`"),
    };
    deps::install_all()?;
    let list = place::lab().join("soak_later");
    fs::create_dir_all(place::lab())?;
    let _ = fs::remove_file(&list);
    let variables =
        [(name, value.to_string()), ("GUESTNET_LAB_DEADLINE", (time + MORE).as_secs().to_string())];
    // Of the last, a guest behind a tunnel that is a real one here, there is nothing on a kernel without ESP.
    for tests in
        ["-p guestnet-cli --test soak", "-p guestnet --test parts", "-p guestnet --test tunnels real"]
    {
        let mut cargo = cargo(&format!("test {tests} -- --nocapture"));
        run_command(cargo.envs(variables.clone()).env("GUESTNET_LAB_LATER", &list))?;
    }
    second_kernel::test(&list, &variables, time + second_kernel::DEADLINE)
}
