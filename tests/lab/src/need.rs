//! What a test needs of the machine. What is missing skips the test aloud.

use std::panic;
use std::process::Command;

use crate::Netns;

/// Why a test was skipped, as the payload of the unwinding that ends it.
pub(crate) struct Skip {
    pub reason: String,
    /// Whether another kernel could run it.
    pub of_kernel: bool,
}

/// What not every kernel, or not every user, has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capability {
    /// Taps: `/dev/net/tun` may be opened.
    Tap,
    /// Bridges.
    Bridge,
    /// Dummy interfaces.
    Dummy,
    /// VLAN interfaces.
    Vlan,
    /// IPsec policies.
    XfrmPolicy,
    /// IPsec states: ESP with AES-GCM.
    Esp,
    /// nf_tables with connection tracking.
    Conntrack,
    /// The same for frames in a bridge.
    BridgeConntrack,
    /// Counts of connections, `ct count`, of elements of sets.
    Connlimit,
    /// Control groups, which systemd needs.
    Cgroups,
    /// Users beside root, as one of whom a program can run.
    Users,
    /// The first network namespace may be entered, whose sysctls are those of the whole kernel.
    FirstNamespace,
}

impl Capability {
    /// Commands that work where the kernel has it.
    fn trial(self) -> &'static str {
        match self {
            Self::Tap => "ip tuntap add t0 mode tap",
            Self::Bridge => "ip link add t0 type bridge",
            Self::Dummy => "ip link add t0 type dummy",
            Self::Vlan => "ip link add t0 type veth peer name t1 && ip link add t2 link t0 type vlan id 2",
            Self::XfrmPolicy => {
                "ip xfrm policy add src fd00::1 dst fd00::2 dir out \
                 tmpl src fd00::1 dst fd00::2 proto esp reqid 1 mode tunnel"
            }
            Self::Esp => {
                "ip xfrm state add src fd00::1 dst fd00::2 proto esp spi 0x100 reqid 1 mode tunnel \
                 aead 'rfc4106(gcm(aes))' 0x0102030405060708090a0b0c0d0e0f1011121314 128"
            }
            Self::Conntrack => {
                "nft 'add table inet t; add chain inet t c { type filter hook input priority 0; }; \
                 add rule inet t c ct state established accept'"
            }
            Self::Connlimit => {
                "nft 'add table inet t; add set inet t s { type ifname; flags dynamic; ct count over 10; }'"
            }
            Self::Cgroups => {
                "unshare --mount --cgroup sh -ec 'mount -t cgroup2 cgroup2 /sys/fs/cgroup
                 mkdir /sys/fs/cgroup/guestnet-lab; rmdir /sys/fs/cgroup/guestnet-lab'"
            }
            Self::Users => "setpriv --reuid 1000 --regid 1000 --clear-groups true",
            Self::FirstNamespace => "nsenter --net=/proc/1/ns/net true",
            Self::BridgeConntrack => {
                "nft 'add table bridge t; add chain bridge t c { type filter hook forward priority 0; }; \
                 add rule bridge t c ct state established accept'"
            }
        }
    }
}

/// Whether the kernel gives the caller `capability`; if not, in whose words it refuses.
///
/// # Errors
/// The words.
pub fn has(capability: Capability) -> Result<(), String> {
    let netns = Netns::anonymous().map_err(|e| format!("{e:#}"))?;
    let mut trial = netns.command("sh");
    crate::output(trial.args(["-c", capability.trial()])).map(drop).map_err(|e| format!("{e:#}"))
}

/// Says aloud that a part of a test is left out, since this machine lacks something.
#[expect(clippy::print_stderr, reason = "it is for whoever looks at the log")]
pub fn note(what: &str) {
    eprintln!("guestnet-lab: left out: {what}");
}

/// Skips the test where the kernel does not give it `capability`.
pub fn need(capability: Capability) {
    if let Err(words) = has(capability) {
        end(&format!("this kernel gives us no {capability:?}: {words}"), true);
    }
}

/// Skips the test where `program` is not installed.
pub fn need_program(program: &str) {
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        skip(&format!("{program} is not installed"));
    }
}

/// Skips the test.
pub fn skip(reason: &str) -> ! {
    end(reason, false)
}

fn end(reason: &str, of_kernel: bool) -> ! {
    // On one line, because the line is how the reason travels.
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    panic::resume_unwind(Box::new(Skip { reason, of_kernel }))
}
