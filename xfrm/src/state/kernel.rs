//! States in the kernel's words.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU32;

use guestnet_core::netlink::{Attributes, Dump, number};
use guestnet_core::owner::REQIDS;
use guestnet_core::set::Foreign;
use guestnet_core::{
    Change, Context, Error, Extras, Kind, Message, Namespace, Object, Observed, Outbox, Phase, Protocol,
    Result, Set,
};
use netlink_packet_core::DefaultNla;
use netlink_packet_xfrm as xfrm;
use netlink_packet_xfrm::XfrmAttrs;
use netlink_packet_xfrm::constants::*;
use netlink_packet_xfrm::state::{DelGetMessage, GetDumpMessage, ModifyMessage};
use zeroize::Zeroize;

use super::{LARGEST_WINDOW, Mode, Sequence, State, StateDirection, StateKey};
use crate::algorithm::{Algorithm, Icv};
use crate::counters::Counters;
use crate::key::Key;
use crate::source::KeySource;
use crate::spi::Spi;
use crate::wire::{self, ESP, XFRMA_SA_DIR};

impl Kind for State {
    const PHASES: &'static [Phase] = &[Phase::Tunnels];
    const AS_SENT: bool = true;

    /// In a namespace of ours all that this type can say are ours, elsewhere those with a reqid of ours.
    fn observe(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let mut observed = Observed::default();
        if !namespace.speaks(Protocol::Xfrm) && wanted.is_empty() {
            return Ok(observed);
        }
        let all = namespace.is_ours();
        let request = GetDumpMessage { nlas: vec![XfrmAttrs::Proto(ESP)] };
        let dump = namespace.dump(Protocol::Xfrm, &wire::message(XFRM_MSG_GETSA, 0, &request))?;
        sort(&dump, all, wanted, &mut observed);
        Ok(observed)
    }

    /// Asks for what leads to the same outer addresses, and keeps the states of the same tunnels: one that was rekeyed has
    /// states under other keys than those of its spec.
    fn observe_keys(namespace: &mut Namespace, wanted: &Set<Self>) -> Result<Observed<Self>> {
        let mut observed = Observed::default();
        let addresses: BTreeSet<IpAddr> = wanted.iter().map(|state| state.dst).collect();
        for dst in addresses {
            let filter = XfrmAttrs::AddressFilter(xfrm::AddressFilter {
                daddr: xfrm::Address::from_ip(&dst),
                family: if dst.is_ipv4() { AF_INET } else { AF_INET6 },
                dplen: if dst.is_ipv4() { 32 } else { 128 },
                ..xfrm::AddressFilter::default()
            });
            let request = GetDumpMessage { nlas: vec![XfrmAttrs::Proto(ESP), filter] };
            let dump = namespace.dump(Protocol::Xfrm, &wire::message(XFRM_MSG_GETSA, 0, &request))?;
            sort(&dump, namespace.is_ours(), wanted, &mut observed);
        }
        let tunnel = |state: &Self| (state.src, state.dst, state.reqid);
        let tunnels: BTreeSet<_> = wanted.iter().map(tunnel).collect();
        observed.ours.retain(|state| wanted.contains(&state.key()) || tunnels.contains(&tunnel(state)));
        Ok(observed)
    }

    /// Lifetimes change in place (`ip xfrm state update`). Of all else the kernel takes no change, so the state is
    /// deleted and made again by two messages next to each other, which keep its key and its sequence numbers.
    fn encode(change: &Change<Self>, _: Phase, _: &Context, out: &mut Outbox) -> Result<()> {
        match change {
            Change::Create(new) => {
                let key = key_of(new)?;
                out.send(Protocol::Xfrm, new_message(XFRM_MSG_NEWSA, new, key, new.sequence));
            }
            Change::Replace { old, new } => {
                let key = match (&new.key, &old.key) {
                    (KeySource::Kept(wanted), KeySource::Given(key)) if key.fingerprint() == *wanted => key,
                    (KeySource::Kept(_), KeySource::Given(key)) if key.is_redacted() => key,
                    (KeySource::Kept(wanted), found) => return Err(another_key(new, *wanted, found)),
                    _ => key_of(new)?,
                };
                let same_key = new.key.accepts(&old.key);
                let prolonged = Self { lifetimes: new.lifetimes, ..old.clone() };
                if new.accepts(&prolonged) {
                    // The kernel compares neither the key nor the sequence numbers of an update.
                    out.send(Protocol::Xfrm, new_message(XFRM_MSG_UPDSA, new, key, Sequence::default()));
                } else if key.is_redacted() {
                    return Err(hidden_key(new));
                } else {
                    let sequence = if same_key { old.sequence } else { Sequence::default() };
                    out.send(Protocol::Xfrm, delete_message(old));
                    out.send(Protocol::Xfrm, new_message(XFRM_MSG_NEWSA, new, key, sequence));
                }
            }
            Change::Delete(old) => out.send(Protocol::Xfrm, delete_message(old)),
        }
        Ok(())
    }
}

/// Adds ours and others' of `dump`; in a namespace of ours `all` are.
fn sort(dump: &Dump, all: bool, wanted: &Set<State>, observed: &mut Observed<State>) {
    for reply in dump.replies().filter(|reply| reply.kind == XFRM_MSG_NEWSA) {
        match read(reply.payload) {
            Some(Found::State(state)) if all || REQIDS.contains(&state.reqid) => {
                observed.ours.insert(*state);
            }
            Some(Found::State(state)) => observed.note_foreign(&state, wanted),
            Some(Found::Other(key)) => note_other(key, wanted, &mut observed.foreign),
            None => {}
        }
    }
}

/// The key of a state that is to be made.
fn key_of(state: &State) -> Result<&Key> {
    match &state.key {
        KeySource::Given(key) if key.is_redacted() => Err(hidden_key(state)),
        KeySource::Given(key) => Ok(key),
        KeySource::File(path) => Err(Error::malformed(
            format!("xfrm state {state}"),
            format!("its key in {} was not read", path.display()),
        )),
        KeySource::Named(name) => Err(Error::malformed(
            format!("xfrm state {state}"),
            format!("its key, the secret {name}, was not given"),
        )),
        KeySource::Kept(fingerprint) => Err(Error::malformed(
            format!("xfrm state {state}"),
            format!(
                "its spec keeps the key {fingerprint} that the kernel has, but the kernel has no such state; give the \
                 key itself, as hex digits or as a file"
            ),
        )),
    }
}

fn another_key(state: &State, wanted: crate::Fingerprint, found: &KeySource) -> Error {
    let message = format!(
        "its spec keeps the key {wanted} that the kernel has, but the kernel has another one: {found:?}"
    );
    Error::malformed(format!("xfrm state {state}"), message)
}

fn hidden_key(state: &State) -> Error {
    Error::Unsupported(format!(
        "xfrm state {state}: it has to be made again, but the kernel hides its key (lockdown); give the key itself"
    ))
}

fn new_message(kind: u16, state: &State, key: &Key, sequence: Sequence) -> Message {
    let mut message = ModifyMessage::default();
    let info = &mut message.user_sa_info;
    info.source(&state.src);
    info.destination(&state.dst);
    info.id.spi = state.spi.get();
    info.id.proto = ESP;
    info.reqid = state.reqid;
    // ip writes and shows this number in the order of the network.
    info.seq = state.generation.to_be();
    info.mode = mode(state.mode);
    info.lifetime_cfg = wire::lifetimes(&state.lifetimes);
    match &state.selector {
        Some(selector) => info.selector = wire::selector(selector),
        None => info.flags |= XFRM_STATE_AF_UNSPEC,
    }
    if state.esn {
        info.flags |= XFRM_STATE_ESN;
    }
    let mut alg_name = [0; 64];
    alg_name[..Algorithm::NAME.len()].copy_from_slice(Algorithm::NAME.as_bytes());
    message.nlas.push(XfrmAttrs::EncryptionAlgAead(xfrm::AlgAead {
        alg_name,
        alg_key_len: key.expose().len() as u32 * 8,
        alg_icv_len: state.icv.bits(),
        alg_key: key.expose().to_vec(),
    }));
    // Sequence numbers and windows up to 32 have a shape of their own, which older tools show (ip-xfrm(8)).
    if state.esn || state.replay_window > 32 {
        message.nlas.push(XfrmAttrs::ReplayStateEsn(replay_esn(state, sequence)));
    } else {
        message.user_sa_info.replay_window = state.replay_window as u8;
        if sequence.sent != 0 || sequence.received != 0 {
            let (oseq, seq) = (sequence.sent as u32, sequence.received as u32);
            message.nlas.push(XfrmAttrs::ReplayState(xfrm::Replay { oseq, seq, bitmap: seen(sequence) }));
        }
    }
    if let Some(mark) = state.mark {
        message.nlas.push(wire::mark(mark));
    }
    if let Some(mark) = state.set_mark {
        message.nlas.extend([XfrmAttrs::MarkVal(mark.value), XfrmAttrs::MarkMask(mark.mask)]);
    }
    if let Some(id) = state.if_id {
        message.nlas.push(XfrmAttrs::IfId(id.get()));
    }
    message.nlas.extend(state.encap.map(wire::encap));
    if let Some(direction) = state.direction {
        let number = if direction == StateDirection::In { 1 } else { 2 };
        message.nlas.push(XfrmAttrs::Other(DefaultNla::new(XFRMA_SA_DIR, vec![number])));
    }
    let bytes = wire::secret_message(kind, 0, &message);
    for nla in &mut message.nlas {
        if let XfrmAttrs::EncryptionAlgAead(aead) = nla {
            aead.alg_key.zeroize();
        }
    }
    bytes
}

/// `struct xfrm_replay_state_esn`, for windows above 32 and for extended sequence numbers.
fn replay_esn(state: &State, sequence: Sequence) -> xfrm::ReplayEsn {
    let window = state.replay_window.min(LARGEST_WINDOW);
    let bmp_len = window.div_ceil(32);
    xfrm::ReplayEsn {
        bmp_len,
        oseq: sequence.sent as u32,
        seq: sequence.received as u32,
        oseq_hi: if state.esn { (sequence.sent >> 32) as u32 } else { 0 },
        seq_hi: if state.esn { (sequence.received >> 32) as u32 } else { 0 },
        replay_window: window,
        bmp: vec![seen(sequence); bmp_len as usize],
    }
}

/// A word of a bitmap that says that every packet up to `newest` has been seen: what was on its way when the
/// state was made again is lost, and nothing is taken twice.
fn seen(sequence: Sequence) -> u32 {
    if sequence.received == 0 { 0 } else { u32::MAX }
}

fn delete_message(state: &State) -> Message {
    id_message(XFRM_MSG_DELSA, state)
}

/// A message that only names a state.
fn id_message(kind: u16, state: &State) -> Message {
    let mut message = DelGetMessage::default();
    message.user_sa_id.destination(&state.dst);
    message.user_sa_id.spi = state.spi.get();
    message.user_sa_id.proto = ESP;
    message.nlas.extend(state.mark.map(wire::mark));
    wire::message(kind, 0, &message)
}

pub(crate) fn mode(mode: Mode) -> u8 {
    match mode {
        Mode::Tunnel => XFRM_MODE_TUNNEL,
        Mode::Transport => XFRM_MODE_TRANSPORT,
    }
}

pub(crate) fn read_mode(mode: u8) -> Option<Mode> {
    match mode {
        XFRM_MODE_TUNNEL => Some(Mode::Tunnel),
        XFRM_MODE_TRANSPORT => Some(Mode::Transport),
        _ => None,
    }
}

/// What a dump may show.
pub(super) enum Found {
    /// A state that [`State`] can say.
    State(Box<State>),
    /// Another, which has this key.
    Other(StateKey),
}

fn note_other(key: StateKey, wanted: &Set<State>, foreign: &mut BTreeMap<StateKey, Foreign>) {
    if wanted.contains(&key) {
        let what = format!("{key} that is not AES-GCM, or has settings that guestnet does not know");
        foreign.insert(key, Foreign { what, satisfies: false });
    }
}

/// Reads a message of a dump. `None` for what has no key of ours: no ESP, or no SPI yet because the kernel still
/// waits for a key exchange (`ip xfrm state` shows it with `spi 0x00000000`).
pub(super) fn read(payload: &[u8]) -> Option<Found> {
    let info = xfrm::UserSaInfo::parse(payload).ok()?;
    if info.id.proto != ESP {
        return None;
    }
    let attributes = Attributes::after(payload, xfrm::XFRM_USER_SA_INFO_LEN);
    let key = StateKey {
        dst: wire::ip(&info.id.daddr, info.family)?,
        spi: Spi::new(info.id.spi)?,
        mark: wire::read_mark(attributes.get(XFRMA_MARK)),
    };
    let state = read_state(&info, key, attributes);
    Some(state.map_or(Found::Other(key), |state| Found::State(Box::new(state))))
}

fn read_state(info: &xfrm::UserSaInfo, key: StateKey, attributes: Attributes<'_>) -> Option<State> {
    let encap = match attributes.get(XFRMA_ENCAP) {
        Some(value) => Some(wire::read_encap(value)?),
        None => None,
    };
    let aead = xfrm::AlgAead::parse(attributes.get(XFRMA_ALG_AEAD)?).ok()?;
    let (length, icv) = (aead.alg_key_len as usize / 8, aead.alg_icv_len);
    let name = aead.alg_name.split(|byte| *byte == 0).next();
    let mut bytes = aead.alg_key;
    if name != Some(Algorithm::NAME.as_bytes()) || bytes.len() < length {
        bytes.zeroize();
        return None;
    }
    bytes.truncate(length);
    let secret = Key::found(bytes).ok()?;
    let esn = info.flags & XFRM_STATE_ESN != 0;
    let mut extras = Extras::default();
    for (flag, name) in FLAGS {
        extras.note_if(info.flags & flag != 0, name);
    }
    for (attribute, value) in attributes.filter(|(attribute, _)| !KNOWN.contains(attribute)) {
        match (attribute, number(value)) {
            (XFRMA_SA_EXTRA_FLAGS, Some(flags)) => extras.note(format_args!("extra-flag {flags:#x}")),
            (XFRMA_TFCPAD, _) => extras.note("tfcpad"),
            (XFRMA_OFFLOAD_DEV, _) => extras.note("offload"),
            (other, _) => extras.note(format_args!("attribute {other}")),
        }
    }
    let (replay_window, sequence) = match attributes.get(XFRMA_REPLAY_ESN_VAL) {
        Some(value) => {
            let replay = xfrm::ReplayEsn::parse(value).ok()?;
            let whole = |high: u32, low: u32| (u64::from(high) << 32) | u64::from(low);
            let sent = whole(replay.oseq_hi, replay.oseq);
            (replay.replay_window, Sequence { sent, received: whole(replay.seq_hi, replay.seq) })
        }
        None => {
            let replay = attributes.get(XFRMA_REPLAY_VAL).and_then(|value| xfrm::Replay::parse(value).ok());
            let replay = replay.unwrap_or_default();
            let sequence = Sequence { sent: replay.oseq.into(), received: replay.seq.into() };
            (u32::from(info.replay_window), sequence)
        }
    };
    Some(State {
        src: wire::ip(&info.saddr, info.family)?,
        dst: key.dst,
        spi: key.spi,
        reqid: info.reqid,
        generation: u32::from_be(info.seq),
        mode: read_mode(info.mode)?,
        algorithm: secret.algorithm(),
        icv: Icv::try_from(icv).ok()?,
        key: KeySource::Given(secret),
        replay_window,
        esn,
        selector: match info.selector.family {
            AF_UNSPEC => None,
            _ => Some(wire::read_selector(&info.selector)?),
        },
        lifetimes: wire::read_lifetimes(&info.lifetime_cfg),
        direction: match attributes.get(XFRMA_SA_DIR).and_then(<[u8]>::first) {
            Some(1) => Some(StateDirection::In),
            Some(2) => Some(StateDirection::Out),
            _ => None,
        },
        mark: key.mark,
        set_mark: wire::read_set_mark(attributes),
        encap,
        if_id: attributes.get_u32(XFRMA_IF_ID).and_then(NonZeroU32::new),
        sequence,
        counters: read_counters(info, attributes),
        extras,
    })
}

/// Flags of states that guestnet does not set, in the words of ip-xfrm(8) (`XFRM_STATE_*`, linux/xfrm.h).
const FLAGS: [(u8, &str); 6] = [
    (1, "flag noecn"),
    (2, "flag decap-dscp"),
    (4, "flag nopmtudisc"),
    (8, "flag wildrecv"),
    (16, "flag icmp"),
    (64, "flag align4"),
];

/// Attributes that have a field, or say what becomes of a state: counters, times, when to tell of them.
const KNOWN: [u16; 14] = [
    XFRMA_ALG_AEAD,
    XFRMA_ENCAP,
    XFRMA_REPLAY_ESN_VAL,
    XFRMA_REPLAY_VAL,
    XFRMA_MARK,
    XFRMA_SET_MARK,
    XFRMA_SET_MARK_MASK,
    XFRMA_IF_ID,
    XFRMA_SA_DIR,
    XFRMA_LASTUSED,
    XFRMA_LTIME_VAL,
    XFRMA_REPLAY_THRESH,
    XFRMA_ETIMER_THRESH,
    XFRMA_PAD,
];

fn read_counters(info: &xfrm::UserSaInfo, attributes: Attributes<'_>) -> Counters {
    let last = attributes.get(XFRMA_LASTUSED).and_then(|value| value.try_into().ok()).map(u64::from_ne_bytes);
    Counters {
        bytes: info.lifetime_cur.bytes,
        packets: info.lifetime_cur.packets,
        added: info.lifetime_cur.add_time,
        used: last.or(Some(info.lifetime_cur.use_time)).filter(|time| *time != 0),
        outside_window: info.stats.replay_window,
        replayed: info.stats.replay,
        integrity_failed: info.stats.integrity_failed,
    }
}

#[cfg(test)]
mod tests;
