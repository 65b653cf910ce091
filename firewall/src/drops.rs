//! What has been dropped, by paragraph.

use std::collections::BTreeMap;
use std::fmt;

use guestnet_core::{Namespace, Result};
use guestnet_nft::{Family, TableKey, counters, counters_of};
use serde::Serialize;

use crate::rules::ports;
use crate::words::DROP;
use crate::{Paragraph, TABLE};

/// What was dropped by one paragraph in the tables of one family, since they were made. (They are made anew when rules
/// change; guests that come and go change none.)
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Drops {
    /// The family of the table.
    pub family: Family,
    /// By which paragraph of the contract.
    #[schemars(with = "String")]
    pub paragraph: Paragraph,
    /// What the paragraph is about.
    pub title: &'static str,
    /// How many packets or frames.
    pub packets: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

/// Reads the counters of a namespace's filter: `nft list chain inet guestnet_firewall drop_2_1`, ….
///
/// # Errors
/// When the kernel cannot be read.
pub fn drops(namespace: &mut Namespace) -> Result<Vec<Drops>> {
    let mut found = BTreeMap::new();
    for family in [Family::Inet, Family::Arp, Family::Bridge, Family::Netdev] {
        let Ok(table) = TABLE.parse() else { continue };
        // Of each port there is a table.
        let mut counts = match family {
            Family::Netdev => counters_of(namespace, family)?,
            _ => counters(namespace, &TableKey(family, table))?,
        };
        counts.retain(|count| count.table == TABLE || ports::is_one(&count.table));
        for count in counts {
            let suffix = count.chain.strip_prefix(DROP);
            let paragraph = Paragraph::ALL.iter().find(|p| suffix == Some(p.suffix().as_str()));
            let Some(paragraph) = paragraph else { continue };
            let sum: &mut (u64, u64) = found.entry((*paragraph, family)).or_default();
            sum.0 = sum.0.saturating_add(count.packets);
            sum.1 = sum.1.saturating_add(count.bytes);
        }
    }
    let drops = found.into_iter().map(|((paragraph, family), (packets, bytes))| Drops {
        family,
        paragraph,
        title: paragraph.title(),
        packets,
        bytes,
    });
    Ok(drops.collect())
}

impl fmt::Display for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, paragraph, title, packets, bytes } = self;
        write!(f, "{paragraph:<4} {packets:>9} packets {bytes:>11} bytes  {family}: {title}")
    }
}
