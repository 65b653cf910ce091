//! One IPsec policy, or one state, added to many.

use std::net::{IpAddr, Ipv6Addr};
use std::process::Command;

use anyhow::{Result, ensure};
use guestnet::core::{Change, Context, Kind, Message, Namespace, Outbox, Phase, Protocol, Step};
use guestnet::xfrm::{Algorithm, Direction, Key, Policy, Selector, Spd, Spi, State, Template};
use guestnet_lab::{Capability, has};

use crate::floor::Floor;
use crate::goal::{Goal, Most};
use crate::guests::{private, public};
use crate::job::{Contestant, Job, Missing, Round, Sizes};
use crate::recording::Recorder;
use crate::{ip, stage};

pub fn policy() -> Job {
    Job {
        name: "policy",
        what: "one IPsec policy added to many, between single addresses",
        sizes: Sizes { whole: &[(10_000, 5), (100_000, 5)], quick: &[(10_000, 3)] },
        contestants: contestants::<Policy>(),
        growth: Some(("guestnet", 1.5)),
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Longer(5000.0), from: 0 }],
    }
}

pub fn state() -> Job {
    Job {
        name: "state",
        what: "one IPsec state added to many, AES-256-GCM",
        sizes: Sizes { whole: &[(10_000, 3), (100_000, 3)], quick: &[(1000, 3)] },
        contestants: contestants::<State>(),
        growth: Some(("guestnet", 1.5)),
        goals: vec![Goal { who: "guestnet", with: "floor", most: Most::Times(1.25), from: 0 }],
    }
}

/// Something of which there can be many.
trait Many: Kind {
    /// Whether the kernel must have ESP.
    const NEEDS_ESP: bool;
    /// Number `n`.
    fn nth(n: usize) -> Result<Self>;
    /// What `ip` is told to make it.
    fn line(n: usize) -> Result<String>;
}

/// The reason why there is nothing to measure where the kernel has no ESP.
pub fn needs_esp() -> Result<()> {
    let missing =
        |_| Missing("this kernel has no ESP; `cargo xtask bench --second-kernel` has one".to_owned());
    Ok(has(Capability::Esp).map_err(missing)?)
}

/// An outer address.
pub fn host(last: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last).into()
}

/// The other end of state `n`. With each state that comes the kernel walks along all that lead to the same address, so each
/// has its own, as in a mesh.
fn peer(n: usize) -> IpAddr {
    Ipv6Addr::from_bits(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0).to_bits() + n as u128).into()
}

impl Many for Policy {
    const NEEDS_ESP: bool = false;

    fn nth(n: usize) -> Result<Self> {
        let selector = Selector::new(IpAddr::from(private(n)).into(), IpAddr::from(public(0)).into());
        Ok(Self::through(selector, Direction::Out, Template::tunnel(host(1), host(2), 0x6700_0000)))
    }

    fn line(n: usize) -> Result<String> {
        Ok(Self::nth(n)?.to_ip().trim_start_matches("ip ").to_owned())
    }
}

/// Where the SPIs start.
const SPI: usize = 0x1000;

/// The key of number `n`: 32 bytes and the salt.
fn key(n: usize) -> Vec<u8> {
    (0..36_u8).map(|byte| byte.wrapping_mul(7) ^ n.to_le_bytes()[usize::from(byte % 4)]).collect()
}

impl Many for State {
    const NEEDS_ESP: bool = true;

    fn nth(n: usize) -> Result<Self> {
        let spi: Spi = format!("{:#010x}", SPI + n).parse().map_err(|e| anyhow::anyhow!("{e}"))?;
        let key = Key::new(key(n)).map_err(|e| anyhow::anyhow!("{e}"))?;
        let mut state = Self::new(host(1), peer(n), spi, Algorithm::Aes256Gcm, key);
        state.reqid = 0x6700_0000;
        Ok(state)
    }

    fn line(n: usize) -> Result<String> {
        let key: String = key(n).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!(
            "xfrm state add src {} dst {} proto esp spi {:#x} reqid 0x67000000 mode tunnel aead rfc4106(gcm(aes)) \
             0x{key} 128 flag af-unspec",
            host(1),
            peer(n),
            SPI + n
        ))
    }
}

/// How often in one round.
const TIMES: usize = 100;

fn contestants<T: Many + 'static>() -> Vec<Contestant> {
    // All contestants have theirs at once, and of states no more than this fit into the second kernel's memory.
    let most = if T::NEEDS_ESP { 10_000 } else { usize::MAX };
    vec![
        Contestant::new("floor", floor::<T>),
        Contestant::new("guestnet", guestnet::<T>),
        Contestant::new("ip -batch, of 100", batch::<T>).up_to(most),
        Contestant::new("a process of ip", processes::<T>).up_to(most),
    ]
}

fn encode<T: Kind>(changes: &[Change<T>]) -> Result<Vec<Message>> {
    let mut outbox = Outbox::new();
    changes
        .iter()
        .try_for_each(|change| T::encode(change, Phase::Tunnels, &Context::default(), &mut outbox))?;
    let steps = outbox.into_steps().into_iter();
    Ok(steps
        .filter_map(|(_, step)| if let Step::Send(_, message) = step { Some(message) } else { None })
        .collect())
}

/// Carries changes out together.
pub fn send<T: Kind>(namespace: &mut Namespace, changes: &[Change<T>]) -> Result<()> {
    let refused = namespace.exchange(Protocol::Xfrm, &mut encode(changes)?)?;
    ensure!(refused.is_empty(), "the kernel refuses: {}", words(&refused));
    Ok(())
}

fn words(refused: &[(usize, guestnet::core::netlink::Refusal)]) -> String {
    let said = refused.first().map(|(_, refusal)| refusal.words.clone().unwrap_or(refusal.errno.to_string()));
    said.unwrap_or_default()
}

fn several<T: Many>(numbers: std::ops::Range<usize>, change: fn(T) -> Change<T>) -> Result<Vec<Change<T>>> {
    numbers.map(|n| Ok(change(T::nth(n)?))).collect()
}

/// A fresh namespace with `count` of them.
fn loaded<T: Many>(count: usize) -> Result<Namespace> {
    if T::NEEDS_ESP {
        needs_esp()?;
    }
    stage::bare()?;
    let mut namespace = Namespace::current()?;
    send(&mut namespace, &several::<T>(TIMES..TIMES + count, Change::Create)?)?;
    // By itself the kernel's hash of policies grows sooner for one than for another.
    Spd::grow(&mut namespace)?;
    Ok(namespace)
}

fn remove<T: Many>(namespace: &mut Namespace, count: usize) -> Result<()> {
    send(namespace, &several::<T>(0..count, Change::Delete)?)
}

fn floor<T: Many>(count: usize) -> Result<Round> {
    let mut namespace = loaded::<T>(count)?;
    let recorder = Recorder::of_namespace(&mut namespace);
    several::<T>(0..TIMES, Change::Create)?
        .into_iter()
        .try_for_each(|change| send(&mut namespace, &[change]))?;
    let mut floor = Floor::ready(recorder.take()?)?;
    remove::<T>(&mut namespace, TIMES)?;
    Ok(Box::new(move |meter| {
        meter.times(TIMES, |n| floor.step(n))?;
        remove::<T>(&mut namespace, TIMES)
    }))
}

fn guestnet<T: Many + 'static>(count: usize) -> Result<Round> {
    let mut namespace = loaded::<T>(count)?;
    let changes = several::<T>(0..TIMES, Change::Create)?;
    Ok(Box::new(move |meter| {
        meter.times(TIMES, |n| send(&mut namespace, &changes[n..=n]))?;
        remove::<T>(&mut namespace, TIMES)
    }))
}

fn batch<T: Many>(count: usize) -> Result<Round> {
    let mut namespace = loaded::<T>(count)?;
    let lines: Vec<String> = (0..TIMES).map(T::line).collect::<Result<_>>()?;
    let lines = lines.join("\n") + "\n";
    Ok(Box::new(move |meter| {
        let meter = meter.of_processes().for_each_of(TIMES);
        meter.once(|| ip::run(Command::new("ip").args(["-batch", "-"]), &lines))?;
        remove::<T>(&mut namespace, TIMES)
    }))
}

fn processes<T: Many>(count: usize) -> Result<Round> {
    let mut namespace = loaded::<T>(count)?;
    Ok(Box::new(move |meter| {
        meter.of_processes().times(10, |n| {
            let line = T::line(n)?;
            ip::run(Command::new("ip").args(line.split_whitespace()), "")
        })?;
        remove::<T>(&mut namespace, 10)
    }))
}
