//! Changes of tables in the kernel's words.

use guestnet_core::diff::Change;
use guestnet_core::{
    Context, Kind, LinkName, Message, Namespace, Observed, Outbox, Phase, Protocol, Result, Set as Keyed,
};
use nftnl::nftnl_sys as c;
use nftnl::{MsgType, ProtoFamily};

use crate::chains;
use crate::sys::{self, RawSet};
use crate::{DataType, Element, Family, MapType, Set, Table, interval, setelem, userdata};

/// `NFT_SET_*`.
pub(crate) const INTERVAL: u32 = 4;
pub(crate) const MAP: u32 = 8;
pub(crate) const EVAL: u32 = 32;
pub(crate) const CONCAT: u32 = 128;

/// `NFT_DATA_VERDICT`.
pub(crate) const VERDICT: u32 = 0xffff_ff00;

/// `NFT_SET_ELEM_INTERVAL_END`.
pub(crate) const INTERVAL_END: u32 = 1;

pub(crate) const CREATE: u16 = (libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

impl Kind for Table {
    const PHASES: &'static [Phase] = &[Phase::Filters, Phase::Devices];
    const AS_SENT: bool = true;
    /// Kernels before 6.16 take the chain alone, later ones nothing.
    const GOES_WITH_ITS_LINK: bool = false;

    fn observe(namespace: &mut Namespace, wanted: &Keyed<Self>) -> Result<Observed<Self>> {
        crate::observe::tables(namespace, wanted)
    }

    fn generation(namespace: &mut Namespace) -> Result<Option<u32>> {
        if namespace.speaks(Protocol::Netfilter) { crate::observe::generation(namespace) } else { Ok(None) }
    }

    fn observe_keys(namespace: &mut Namespace, wanted: &Keyed<Self>) -> Result<Observed<Self>> {
        crate::observe::tables_by_key(namespace, wanted)
    }

    /// All messages of a change belong into one transaction. What is at a device is made when the device is there, and goes
    /// when it is gone.
    fn encode(change: &Change<Self>, phase: Phase, _: &Context, out: &mut Outbox) -> Result<()> {
        let at_devices = !matches!(change, Change::Delete(_)) && change.object().is_at_devices();
        if at_devices != (phase == Phase::Devices) {
            return Ok(());
        }
        let mut messages = Messages { family: Family::Ip, out };
        match change {
            Change::Create(table) => messages.create(table),
            Change::Delete(table) => messages.delete(table),
            Change::Replace { old, new } if new.is_left_of(old) => messages.change_elements(old, new),
            Change::Replace { old, new } => messages.delete(old).and_then(|()| messages.create(new)),
        }
    }

    fn lives_on(&self) -> Option<&LinkName> {
        self.device()
    }

    /// The new table with the elements of both. An element can close, as the name of a guest's interface does, which makes
    /// rules look at it: it stays until the interface is gone. Sets that only the old one has stay as long, though no rule looks
    /// into them: a run that is killed and repeated finds what they say.
    fn between(old: &Self, new: &Self) -> Option<Self> {
        let both = |set: &Set| set.with_those_of(old.sets.get(&set.name)?);
        let is_gone = |set: &&Set| {
            let is_plain = old.unknown.is_empty() && set.data != Some(MapType::Verdict);
            is_plain && !set.elements.is_empty() && !new.sets.contains(&set.name)
        };
        let gone = old.sets.iter().filter(is_gone).cloned();
        let sets: Vec<Set> = new.sets.iter().filter_map(both).chain(gone).collect();
        (!sets.is_empty()).then(|| sets.into_iter().fold(new.clone(), Table::set))
    }
}

/// Where the messages of one table go.
struct Messages<'a> {
    family: Family,
    out: &'a mut Outbox,
}

impl Messages<'_> {
    fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.out.send(Protocol::Netfilter, Message::from_bytes(bytes)?);
        Ok(())
    }

    fn send_all(&mut self, messages: &[Message]) {
        messages.iter().for_each(|message| self.out.send(Protocol::Netfilter, message.clone()));
    }

    fn delete(&mut self, table: &Table) -> Result<()> {
        self.send(with_flags(sys::write(&raw_table(table), MsgType::Del), 0))
    }

    /// Elements come before rules: adding to a map that no rule uses yet needs no validation of jumps.
    fn create(&mut self, table: &Table) -> Result<()> {
        self.family = table.family;
        if table.is_at_devices() {
            // A table whose device is gone may still be there.
            self.send(with_flags(sys::write(&raw_table(table), MsgType::Add), libc::NLM_F_CREATE as u16))?;
            self.delete(table)?;
        }
        self.send(with_flags(sys::write(&raw_table(table), MsgType::Add), CREATE))?;
        for (id, set) in table.sets.iter().enumerate() {
            let message = raw_set(table, set, id as u32 + 1).message(
                c_kind(libc::NFT_MSG_NEWSET),
                self.number(),
                CREATE,
            );
            self.send(message)?;
        }
        let chains = chains::messages(table)?;
        self.send_all(&chains.chains);
        for set in &table.sets {
            self.elements(table, set, interval::merged(set).iter(), true)?;
        }
        self.send_all(&chains.rules);
        Ok(())
    }

    /// What is gone is deleted first, so that an interval can take the place of another.
    fn change_elements(&mut self, old: &Table, new: &Table) -> Result<()> {
        self.family = new.family;
        for set in old.sets.iter().filter(|set| !new.sets.contains(&set.name)) {
            let mut raw = RawSet::new();
            raw.set_str(c::NFTNL_SET_TABLE, old.name.as_str());
            raw.set_str(c::NFTNL_SET_NAME, set.name.as_str());
            self.send(raw.message(c_kind(libc::NFT_MSG_DELSET), self.number(), 0))?;
        }
        let sets = new.sets.iter().filter_map(|set| Some((set, old.sets.get(&set.name)?)));
        let differ = sets.filter(|(set, was)| set.elements != was.elements);
        let sets: Vec<_> = differ.map(|(set, was)| (set, interval::merged(set), was)).collect();
        for (set, wanted, was) in &sets {
            let gone = wanted.changes(&was.elements).filter_map(|change| match change {
                Change::Delete(old) | Change::Replace { old, .. } => Some(old),
                Change::Create(_) => None,
            });
            self.elements(new, set, gone, false)?;
        }
        for (set, wanted, was) in &sets {
            let come = wanted.changes(&was.elements).filter_map(|change| match change {
                Change::Create(new) | Change::Replace { new, .. } => Some(new),
                Change::Delete(_) => None,
            });
            self.elements(new, set, come, true)?;
        }
        Ok(())
    }

    fn elements<'e>(
        &mut self,
        table: &Table,
        set: &Set,
        list: impl Iterator<Item = &'e Element>,
        add: bool,
    ) -> Result<()> {
        let (kind, flags) =
            if add { (libc::NFT_MSG_NEWSETELEM, CREATE) } else { (libc::NFT_MSG_DELSETELEM, 0) };
        setelem::messages(kind, flags, table, set, list, |message| self.send(message))
    }

    fn number(&self) -> u8 {
        self.family.number()
    }
}

pub(crate) fn c_kind(kind: libc::c_int) -> u16 {
    kind as u16
}

/// The safe crate chooses flags of its own: it never insists that what it makes is new.
pub(crate) fn with_flags(mut message: Vec<u8>, flags: u16) -> Vec<u8> {
    let flags = flags | libc::NLM_F_REQUEST as u16;
    if let Some(place) = message.get_mut(6..8) {
        place.copy_from_slice(&flags.to_ne_bytes());
    }
    message
}

pub(crate) fn raw_table(table: &Table) -> nftnl::Table {
    let family = match table.family {
        Family::Ip => ProtoFamily::Ipv4,
        Family::Ip6 => ProtoFamily::Ipv6,
        Family::Inet => ProtoFamily::Inet,
        Family::Bridge => ProtoFamily::Bridge,
        Family::Netdev => ProtoFamily::NetDev,
        Family::Arp => ProtoFamily::Arp,
    };
    nftnl::Table::new(sys::c_string(table.name.as_str()), family)
}

fn raw_set(table: &Table, set: &Set, id: u32) -> RawSet {
    let mut raw = RawSet::new();
    raw.set_str(c::NFTNL_SET_TABLE, table.name.as_str());
    raw.set_str(c::NFTNL_SET_NAME, set.name.as_str());
    raw.set_u32(c::NFTNL_SET_ID, id);
    raw.set_u32(c::NFTNL_SET_FLAGS, flags(set));
    raw.set_u32(c::NFTNL_SET_KEY_TYPE, DataType::numbers(&set.key));
    raw.set_u32(c::NFTNL_SET_KEY_LEN, DataType::total(&set.key) as u32);
    if set.interval && set.key.len() > 1 {
        let lengths: Vec<u8> = set.key.iter().map(|data| data.size() as u8).collect();
        raw.set_data(c::NFTNL_SET_DESC_CONCAT, &lengths);
    }
    match &set.data {
        None => {}
        Some(MapType::Verdict) => {
            raw.set_u32(c::NFTNL_SET_DATA_TYPE, VERDICT);
            raw.set_u32(c::NFTNL_SET_DATA_LEN, 16);
        }
        Some(MapType::Values(types)) => {
            raw.set_u32(c::NFTNL_SET_DATA_TYPE, DataType::numbers(types));
            raw.set_u32(c::NFTNL_SET_DATA_LEN, DataType::total(types) as u32);
        }
    }
    if let Some(size) = set.size {
        raw.set_u32(c::NFTNL_SET_DESC_SIZE, size);
    }
    if let Some(stateful) = &set.stateful {
        raw.add_expression(stateful.expression().write());
    }
    raw.set_data(c::NFTNL_SET_USERDATA, &userdata::of_set(set));
    raw
}

/// The flags of a set (`NFT_SET_*`).
pub(crate) fn flags(set: &Set) -> u32 {
    let interval = if set.interval { INTERVAL } else { 0 };
    let concatenated = if set.interval && set.key.len() > 1 { CONCAT } else { 0 };
    let dynamic = if set.is_dynamic() { EVAL } else { 0 };
    interval | concatenated | dynamic | if set.is_map() { MAP } else { 0 }
}
