//! One end is guestnet's, the other is made by iproute2 alone; what is on the wire between them is decrypted with the
//! same keys by an implementation that is neither guestnet's nor the kernel's: scapy's.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use guestnet::rekey::{Act, Standing};
use guestnet::xfrm::Key;
use guestnet_lab::{Capability, Frame, Netns, lab_test, need, need_program};
use serde_json::{Value, json};

use crate::streams::{INSIDE, Streams};
use crate::world::World;

const HERE: &str = "2001:db8:0::a";
const THERE: &str = "2001:db8:1::a";
const ROUNDS: u32 = 3;

/// SPI and key of the state of a generation, from this end or to it: given, and the same to all three.
fn given(generation: u32, out: bool) -> (u32, String) {
    let spi = 0x1000 + 2 * generation + u32::from(out);
    let key = (0..36_u32).map(|n| format!("{:02x}", (n * 7 + spi) % 251)).collect();
    (spi, key)
}

/// The tunnel of this end.
fn tunnel(generation: u32) -> Value {
    let state = |out| {
        let (spi, key) = given(generation, out);
        json!({ "both": { "spi": spi, "key": key } })
    };
    json!({
        "local": HERE, "remote": THERE,
        "pairs": [
            { "local": "192.168.0.85/32", "remote": "192.168.0.127/32" },
            { "local": "fdfe:62d4:efc4:ef3b::/64", "remote": "fdc9:3955:7bf:873c::/64" },
        ],
        "states": { "out": state(true), "in": state(false) },
        "generation": generation,
    })
}

/// The other end, by hand.
struct ByHand(Netns);

impl ByHand {
    fn state(&self, generation: u32, out: bool) -> Result<()> {
        let (spi, key) = given(generation, out);
        let (src, dst, window) = if out { (HERE, THERE, 128) } else { (THERE, HERE, 1) };
        let script = format!(
            "ip xfrm state add src {src} dst {dst} proto esp spi {spi} reqid 1 mode tunnel replay-window {window} \
             flag esn flag af-unspec aead 'rfc4106(gcm(aes))' 0x{key} 128"
        );
        guestnet_lab::output(self.0.command("sh").args(["-ec", &script]))?;
        Ok(())
    }

    fn policies(&self, generation: u32) -> Result<()> {
        let (spi, _) = given(generation, false);
        for (here, there) in
            [("192.168.0.85/32", "192.168.0.127/32"), ("fdfe:62d4:efc4:ef3b::/64", "fdc9:3955:7bf:873c::/64")]
        {
            self.0.ip(&format!(
                "xfrm policy update src {there} dst {here} dir out tmpl src {THERE} dst {HERE} proto esp spi {spi} reqid 1 mode tunnel"
            ))?;
            self.0.ip(&format!(
                "xfrm policy update src {here} dst {there} dir fwd tmpl src {HERE} dst {THERE} proto esp reqid 1 mode tunnel"
            ))?;
        }
        Ok(())
    }

    fn drop(&self, generation: u32) -> Result<()> {
        for (out, dst) in [(true, THERE), (false, HERE)] {
            let (spi, _) = given(generation, out);
            self.0.ip(&format!("xfrm state delete dst {dst} proto esp spi {spi}"))?;
        }
        Ok(())
    }
}

/// How the other end stands, as its operator writes it.
fn standing(generation: u32, decrypts: bool, encrypts: bool) -> Result<Standing> {
    let held = |has: bool, out| -> Result<Vec<Value>> {
        let (spi, key) = given(generation, out);
        let fingerprint = key.parse::<Key>()?.fingerprint().to_string();
        let held = json!({ "generation": generation, "spi": spi, "fingerprint": fingerprint, "used": !out });
        Ok(if has { vec![held] } else { vec![] })
    };
    Ok(serde_json::from_value(json!({
        "local": THERE, "remote": HERE, "generation": generation,
        "inbound": held(decrypts, true)?, "outbound": held(encrypts, false)?,
    }))?)
}

/// Has scapy decrypt the frames; how many packets of ours were inside.
fn decrypted(frames: &[Frame]) -> Result<usize> {
    let mut states = Vec::new();
    for generation in 0..=ROUNDS {
        for out in [true, false] {
            let (spi, key) = given(generation, out);
            states.push(json!({ "spi": spi, "key": key }));
        }
    }
    let hex = |frame: &Frame| frame.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let frames: Vec<String> = frames.iter().filter(|frame| frame.is_esp()).map(hex).collect();
    let input = json!({ "states": states, "frames": frames, "inside": String::from_utf8_lossy(INSIDE) });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rekey/decrypt.py");
    let mut scapy = Command::new("/usr/bin/python3");
    scapy.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = scapy.spawn()?;
    child.stdin.take().context("its input")?.write_all(input.to_string().as_bytes())?;
    let done = child.wait_with_output()?;
    ensure!(done.status.success(), "scapy: {}", done.status);
    Ok(String::from_utf8(done.stdout)?.trim().parse()?)
}

lab_test! {
    fn iproute2_at_the_other_end_and_scapy_on_the_wire() -> Result<()> {
        need(Capability::Esp);
        need_program("scapy3");
        let mut world = World::make()?;
        world.apply_tunnel(0, tunnel(0))?;
        let by_hand = ByHand(world.inside(1)?);
        by_hand.0.ip("xfrm state flush")?;
        by_hand.0.ip("xfrm policy flush")?;
        by_hand.state(0, true)?;
        by_hand.state(0, false)?;
        by_hand.policies(0)?;
        let fabric = world.capture()?;
        let streams = Streams::start(&world)?;
        for generation in 1..=ROUNDS {
            let mut act = |act, peer: Option<Standing>| -> Result<()> {
                let step = World::step_of(0, act, tunnel(generation), peer.as_ref());
                let standing = world.send(0, &step)?;
                ensure!(standing.refused.is_none(), "{act}: {:?}", standing.refused);
                Ok(())
            };
            by_hand.state(generation, true)?;
            act(Act::Inbound, None)?;
            act(Act::Outbound, Some(standing(generation, true, false)?))?;
            by_hand.state(generation, false)?;
            by_hand.policies(generation)?;
            act(Act::Drain, Some(standing(generation, true, true)?))?;
            std::thread::sleep(std::time::Duration::from_millis(300));
            by_hand.drop(generation - 1)?;
            // The spec still gives the keys of the first generation.
            ensure!(world.apply_tunnel(0, tunnel(0))? == 0);
        }
        let sent = streams.stop()?;
        let frames = fabric.stop();
        world.nothing_in_clear(&frames)?;
        let inside = decrypted(&frames)?;
        ensure!(inside as u64 == sent, "{sent} packets sent, {inside} decrypted by scapy: it finds each once");
        Ok(())
    }
}
