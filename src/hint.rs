//! What to do next, for errors after which that can be said.

use guestnet_core::Error as CoreError;

use crate::report::Error;

impl Error {
    /// What to do next, where that can be said.
    pub fn hint(&self) -> Option<&'static str> {
        if self.is_permission() {
            return Some("run it as root, or where the user has CAP_NET_ADMIN and CAP_SYS_ADMIN");
        }
        match self.core()? {
            CoreError::Kernel(error)
                if error.words.as_deref().is_some_and(|w| w.contains("algorithm not found")) =>
            {
                Some(
                    "this kernel lacks ESP or AES-GCM: try `modprobe -a esp4 esp6 gcm aes`, or another kernel",
                )
            }
            CoreError::Kernel(error) if error.errno == libc::EPROTO => Some(
                "this kernel keeps no account of connections in bridges: try `modprobe nf_conntrack_bridge`, or say \
                 `\"stateless\": true` in the `access` of guests on bridges",
            ),
            CoreError::Foreign(_) => Some(
                "remove what is in the way, or take it out of the spec; what is others' is never touched",
            ),
            CoreError::Busy(_) => Some("the same call may succeed later"),
            CoreError::Io { what, source } => of_system(what, source.raw_os_error()?),
            _ => None,
        }
    }
}

fn of_system(what: &str, errno: i32) -> Option<&'static str> {
    match errno {
        libc::ENOENT if what.starts_with("set sysctl") => Some(
            "a sysctl of an interface is there when the interface is: `ip link` says which are, and the doctor says what \
             else a host lacks for a spec",
        ),
        libc::ENOENT if what.starts_with("open the namespace") => {
            Some("`ip netns list` says which there are, `ip netns add` makes one")
        }
        libc::ENOENT | libc::ENXIO if what.contains("/dev/net/tun") => Some("`modprobe tun`"),
        libc::EMFILE | libc::ENFILE => Some(
            "each namespace of a guest takes four descriptors: raise the hard limit, `ulimit -Hn`, or LimitNOFILE",
        ),
        _ => None,
    }
}
