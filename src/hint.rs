//! What to do next, for errors after which that can be said.

use guestnet_core::Error as CoreError;

use crate::report::Error;

impl Error {
    /// What to do next, where that can be said.
    pub fn hint(&self) -> Option<&'static str> {
        match self.core()? {
            CoreError::Io { what, .. } if self.is_permission() && what.starts_with("read ") => {
                Some("let the user that runs it read that file (`ls -l` says who may), or run it as root")
            }
            _ if self.is_permission() => {
                Some("run it as root, or where the user has CAP_NET_ADMIN and CAP_SYS_ADMIN")
            }
            CoreError::Kernel(error)
                if error.words.as_deref().is_some_and(|w| w.contains("IPv6 is disabled")) =>
            {
                Some(
                    "`sysctl net.ipv6.conf.all.disable_ipv6 net.ipv6.conf.default.disable_ipv6` says where it is off: \
                     set them to 0, or take the IPv6 addresses and prefixes out of the spec",
                )
            }
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
        libc::ENOENT if what.contains("/proc/") => Some("mount it: `mount -t proc proc /proc`"),
        libc::EBUSY if what.starts_with("make the tap") => {
            Some("an interface has that name already, or a process holds it: `ip -d link` says which")
        }
        libc::ENOENT | libc::ENXIO | libc::ENODEV if what.starts_with("make the tap") => {
            Some("`modprobe tun`")
        }
        libc::EROFS => Some("the file system there is mounted read-only: containers often have /proc/sys so"),
        libc::ENOSPC | libc::EDQUOT => Some("the file system there is full: `df`, `df -i`"),
        libc::EMFILE | libc::ENFILE => Some(
            "each namespace of a guest takes four descriptors: raise the hard limit, `ulimit -Hn`, or LimitNOFILE",
        ),
        _ => None,
    }
}
