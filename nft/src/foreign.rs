//! The tables of others, by name only: their contents are none of our business.

use guestnet_core::netlink::Attributes;
use guestnet_core::owner::TABLE_PREFIX;
use guestnet_core::{Message, Namespace, Protocol, Result};

use crate::Family;
use crate::uapi::{NFGENMSG, NFTA_TABLE_NAME};

/// The tables in `namespace` that are not guestnet's, as `ip filter`.
///
/// # Errors
/// When they cannot be listed.
pub fn foreign_tables(namespace: &mut Namespace) -> Result<Vec<String>> {
    if !namespace.speaks(Protocol::Netfilter) {
        return Ok(Vec::new());
    }
    let kind = (libc::NFNL_SUBSYS_NFTABLES << 8) as u16 | libc::NFT_MSG_GETTABLE as u16;
    let dump = match namespace.dump(Protocol::Netfilter, &Message::new(kind, 0, &[0; NFGENMSG])) {
        // A kernel without nf_tables has no tables.
        Err(e) if [Some(libc::EINVAL), Some(libc::EOPNOTSUPP)].contains(&e.errno()) => return Ok(Vec::new()),
        other => other?,
    };
    let mut tables = Vec::new();
    for reply in dump.replies() {
        let name = Attributes::after(reply.payload, NFGENMSG).get_str(NFTA_TABLE_NAME).unwrap_or("?");
        if !name.starts_with(TABLE_PREFIX) {
            let family = reply.payload.first().and_then(|number| Family::from_number(*number));
            let family = family.map_or_else(|| "?".into(), |family| family.to_string());
            tables.push(format!("{family} {name}"));
        }
    }
    Ok(tables)
}
