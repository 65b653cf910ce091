//! Making taps: the one link that netlink cannot make.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;

use crate::act::Deed;
use crate::error::{Error, Result};
use crate::kind::Protocol;
use crate::link::{TapOptions, mark};
use crate::name::LinkName;
use crate::netns::Namespace;
use crate::owner::LINK_GROUP;
use crate::sys;

/// Makes the tap `name` in `namespace`.
///
/// It gets guestnet's mark before it becomes persistent: if we are killed in between, the kernel takes the tap
/// away with our descriptor, so there is never one without the mark.
///
/// # Errors
/// `Io`; `EBUSY` when an interface with that name exists.
pub fn make(namespace: &mut Namespace, name: &LinkName, options: &TapOptions) -> Result<()> {
    let what = format!("make the tap {name} in namespace {}", namespace.netns());
    namespace.tell(Deed::MakeTap(name, options));
    let failed = |e| Error::io(what.clone(), e);
    // Which namespace a tap is in is decided when the device is opened.
    let tun: OwnedFd = namespace.inside(|| {
        Ok(OpenOptions::new().read(true).write(true).open("/dev/net/tun").map_err(failed)?.into())
    })?;
    // IFF_TUN_EXCL: without it the kernel would hand us somebody else's interface of the same name.
    let mut flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
    flags |= if options.multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
    flags |= if options.vnet_hdr { libc::IFF_VNET_HDR } else { 0 };
    sys::tun_set_iff(&tun, name.as_str(), flags).map_err(failed)?;
    if let Some(owner) = options.owner {
        sys::tun_set_owner(&tun, owner).map_err(failed)?;
    }
    if let Some(group) = options.group {
        sys::tun_set_group(&tun, group).map_err(failed)?;
    }
    let refused = namespace.exchange(Protocol::Route, &mut [mark(name, LINK_GROUP)])?;
    if let Some((_, refusal)) = refused.into_iter().next() {
        return Err(refusal.of(format!("mark the tap {name} in namespace {}", namespace.netns())));
    }
    sys::tun_set_persist(&tun).map_err(failed)
}
