//! A small nf_tables machine: what becomes of a packet by the expressions of a table. It knows what the filter uses, and
//! stops the test at what it does not know.

use guestnet_core::LinkName;
use guestnet_nft::expr::{CmpOp, MetaKey, PayloadBase};
use guestnet_nft::{Chain, DataType, Expr, Name, Rule, Table, Value, Verdict};

/// A packet where the machine meets it.
#[derive(Clone, Debug)]
pub struct Packet {
    pub iifname: LinkName,
    pub oifname: Option<LinkName>,
    pub mac: [u8; 6],
    /// From the IP header on, without extension headers.
    pub bytes: Vec<u8>,
}

/// What became of it, and the words of the rule that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accept(String),
    /// With the name of the chain that counted it.
    Drop(String),
}

enum Step {
    Next,
    Go(Verdict),
}

impl Packet {
    fn is_ipv4(&self) -> bool {
        self.bytes[0] >> 4 == 4
    }

    fn protocol(&self) -> u8 {
        if self.is_ipv4() { self.bytes[9] } else { self.bytes[6] }
    }

    fn load(&self, base: PayloadBase, offset: u32, length: u32) -> Option<Vec<u8>> {
        let (offset, length) = (offset as usize, length as usize);
        let link = [&[0; 6][..], &self.mac, &(if self.is_ipv4() { [8, 0] } else { [0x86, 0xdd] })].concat();
        let from = match base {
            PayloadBase::Link => &link[..],
            PayloadBase::Network => &self.bytes,
            PayloadBase::Inner => return None,
            PayloadBase::Transport => &self.bytes[if self.is_ipv4() { 20 } else { 40 }..],
        };
        from.get(offset..offset + length).map(<[u8]>::to_vec)
    }

    fn meta(&self, key: MetaKey) -> Option<Vec<u8>> {
        let name = |name: &LinkName| Value::Ifname(name.clone()).bytes(DataType::Ifname);
        Some(match key {
            MetaKey::Iifname => name(&self.iifname),
            MetaKey::Oifname => name(self.oifname.as_ref()?),
            MetaKey::L4proto => vec![self.protocol()],
            MetaKey::Nfproto => vec![if self.is_ipv4() { 2 } else { 10 }],
            other => panic!("{other:?}"),
        })
    }
}

/// Runs `packet` through the base chain `name`.
pub fn run(table: &Table, name: &str, packet: &Packet) -> Outcome {
    let name: Name = name.parse().unwrap();
    let chain = table.chains.get(&name).unwrap();
    let policy = chain.base.as_ref().unwrap().policy;
    walk(table, chain, packet).unwrap_or_else(|| match policy {
        guestnet_nft::Policy::Accept => Outcome::Accept("policy".into()),
        guestnet_nft::Policy::Drop => Outcome::Drop("policy".into()),
    })
}

/// `None` where the chain returns.
fn walk(table: &Table, chain: &Chain, packet: &Packet) -> Option<Outcome> {
    for rule in &chain.rules {
        match apply(table, rule, packet) {
            Step::Next | Step::Go(Verdict::Continue) => {}
            Step::Go(Verdict::Accept) => {
                return Some(Outcome::Accept(rule.comment.clone().unwrap_or_default()));
            }
            Step::Go(Verdict::Drop) => return Some(Outcome::Drop(chain.name.as_str().to_owned())),
            Step::Go(Verdict::Return) => return None,
            Step::Go(Verdict::Goto(to)) => return walk(table, table.chains.get(&to).unwrap(), packet),
            Step::Go(Verdict::Jump(to)) => {
                let there = walk(table, table.chains.get(&to).unwrap(), packet);
                if there.is_some() {
                    return there;
                }
            }
        }
    }
    None
}

fn apply(table: &Table, rule: &Rule, packet: &Packet) -> Step {
    let mut registers = [0_u8; 64];
    for expression in &rule.expressions {
        let matches = match expression {
            Expr::Payload(e) => {
                store(&mut registers, e.register.index(), packet.load(e.base, e.offset, e.length))
            }
            Expr::Meta(e) => store(&mut registers, e.register.index(), packet.meta(e.key)),
            // The first packet of a connection, and a new one.
            Expr::Ct(e) => store(&mut registers, e.register.index(), Some(8_u32.to_ne_bytes().to_vec())),
            // There are no extension headers.
            Expr::Exthdr(e) => store(&mut registers, e.register.index(), e.exists.then(|| vec![0])),
            Expr::Bitwise(e) => {
                let at = e.register.index() * 4;
                let masked: Vec<u8> =
                    (0..e.mask.0.len()).map(|i| registers[at + i] & e.mask.0[i] ^ e.xor.0[i]).collect();
                store(&mut registers, e.to.index(), Some(masked))
            }
            Expr::Cmp(e) => {
                let at = e.register.index() * 4;
                let found = &registers[at..at + e.data.0.len()];
                let order = found.cmp(&e.data.0[..]);
                match e.op {
                    CmpOp::Eq => order.is_eq(),
                    CmpOp::Ne => order.is_ne(),
                    CmpOp::Lt => order.is_lt(),
                    CmpOp::Le => order.is_le(),
                    CmpOp::Gt => order.is_gt(),
                    CmpOp::Ge => order.is_ge(),
                }
            }
            Expr::Range(e) => {
                let at = e.register.index() * 4;
                let found = &registers[at..at + e.first.0.len()];
                (e.first.0[..] <= *found && *found <= e.last.0[..]) != e.invert
            }
            Expr::Lookup(e) => {
                let set = table.sets.get(&e.set).unwrap();
                let at = e.register.index() * 4;
                let found = set.elements.iter().any(|element| {
                    let mut slot = at;
                    set.key.iter().zip(element.key.first()).all(|(data, value)| {
                        let bytes = value.bytes(*data);
                        let same = registers[slot..slot + bytes.len()] == bytes[..];
                        slot += bytes.len().next_multiple_of(4);
                        same
                    })
                });
                found != e.invert
            }
            Expr::Verdict(verdict) => return Step::Go(verdict.clone()),
            Expr::Counter(_) | Expr::Log(_) => true,
            Expr::Limit(_) => true,
            other => panic!("{other:?}"),
        };
        if !matches {
            return Step::Next;
        }
    }
    Step::Next
}

fn store(registers: &mut [u8; 64], index: usize, bytes: Option<Vec<u8>>) -> bool {
    let Some(bytes) = bytes else { return false };
    let at = index * 4;
    registers[at..at + bytes.len().next_multiple_of(4)].fill(0);
    registers[at..at + bytes.len()].copy_from_slice(&bytes);
    true
}
