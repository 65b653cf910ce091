//! The kernel's counters of packets that IPsec did not let through, explained: `/proc/net/xfrm_stat`, one file for each
//! namespace (Documentation/networking/xfrm_proc.rst of the kernel).

use serde::Serialize;

/// A counter that is not zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The kernel's name for it: `XfrmInStateSeqError`.
    pub name: String,
    /// How many packets, since the namespace was made.
    pub packets: u64,
}

/// What a counter means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Meaning {
    /// Why a packet was dropped.
    pub cause: &'static str,
    /// What can be done about it.
    pub remedy: &'static str,
}

/// The counters that are not zero in `text`, the content of the file.
pub fn parse(text: &str) -> Vec<Count> {
    let counts = text.lines().filter_map(|line| {
        let (name, packets) = line.split_once(char::is_whitespace)?;
        Some(Count { name: name.to_owned(), packets: packets.trim().parse().ok()? })
    });
    counts.filter(|count| count.packets > 0).collect()
}

impl Count {
    /// What it means; `None` for a counter of a kernel that is newer than this.
    pub fn meaning(&self) -> Option<Meaning> {
        MEANINGS
            .iter()
            .find(|(name, ..)| *name == self.name)
            .map(|(_, cause, remedy)| Meaning { cause, remedy })
    }
}

const SPI_NOT_KNOWN: &str = "compare the SPIs that `guestnet show tunnels` prints at both ends; during a rekey, the \
                             receiver has to be ready before the sender switches";
const MEMORY: &str = "the host is short of memory for packets: look at its load and at `net.core` limits";
const RENEW: &str = "rekey the tunnel, sooner than its limits";
const BOTH_ENDS: &str = "apply specs at both ends that agree on keys, algorithm, encapsulation and mode";
const POLICY: &str = "compare the pairs of the tunnel at both ends: what one sends the other has to expect";
const TRANSIENT: &str = "a few while tunnels change are harmless; if they go on, apply the spec again";

/// Names (`LINUX_MIB_XFRM*` in linux/snmp.h, up to kernel 6.18), causes and remedies.
#[rustfmt::skip]
const MEANINGS: &[(&str, &str, &str)] = &[
    ("XfrmInError", "an error of no other kind on the way in", MEMORY),
    ("XfrmInBufferError", "no buffer was left for a packet on its way in", MEMORY),
    ("XfrmInHdrError", "the header of a packet from a tunnel was wrong", BOTH_ENDS),
    ("XfrmInNoStates", "a packet came for an SPI that no state has", SPI_NOT_KNOWN),
    ("XfrmInStateProtoError", "decryption failed: another key, or a packet that was forged or damaged", BOTH_ENDS),
    ("XfrmInStateModeError", "a packet was decrypted and was not what the mode of the state expects", BOTH_ENDS),
    ("XfrmInStateSeqError", "a packet came twice, or so late that it was outside of the replay window",
        "if packets overtake each other on the way, enlarge replay_window; otherwise someone repeats them"),
    ("XfrmInStateExpired", "a packet came for a state whose lifetime had ended", RENEW),
    ("XfrmInStateMismatch", "a packet was in UDP and the state expects none, or the other way round",
        "say `udp` at both ends or at none"),
    ("XfrmInStateInvalid", "a packet came for a state that was being removed", TRANSIENT),
    ("XfrmInTmplMismatch", "a packet came through another state than its policy asks for",
        "where policies pin SPIs (pin_spi: all), switch them with the states; otherwise compare reqids"),
    ("XfrmInNoPols", "a packet came out of a tunnel and no policy lets it in", POLICY),
    ("XfrmInPolBlock", "a policy blocks a packet on its way in: in clear, where a tunnel is declared",
        "that is what it is for; if the other end sends in clear, apply its spec"),
    ("XfrmInPolError", "a policy on the way in is broken", TRANSIENT),
    ("XfrmOutError", "an error of no other kind on the way out", MEMORY),
    ("XfrmOutBundleGenError", "the way out through a tunnel could not be put together",
        "the host needs a route to the other end's outer address"),
    ("XfrmOutBundleCheckError", "the way out through a tunnel had become invalid", TRANSIENT),
    ("XfrmOutNoStates", "a policy asks for a state that is not there",
        "apply the spec: the states are gone, or the SPI of the policy is another"),
    ("XfrmOutStateProtoError", "encryption failed", "look at the kernel's log: the algorithm's driver failed"),
    ("XfrmOutStateModeError", "a packet does not fit the mode of the state, or is too large for it",
        "compare the MTU of the route with that of the path (path_mtu)"),
    ("XfrmOutStateSeqError", "the sequence numbers of a state are used up",
        "rekey the tunnel; extended sequence numbers (esn) end 2^32 times later"),
    ("XfrmOutStateExpired", "a packet was to leave through a state whose lifetime had ended", RENEW),
    ("XfrmOutPolBlock", "a policy blocks a packet on its way out",
        "that is what it is for, while a tunnel has no state; otherwise look which policy it is (`ip xfrm policy`)"),
    ("XfrmOutPolDead", "a policy on the way out was being removed", TRANSIENT),
    ("XfrmOutPolError", "a policy on the way out is broken", TRANSIENT),
    ("XfrmFwdHdrError", "the header of a packet that passes through was wrong", "look who sends such packets: capture them"),
    ("XfrmOutStateInvalid", "a packet was to leave through a state that was being removed", TRANSIENT),
    ("XfrmAcquireError", "no key exchange daemon answered when a state was missing",
        "apply the spec: guestnet's states are there beforehand, no daemon is asked"),
    ("XfrmOutStateDirError", "a state for the way in was to be used on the way out", BOTH_ENDS),
    ("XfrmInStateDirError", "a state for the way out was to be used on the way in",
        "two tunnels may have one SPI: give one of them another id"),
    ("XfrmInIptfsError", "a packet of IP-TFS could not be taken apart", "guestnet makes no such states: see whose it is"),
    ("XfrmOutNoQueueSpace", "the queue of an IP-TFS state was full", "guestnet makes no such states: see whose it is"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_zero_is_read_and_explained() {
        let text = "XfrmInError             \t0\nXfrmInNoStates          \t7\nXfrmNewer  1\nbroken\n\nXfrmOutError x\n";
        let counts = parse(text);
        assert_eq!(counts.iter().map(|count| count.packets).collect::<Vec<_>>(), [7, 1]);
        assert!(counts[0].meaning().is_some_and(|meaning| meaning.cause.contains("SPI")));
        assert_eq!(counts[1].meaning(), None);
    }

    /// The running kernel's own names: each of them has a meaning.
    #[test]
    fn every_counter_of_this_kernel_is_explained() {
        let Ok(text) = std::fs::read_to_string("/proc/net/xfrm_stat") else {
            // Without CONFIG_XFRM_STATISTICS. The second kernel has it.
            return;
        };
        for line in text.lines() {
            let name = line.split_whitespace().next().unwrap_or_default().to_owned();
            assert!(Count { name: name.clone(), packets: 1 }.meaning().is_some(), "{name}");
        }
    }
}
