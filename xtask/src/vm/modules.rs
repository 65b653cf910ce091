//! The modules that the second kernel loads.

/// What it takes to reach the host's file tree.
pub const FOR_ROOT: &[&str] = &["virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console"];

/// What the lab needs. By name: the kernel's way of asking for a module when it is first used is switched off, since
/// `modprobe` has no list of them.
#[rustfmt::skip]
pub const FOR_LAB: &[&str] = &[
    "crc32c_generic", "sha512_generic", "drbg", "ctr", "gcm", "ghash_generic", "aesni-intel", "seqiv", "echainiv",
    "cbc", "sha256_generic", "hmac", "authenc",
    "xfrm_user", "esp4", "esp6", "xfrm_interface",
    "veth", "tun", "bridge", "dummy", "macvlan", "8021q", "vrf", "vxlan", "ip6_tunnel", "sit", "sch_netem",
    "nf_conntrack_netlink", "nfnetlink_log", "nft_ct", "nft_chain_nat", "nft_nat", "nft_masq", "nft_redir", "nft_log",
    "nft_limit", "nft_connlimit", "nf_log_syslog", "nft_fib_inet", "nft_reject_inet", "nft_objref", "nft_quota", "nft_numgen", "nft_hash",
    "nft_dup_netdev", "nft_fwd_netdev", "nft_xfrm", "nft_meta_bridge", "nft_reject_bridge", "nf_conntrack_bridge",
    "tcp_diag", "udp_diag",
];
