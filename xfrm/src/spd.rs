//! The kernel's database of policies as a whole: how many there are, and how it finds them.

use std::time::{Duration, Instant};

use guestnet_core::netlink::Attributes;
use guestnet_core::{Message, Namespace, Protocol, Result};
use netlink_packet_xfrm::constants::{
    XFRM_MSG_GETSPDINFO, XFRM_MSG_NEWSPDINFO, XFRMA_SPD_HINFO, XFRMA_SPD_INFO, XFRMA_SPD_IPV4_HTHRESH,
    XFRMA_SPD_IPV6_HTHRESH,
};

use crate::policy;
use crate::threshold::{Family, HashThreshold};

/// What `ip -s xfrm policy count` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spd {
    /// Policies of packets to the host itself.
    pub inbound: u32,
    /// Policies of packets that leave.
    pub outbound: u32,
    /// Policies of packets that pass through.
    pub forwarded: u32,
    /// Buckets of the hash in which policies are found, less one. The kernel doubles it when a policy is added to a hash
    /// that is full, and no more than once in a grace period: after a burst it is too small until more are added.
    pub buckets: u32,
    /// The most buckets that it takes, less one.
    pub most_buckets: u32,
    /// The thresholds that are not the kernel's own.
    pub thresholds: Vec<HashThreshold>,
}

/// How long to wait for the hash to grow, and how long between two looks at it: about a grace period.
const PATIENCE: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(5);

/// In front of the attributes: flags, of which there are none.
const FLAGS: [u8; 4] = [0; 4];

impl Spd {
    /// Reads it; `None` where the kernel has no IPsec.
    ///
    /// # Errors
    /// `Io` when the kernel cannot be asked.
    pub fn read(namespace: &mut Namespace) -> Result<Option<Self>> {
        if !namespace.speaks(Protocol::Xfrm) {
            return Ok(None);
        }
        let answer = namespace.get(Protocol::Xfrm, &Message::new(XFRM_MSG_GETSPDINFO, 0, &FLAGS))?;
        let Some(answer) = answer else { return Ok(None) };
        let read = |reply: guestnet_core::netlink::Reply<'_>| Self::of(reply.payload);
        Ok(answer.replies().find(|reply| reply.kind == XFRM_MSG_NEWSPDINFO).map(read))
    }

    /// Makes the hash as large as its policies want it, one doubling after the other, and says how large it is; not longer
    /// than two seconds. A hash that is too small costs every packet a search (10,000 policies: some microseconds).
    ///
    /// Only a new policy makes the kernel look at the hash. So one for which there are no packets is added and taken away
    /// again, for each doubling.
    ///
    /// # Errors
    /// As of [`Self::read`], and what the kernel refuses.
    pub fn grow(namespace: &mut Namespace) -> Result<u32> {
        let began = Instant::now();
        let mut said = None;
        while let Some(spd) = Self::read(namespace)? {
            if !spd.is_crowded() || began.elapsed() > PATIENCE {
                return Ok(spd.buckets);
            }
            if said != Some(spd.buckets) {
                said = Some(spd.buckets);
                namespace.request(
                    Protocol::Xfrm,
                    &mut policy::nobodys(),
                    "make the hash of policies grow",
                )?;
            }
            std::thread::sleep(TICK);
        }
        Ok(0)
    }

    /// Whether the kernel would double the hash if it looked at it.
    pub fn is_crowded(&self) -> bool {
        self.policies() > self.buckets && self.buckets < self.most_buckets
    }

    /// All policies.
    pub fn policies(&self) -> u32 {
        self.inbound.saturating_add(self.outbound).saturating_add(self.forwarded)
    }

    fn of(payload: &[u8]) -> Self {
        let attributes = Attributes::after(payload, FLAGS.len());
        let number = |attribute, at: usize| {
            let bytes = attributes.get(attribute).and_then(|value| value.get(4 * at..4 * at + 4));
            bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
        };
        let thresholds = Family::ALL.into_iter().filter_map(|family| {
            let &[local, remote, ..] = attributes.get(family.attribute())? else { return None };
            Some(HashThreshold { family, local, remote })
        });
        Self {
            inbound: number(XFRMA_SPD_INFO, 0),
            outbound: number(XFRMA_SPD_INFO, 1),
            forwarded: number(XFRMA_SPD_INFO, 2),
            buckets: number(XFRMA_SPD_HINFO, 0),
            most_buckets: number(XFRMA_SPD_HINFO, 1),
            thresholds: thresholds.filter(|threshold| !threshold.is_default()).collect(),
        }
    }
}

impl Family {
    fn attribute(self) -> u16 {
        match self {
            Self::Ipv4 => XFRMA_SPD_IPV4_HTHRESH,
            Self::Ipv6 => XFRMA_SPD_IPV6_HTHRESH,
        }
    }
}

/// The message that sets `threshold`.
pub(crate) fn set(threshold: HashThreshold) -> Message {
    let mut payload = FLAGS.to_vec();
    payload.extend(6_u16.to_ne_bytes());
    payload.extend(threshold.family.attribute().to_ne_bytes());
    payload.extend([threshold.local, threshold.remote, 0, 0]);
    Message::new(XFRM_MSG_NEWSPDINFO, 0, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_read_back_and_damage_does_no_harm() {
        let threshold = HashThreshold { family: Family::Ipv6, local: 64, remote: 48 };
        let message = set(threshold);
        let payload = &message.bytes()[16..];
        assert_eq!(Spd::of(payload).thresholds, [threshold]);
        for length in 0..payload.len() {
            let _ = Spd::of(&payload[..length]);
        }
        let own = set(HashThreshold::default_of(Family::Ipv4));
        assert_eq!(Spd::of(&own.bytes()[16..]), Spd::default());
    }
}
