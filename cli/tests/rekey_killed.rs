//! `guestnet rekey`, killed at every call by which it changes something: the act is repeated, and the end is the same as
//! if nobody had been killed. No packet is lost, doubled or seen.

#[allow(dead_code, reason = "other tests take the rest of it")]
#[path = "../../tests/rekey/line.rs"]
mod line;
#[path = "../../tests/rekey/streams.rs"]
mod streams;
#[allow(dead_code, reason = "other tests take the rest of it")]
#[path = "../../tests/rekey/world.rs"]
mod world;

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use guestnet::rekey::{Act, Standing};
use guestnet_lab::{Capability, lab_test, need, need_program, wait_until};
use streams::Streams;
use world::{World, step, with_peer};

const GUESTNET: &str = env!("CARGO_BIN_EXE_guestnet");
const STEP: &str = "/run/step.json";

/// One tunnel, so that few calls are made and each is tried.
const LINES: usize = 1;

/// Has the command do a step, and kills it at the call number `n` of this kind. Whether there was such a call.
fn killed_at(call: &str, n: usize, end: usize, step: &str) -> Result<bool> {
    fs::write(STEP, step)?;
    let status = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:signal=SIGKILL:when={n}")])
        .args([GUESTNET, "rekey", "-n", &format!("host{end}"), "-f", STEP])
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success() || status.code().is_none(), "{call} {n}: {status}");
    Ok(!status.success())
}

/// The next generation of all tunnels, each act killed at its call number `n`, if it has so many. How many were killed.
fn round(world: &mut World, generation: u32, call: &str, n: usize) -> Result<usize> {
    let mut kills = 0;
    let mut before: [Vec<Standing>; 2] = [Vec::new(), Vec::new()];
    for act in [Act::Inbound, Act::Outbound, Act::Drain] {
        let mut after = before.clone();
        for end in [0, 1] {
            let line = |(number, line): (usize, &line::Line)| {
                with_peer(line.order(end, generation), before[1 - end].get(number))
            };
            let step = step(act, world.lines().iter().enumerate().map(line).collect());
            // One end of the two: which, changes.
            if end == (n + act as usize) % 2 {
                kills += usize::from(killed_at(call, n, end, &step)?);
            }
            after[end] = world.send_all(end, &step)?;
            let refused = after[end].iter().find_map(|standing| standing.refused.as_ref());
            ensure!(refused.is_none(), "{act} after a kill at {call} {n}: {refused:?}");
        }
        before = after;
    }
    Ok(kills)
}

lab_test! {
    fn killed_at_every_call_a_step_is_gone_through_again_and_nothing_is_lost() -> Result<()> {
        need(Capability::Esp);
        need_program("strace");
        let mut world = World::with(LINES)?;
        let fabric = world.capture()?;
        let streams = Streams::start(&world)?;
        let mut generation = 0;
        let mut kills = Vec::new();
        // Messages to the kernel, and the answer.
        for call in ["sendto", "write"] {
            let mut of_call = 0;
            for n in 1.. {
                generation += 1;
                let killed = round(&mut world, generation, call, n).with_context(|| format!("{call} {n}"))?;
                of_call += killed;
                if killed == 0 {
                    break;
                }
            }
            kills.push((call, of_call));
        }
        streams.stop()?;
        ensure!(kills.iter().all(|(_, kills)| *kills >= 3), "each act is killed: {kills:?}");
        world.nothing_in_clear(&fabric.stop())?;
        for end in [0, 1] {
            wait_until("the old states drain", Duration::from_secs(20), || {
                world.states(end).is_ok_and(|states| states.len() == 2 * LINES)
            })?;
            ensure!(world.states(end)? == world.expected_states(end, &[generation; LINES])?);
            ensure!(world.apply(end)? == 0);
        }
        Ok(())
    }
}
