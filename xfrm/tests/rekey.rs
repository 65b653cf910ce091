//! The state machine of rekeying, without a kernel: two ends, and steps that come in any order, late, twice, or cut off
//! by a crash.

use std::collections::BTreeSet;

use guestnet_core::{Change, Object, Observed, Set};
use guestnet_xfrm::rekey::{Act, Advance, End, Found, Next, Order, Reason, Refused, Standing};
use guestnet_xfrm::tunnel::Shape;
use guestnet_xfrm::{Direction, PairSecret, Policy, State, Tunnel, TunnelSpec};
use proptest::prelude::*;

/// Seconds since 1970, of all these tests.
const NOW: u64 = 1_800_000_000;

fn ends(shape: Shape) -> [TunnelSpec; 2] {
    let secret = PairSecret::new((0..32).collect()).unwrap();
    let (a, b) = Tunnel::between("2001:db8::1".parse().unwrap(), "2001:db8:1::1".parse().unwrap())
        .carry("192.168.0.85/32".parse().unwrap(), "192.168.0.127/32".parse().unwrap())
        .carry("fd00:1::/64".parse().unwrap(), "fd00:2::/64".parse().unwrap())
        .secret(secret)
        .shape(shape)
        .ends();
    [a, b]
}

/// What a kernel has of the tunnel, and does with the messages that it gets.
#[derive(Clone, Debug, Default)]
struct Kernel {
    states: Set<State>,
    policies: Set<Policy>,
}

impl Kernel {
    fn with(tunnel: &TunnelSpec) -> Self {
        let (states, policies) = tunnel.lower().unwrap();
        let mut kernel = Self { policies: policies.into_iter().collect(), ..Self::default() };
        states.into_iter().for_each(|state| kernel.add(state));
        kernel
    }

    fn add(&mut self, mut state: State) {
        state.counters.added = NOW - 100;
        self.states.insert(state);
    }

    fn found(&self) -> Found {
        let states = Observed { ours: self.states.clone(), ..Observed::default() };
        Found::new(states, Observed { ours: self.policies.clone(), ..Observed::default() })
    }

    /// Carries out the first `count` changes; a crash is when there are more.
    fn carry_out(&mut self, advance: Advance, count: usize) {
        let mut left = count;
        let mut next = || left.checked_sub(1).map(|rest| left = rest).is_some();
        for change in advance.states.into_iter().take_while(|_| next()) {
            match change {
                Change::Create(new) => self.add(new),
                Change::Replace { new, .. } => drop(self.states.insert(new)),
                Change::Delete(old) => drop(self.states.remove(&old.key())),
            }
        }
        for change in advance.policies.into_iter().take_while(|_| next()) {
            match change {
                Change::Create(new) | Change::Replace { new, .. } => drop(self.policies.insert(new)),
                Change::Delete(old) => drop(self.policies.remove(&old.key())),
            }
        }
    }

    /// The time of all that drains is up.
    fn expire(&mut self) {
        self.states.retain(|state| state.lifetimes.hard.seconds.is_none());
    }

    fn generations(&self) -> BTreeSet<u32> {
        self.states.iter().map(|state| state.generation).collect()
    }

    /// The states that packets leave by.
    fn in_use(&self) -> Vec<&State> {
        let out = self.policies.iter().filter(|policy| policy.direction == Direction::Out);
        let pinned = out.map(|policy| policy.templates[0].spi.expect("pinned"));
        pinned.map(|spi| self.states.iter().find(|s| s.spi == spi).expect("packets have a state")).collect()
    }
}

struct World {
    tunnels: [TunnelSpec; 2],
    kernels: [Kernel; 2],
    /// All that each end has ever answered.
    standings: [Vec<Standing>; 2],
    drain: u32,
}

impl World {
    fn new(shape: Shape, drain: u32) -> Self {
        let tunnels = ends(shape);
        let kernels = [Kernel::with(&tunnels[0]), Kernel::with(&tunnels[1])];
        Self { tunnels, kernels, standings: [Vec::new(), Vec::new()], drain }
    }

    fn order(&self, end: usize, generation: u32, peer: Option<Standing>) -> Order {
        let tunnel = TunnelSpec { generation, ..self.tunnels[end].clone() };
        Order { peer, ..Order::new(tunnel) }
    }

    /// Sends a step to an end, which does `count` changes of it before it crashes; without a crash it answers.
    fn step(&mut self, end: usize, act: Act, order: &Order, count: usize) -> Result<Standing, Refused> {
        let next = Next::of(act, &order.tunnel.keyed()).unwrap();
        let advance = self.kernels[end].found().advance(act, order, &next, NOW, self.drain)?;
        let whole = advance.states.len() + advance.policies.len();
        self.kernels[end].carry_out(advance.clone(), count);
        let standing = advance.after.standing(order, None);
        if count >= whole {
            self.standings[end].push(standing.clone());
        }
        Ok(standing)
    }

    fn whole_step(&mut self, end: usize, act: Act, generation: u32) -> Result<Standing, Refused> {
        let order = self.order(end, generation, self.standings[1 - end].last().cloned());
        self.step(end, act, &order, usize::MAX)
    }

    fn round(&mut self, generation: u32) {
        for act in [Act::Inbound, Act::Outbound, Act::Drain] {
            for end in [0, 1] {
                self.whole_step(end, act, generation).unwrap_or_else(|e| panic!("{act} at {end}: {e}"));
            }
        }
    }

    /// Whatever has happened: what one end sends the other can decrypt.
    fn holds(&self) {
        for end in [0, 1] {
            for state in self.kernels[end].in_use() {
                let other = self.kernels[1 - end].states.get(&state.key());
                let other = other.unwrap_or_else(|| panic!("{state} is not decrypted: {:#?}", self.kernels));
                assert_eq!(other.key.fingerprint(), state.key.fingerprint());
                assert_eq!(other.generation, state.generation);
            }
        }
    }
}

#[test]
fn a_round_leaves_the_new_generation_and_what_drains() {
    for (shape, states) in [(Shape::Shared, 2), (Shape::PerFamily, 4)] {
        let mut world = World::new(shape, 5);
        for generation in 1..=3 {
            world.round(generation);
            assert_eq!(world.kernels[0].generations(), BTreeSet::from([generation - 1, generation]));
            let old = world.kernels[0].states.iter().find(|state| state.generation < generation).unwrap();
            assert_eq!(old.lifetimes.hard.seconds.unwrap().get(), 105, "five seconds from now");
            world.kernels.iter_mut().for_each(Kernel::expire);
            assert_eq!(world.kernels.each_ref().map(|kernel| kernel.states.len()), [states; 2]);
            world.holds();
        }
    }
}

#[test]
fn without_a_time_to_drain_the_old_go_at_once() {
    let mut world = World::new(Shape::Shared, 0);
    world.round(9);
    assert_eq!(world.kernels[1].generations(), BTreeSet::from([9]));
    assert_eq!(world.kernels[1].states.len(), 2);
}

#[test]
fn what_is_repeated_changes_nothing() {
    let mut world = World::new(Shape::Shared, 5);
    for act in [Act::Inbound, Act::Outbound, Act::Drain] {
        for end in [0, 1] {
            world.whole_step(end, act, 1).unwrap();
            let order = world.order(end, 1, None);
            for late in [0, 50] {
                let found = world.kernels[end].found();
                let next = Next::of(act, &order.tunnel.keyed()).unwrap();
                let again = found.advance(act, &order, &next, NOW + late, 60).unwrap();
                assert_eq!((again.states, again.policies), (vec![], vec![]), "{act}");
            }
        }
    }
}

fn reason(result: Result<Standing, Refused>) -> (Reason, String) {
    let refused = result.expect_err("a refusal");
    (refused.reason, refused.message)
}

#[test]
fn too_early_is_refused_with_the_reason() {
    let mut world = World::new(Shape::Shared, 5);
    let early = |result, words: &str| {
        let (reason, message) = reason(result);
        assert!(reason == Reason::TooEarly && message.contains(words), "{reason:?}: {message}");
    };
    early(world.whole_step(0, Act::Outbound, 1), "not decrypted here yet: do inbound first");
    early(world.whole_step(0, Act::Drain, 1), "is not there yet");
    world.whole_step(0, Act::Inbound, 1).unwrap();
    early(world.whole_step(0, Act::Outbound, 1), "does not say how the peer stands after inbound");
    // What the peer said before it did its part is not enough.
    let before = world.kernels[1].found().end(&world.tunnels[1]).standing(&world.order(1, 1, None), None);
    let order = world.order(0, 1, Some(before.clone()));
    early(world.step(0, Act::Outbound, &order, usize::MAX), "has not said that it decrypts generation 1");
    world.whole_step(1, Act::Inbound, 1).unwrap();
    world.whole_step(0, Act::Outbound, 1).unwrap();
    early(world.whole_step(1, Act::Drain, 1), "is not there yet");
    let order = world.order(0, 1, Some(before));
    early(world.step(0, Act::Drain, &order, usize::MAX), "the peer still encrypts with generation 0");
    world.holds();
}

#[test]
fn what_is_behind_does_not_come_back() {
    let mut world = World::new(Shape::Shared, 5);
    world.round(5);
    world.kernels.iter_mut().for_each(Kernel::expire);
    for act in [Act::Inbound, Act::Outbound] {
        let (reason, message) = reason(world.whole_step(0, act, 4));
        assert!(reason == Reason::Superseded && message.contains("the tunnel is at 5"), "{message}");
    }
    assert!(world.whole_step(0, Act::Drain, 4).is_ok(), "there is nothing left to do");
}

#[test]
fn keys_whose_states_are_gone_are_not_used_again() {
    let mut world = World::new(Shape::Shared, 5);
    world.round(5);
    world.kernels[0].states = Set::new();
    assert_eq!(reason(world.whole_step(0, Act::Inbound, 5)).0, Reason::Spent);
    for act in [Act::Inbound, Act::Outbound, Act::Drain] {
        for end in [0, 1] {
            world.whole_step(end, act, 6).unwrap_or_else(|e| panic!("{act} at {end}: {e}"));
        }
    }
    world.holds();
}

#[test]
fn nobody_switches_to_keys_that_the_peer_does_not_have() {
    let mut world = World::new(Shape::Shared, 5);
    let other = PairSecret::new((1..33).collect()).unwrap();
    world.tunnels[1].secret = Some(other.into());
    world.whole_step(0, Act::Inbound, 1).unwrap();
    world.whole_step(1, Act::Inbound, 1).unwrap();
    assert_eq!(reason(world.whole_step(0, Act::Outbound, 1)).0, Reason::Differs);
    world.holds();
}

#[test]
fn what_is_not_there_or_not_ours_is_refused() {
    let mut world = World::new(Shape::Shared, 5);
    // Another tunnel's state sits at the SPI of the next generation.
    let next = TunnelSpec { generation: 1, ..world.tunnels[0].clone() }.lower().unwrap().0;
    let rival = State { reqid: 7, generation: 0, ..next[1].clone() };
    world.kernels[0].add(rival);
    assert_eq!(reason(world.whole_step(0, Act::Inbound, 1)).0, Reason::Taken);
    assert!(world.whole_step(0, Act::Inbound, 2).is_ok());
    world.kernels[0] = Kernel::default();
    assert_eq!(reason(world.whole_step(0, Act::Inbound, 3)).0, Reason::Unknown);
    assert!(world.whole_step(0, Act::Observe, 0).unwrap().inbound.is_empty());
}

#[test]
fn a_spec_leaves_a_tunnel_where_its_rekeying_has_brought_it() {
    let mut world = World::new(Shape::Shared, 5);
    let spec = world.tunnels[0].clone();
    let differs = |kernel: &Kernel, spec: &TunnelSpec| {
        let settled = spec.settled(&kernel.found()).unwrap();
        let states: Set<State> = settled.states.into_iter().collect();
        let policies: Set<Policy> = settled.policies.into_iter().collect();
        let accepted = states.iter().all(|s| kernel.states.get(&s.key()).is_some_and(|f| s.accepts(f)));
        !(accepted && states.len() == kernel.states.len() && policies == kernel.policies)
    };
    for generation in 1..4 {
        for act in [Act::Inbound, Act::Outbound, Act::Drain] {
            for end in [0, 1] {
                world.whole_step(end, act, generation).unwrap();
                assert!(!differs(&world.kernels[0], &spec), "{act} of {generation}");
            }
        }
        assert!(!differs(&world.kernels[0], &TunnelSpec { generation, ..spec.clone() }), "what drains may");
    }
    // Policies that somebody has flushed come back for the generation that is in use.
    let mut flushed = world.kernels[0].clone();
    flushed.policies = Set::new();
    let settled = spec.settled(&flushed.found()).unwrap();
    assert_eq!(settled.policies.into_iter().collect::<Set<_>>(), world.kernels[0].policies);
    // A spec that asks for more gets it, and another secret is another tunnel.
    assert!(differs(&world.kernels[0], &TunnelSpec { generation: 4, ..spec.clone() }));
    let other = PairSecret::new((1..33).collect()).unwrap();
    let other = TunnelSpec { secret: Some(other.into()), ..spec };
    let settled = other.settled(&world.kernels[0].found()).unwrap();
    assert!(settled.states.iter().all(|state| state.generation == 0), "{:#?}", settled.states);
}

#[derive(Clone, Debug)]
enum Event {
    /// Act, end, generation, which of the peer's answers is in it, after how many changes the end crashes.
    Step(Act, usize, u32, Option<prop::sample::Index>, usize),
    /// The time of what drains is up at an end.
    Expire(usize),
    /// An apply of the spec at an end.
    Apply(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let act = prop_oneof![Just(Act::Inbound), Just(Act::Outbound), Just(Act::Drain)];
    let crash = prop_oneof![3 => Just(usize::MAX), 1 => 0_usize..4];
    let peer = prop::option::weighted(0.9, any::<prop::sample::Index>());
    let step = (act, 0_usize..2, 1_u32..5, peer, crash)
        .prop_map(|(act, end, generation, peer, crash)| Event::Step(act, end, generation, peer, crash));
    prop_oneof![8 => step, 1 => (0_usize..2).prop_map(Event::Expire), 1 => (0_usize..2).prop_map(Event::Apply)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Steps of several rounds in any order, repeated, late, with answers of any time, cut off by crashes: what one end
    /// sends the other can always decrypt, generations never go back, and a control plane that starts again comes
    /// through.
    #[test]
    fn whatever_happens_the_tunnel_holds(
        events in prop::collection::vec(event(), 0..120), shared in any::<bool>(), drain in 0_u32..3,
    ) {
        let mut world = World::new(if shared { Shape::Shared } else { Shape::PerFamily }, drain);
        let mut switched = [0, 0];
        for event in events {
            match event {
                Event::Step(act, end, generation, peer, crash) => {
                    let answers = &world.standings[1 - end];
                    let peer = peer.filter(|_| !answers.is_empty()).map(|peer| peer.get(answers).clone());
                    let order = world.order(end, generation, peer);
                    let before = world.kernels[end].clone();
                    if world.step(end, act, &order, crash).is_err() {
                        prop_assert_eq!(&before.states, &world.kernels[end].states);
                        prop_assert_eq!(&before.policies, &world.kernels[end].policies);
                    }
                }
                Event::Expire(end) => world.kernels[end].expire(),
                Event::Apply(end) => {
                    let settled = world.tunnels[end].settled(&world.kernels[end].found()).unwrap();
                    let after = End {
                        states: settled.states.into_iter().collect(),
                        policies: settled.policies.into_iter().collect(),
                    };
                    for state in after.states.iter().filter(|state| !world.kernels[end].states.contains(&state.key())) {
                        // Half a step may have been done, and the apply does the rest; it takes nothing new.
                        prop_assert!(world.kernels[end].generations().contains(&state.generation), "{}", state);
                    }
                    prop_assert_eq!(after.states.len(), world.kernels[end].states.len());
                    world.kernels[end].policies = after.policies;
                }
            }
            world.holds();
            for end in [0, 1] {
                let least = world.kernels[end].in_use().iter().map(|state| state.generation).min().unwrap();
                prop_assert!(least >= switched[end], "packets have gone back from {} to {least}", switched[end]);
                switched[end] = least;
            }
        }
        world.round(9);
        world.kernels.iter_mut().for_each(Kernel::expire);
        world.holds();
        prop_assert_eq!(world.kernels[0].generations(), BTreeSet::from([9]));
        prop_assert_eq!(world.kernels[1].generations(), BTreeSet::from([9]));
    }
}
