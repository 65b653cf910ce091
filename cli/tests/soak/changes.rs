//! Changes that others make by hand to what is there.

use guestnet_lab::Dice;
use serde_json::Value;

/// A command that changes one object of the host that `show` has `shown`.
pub fn one(dice: &mut Dice, shown: &Value) -> String {
    let objects = &shown["objects"];
    let mut all: Vec<String> = vec!["nft flush ruleset".into()];
    of(&objects["host"], "", &mut all);
    for (name, objects) in objects["namespaces"].as_object().into_iter().flatten() {
        all.push(format!("ip netns del {name}"));
        of(objects, &format!("ip netns exec {name} "), &mut all);
    }
    for file in list(&objects["files"]) {
        let path = format!("/run/guestnet/{}", text(&file["path"]));
        all.extend([format!("rm {path}"), format!("echo changed >> {path}"), format!("chmod 600 {path}")]);
    }
    dice.of(&all)
}

/// Changes of the objects of one namespace; `inside` runs a command in it.
fn of(objects: &Value, inside: &str, all: &mut Vec<String>) {
    let mut add = |words: String| all.push(format!("{inside}{words}"));
    for address in list(&objects["addresses"]) {
        let (address, dev) = (text(&address["address"]), text(&address["dev"]));
        add(format!("ip address del {address} dev {dev}"));
        add(format!("ip address change {address} dev {dev} valid_lft 1000 preferred_lft 500"));
    }
    for route in list(&objects["routes"]) {
        let family = if text(&route["to"]).contains(':') { "-6" } else { "-4" };
        let to = text(&route["to"]);
        let metric = route["metric"].as_u64().map_or(String::new(), |metric| format!(" metric {metric}"));
        let table = route["table"].as_u64().unwrap_or(254);
        add(format!("ip {family} route del {to}{metric} table {table}"));
    }
    for link in list(&objects["links"]) {
        let name = text(&link["name"]);
        add(format!("ip link del {name}"));
        add(format!("ip link set {name} down"));
        add(format!("ip link set {name} multicast off"));
        // Of links that are given directly they are the host's choice (docs/drift.md).
        let of_guest = name.starts_with("tap") || name.starts_with("veth");
        let settings = link["settings"].as_object().filter(|_| of_guest);
        for (family, settings) in settings.into_iter().flatten() {
            for (setting, value) in settings.as_object().into_iter().flatten() {
                if let Some(value) = value.as_bool() {
                    add(format!("sysctl -qw net.{family}.conf.{name}.{setting}={}", u8::from(!value)));
                }
            }
        }
    }
    for neighbour in list(&objects["neighbours"]) {
        add(format!("ip neigh del proxy {} dev {}", text(&neighbour["address"]), text(&neighbour["dev"])));
    }
    for neighbour in list(&objects["permanent_neighbours"]) {
        let (address, dev) = (text(&neighbour["address"]), text(&neighbour["dev"]));
        add(format!("ip neigh del {address} dev {dev}"));
        add(format!("ip neigh change {address} dev {dev} lladdr 02:00:00:00:00:99 nud permanent"));
    }
    for sysctl in list(&objects["sysctls"]) {
        let other = match text(&sysctl["value"]) {
            // In hundredths of a second, which the kernel rounds.
            "0" if text(&sysctl["key"]).ends_with("delay") => "50",
            "0" => "1",
            "1" => "0",
            _ => continue,
        };
        add(format!("sysctl -qw {}={other}", text(&sysctl["key"])));
    }
    for table in list(&objects["tables"]) {
        let (family, name) = (text(&table["family"]), text(&table["name"]));
        add(format!("nft delete table {family} {name}"));
        for chain in list(&table["chains"]) {
            add(format!("nft add rule {family} {name} {} counter", text(&chain["name"])));
            if !list(&chain["rules"]).is_empty() {
                add(format!("nft flush chain {family} {name} {}", text(&chain["name"])));
            }
        }
        for set in list(&table["sets"]).iter().filter(|set| !list(&set["elements"]).is_empty()) {
            add(format!("nft flush set {family} {name} {}", text(&set["name"])));
        }
    }
    if !list(&objects["policies"]).is_empty() {
        add("ip xfrm policy flush".into());
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
