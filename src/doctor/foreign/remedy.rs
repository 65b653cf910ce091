//! What to do about a foreign chain that drops what guests need, in the words of whoever made it.

use guestnet_nft::ruleset::RulesetTable;
use guestnet_nft::{Family, Hook};

use super::sample::{Need, Sample};

/// The most links that are named one by one.
const FEW: usize = 8;

/// Tables that iptables-nft makes; `iptables` shows and changes them.
const OF_IPTABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];

/// What is to be let through, and where.
pub(super) struct Gap<'a> {
    pub(super) table: &'a RulesetTable,
    /// The base chain.
    pub(super) chain: &'a str,
    pub(super) hook: Hook,
    pub(super) sample: &'a Sample,
    /// The links, each perhaps with a `*` behind.
    pub(super) links: &'a [String],
}

/// The directions that a rule at `hook` has to name, in nft's words and those of iptables.
fn directions(hook: Hook) -> &'static [(&'static str, &'static str)] {
    match hook {
        Hook::Prerouting | Hook::Input | Hook::Ingress => &[("iifname", "-i")],
        Hook::Output | Hook::Postrouting | Hook::Egress => &[("oifname", "-o")],
        Hook::Forward => &[("iifname", "-i"), ("oifname", "-o")],
    }
}

/// What a rule has to match besides the link: in nft's words, and in those of iptables and ip6tables.
fn matching(gap: &Gap<'_>) -> (&'static str, &'static str, &'static str) {
    const ESP: u8 = 50;
    let outward = matches!(gap.hook, Hook::Output | Hook::Postrouting | Hook::Egress);
    match gap.sample.need {
        Need::Discovery | Need::Proxied => (
            "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ",
            "",
            "-p icmpv6 ",
        ),
        Need::Dhcp if outward => ("udp dport { 68, 546 } ", "-p udp --dport 68 ", "-p udp --dport 546 "),
        Need::Dhcp => ("udp dport { 67, 547 } ", "-p udp --dport 67 ", "-p udp --dport 547 "),
        Need::Tunnel if gap.sample.protocol() == Some(ESP) => ("meta l4proto esp ", "-p esp ", "-p esp "),
        Need::Tunnel => ("udp dport 4500 ", "-p udp --dport 4500 ", "-p udp --dport 4500 "),
        Need::Arp | Need::Forwarding | Need::Bridged => ("", "", ""),
    }
}

impl Gap<'_> {
    /// What to do.
    pub(super) fn remedy(&self) -> String {
        let table = self.table;
        if table.name == "firewalld" {
            return self.firewalld();
        }
        let of_ip = matches!(table.family, Family::Ip | Family::Ip6);
        let rules =
            if of_ip && OF_IPTABLES.contains(&table.name.as_str()) { self.iptables() } else { self.nft() };
        let more = if self.links.len() > FEW { ", and so for the other links" } else { "" };
        match self.sample.need {
            Need::Bridged if table.family != Family::Bridge && table.family != Family::Netdev => format!(
                "keep frames from the rules of IP: `sysctl -w net.bridge.bridge-nf-call-iptables=0 \
                 net.bridge.bridge-nf-call-ip6tables=0`; or {rules}"
            ),
            _ => format!("{rules}{more}"),
        }
    }

    fn nft(&self) -> String {
        let RulesetTable { family, name, .. } = self.table;
        let few: Vec<String> = self.links.iter().take(FEW).map(|link| format!("\"{link}\"")).collect();
        let links = match &few[..] {
            [one] => one.clone(),
            many => format!("{{ {} }}", many.join(", ")),
        };
        let (matched, ..) = matching(self);
        let command = |(direction, _): &(&str, &str)| {
            format!("nft 'insert rule {family} {name} {} {direction} {links} {matched}accept'", self.chain)
        };
        let commands: Vec<String> = directions(self.hook).iter().map(command).collect();
        format!(
            "let them pass there: `{}`, and put the same at the top of the chain where it is made \
             (/etc/nftables.conf)",
            commands.join("; ")
        )
    }

    fn iptables(&self) -> String {
        let (program, matched) = match (self.table.family, matching(self)) {
            (Family::Ip6, (_, _, six)) => ("ip6tables", six),
            (_, (_, four, _)) => ("iptables", four),
        };
        let table = match self.table.name.as_str() {
            "filter" => String::new(),
            other => format!("-t {other} "),
        };
        // What Docker leaves to users; it makes the others anew.
        let users = self.chain == "FORWARD" && self.table.chains.contains_key("DOCKER-USER");
        let chain = if users { "DOCKER-USER" } else { self.chain };
        let links: Vec<String> = self.links.iter().take(FEW).map(|link| link.replace('*', "+")).collect();
        let command = |direction: &str| {
            let rule =
                |link: &String| format!("{program} {table}-I {chain} {direction} {link} {matched}-j ACCEPT");
            links.iter().map(rule).collect::<Vec<_>>()
        };
        let commands: Vec<String> =
            directions(self.hook).iter().flat_map(|(_, direction)| command(direction)).collect();
        let keep = if self.table.chains.keys().any(|name| name.starts_with("ufw")) {
            "write them into /etc/ufw/before.rules and before6.rules, which ufw loads"
        } else {
            "save them as the others are (`netfilter-persistent save`)"
        };
        format!("let them pass there: `{}`, and {keep}", commands.join("; "))
    }

    fn firewalld(&self) -> String {
        let links: Vec<String> = self.links.iter().take(FEW).map(|link| link.replace('*', "+")).collect();
        if self.sample.need == Need::Tunnel {
            return "let it in: `firewall-cmd --permanent --add-protocol=esp; firewall-cmd --permanent --add-port=4500/udp; \
                    firewall-cmd --reload` (with --zone where the uplink is not in the default zone)"
                .to_owned();
        }
        if self.sample.need == Need::Proxied {
            return "let it in: `firewall-cmd --permanent --add-protocol=ipv6-icmp; firewall-cmd --reload`"
                .to_owned();
        }
        let interfaces: String = links.iter().map(|link| format!(" --add-interface={link}")).collect();
        let mut commands = vec![format!("firewall-cmd --permanent --zone=trusted{interfaces}")];
        if self.hook == Hook::Forward {
            // It may be there from another finding, and the command takes one of these at a time.
            let policy = "firewall-cmd --permanent --policy=to-guests";
            commands.push(
                "firewall-cmd --permanent --get-policies | grep -qw to-guests \
                 || firewall-cmd --permanent --new-policy=to-guests"
                    .to_owned(),
            );
            let parts = ["--add-ingress-zone=ANY", "--add-egress-zone=trusted", "--set-target=ACCEPT"];
            commands.extend(parts.map(|part| format!("{policy} {part}")));
        }
        commands.push("firewall-cmd --reload".into());
        format!(
            "trust the guests' links, which a firewall in the spec can filter instead: `{}`",
            commands.join("; ")
        )
    }
}
