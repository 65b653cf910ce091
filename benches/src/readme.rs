//! What README says of speed: some rows of a report, word for word as they were measured.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::statistics::{digits, time};

/// The jobs, each at its largest size, with what they are called there. `N` is the size.
const JOBS: [(&str, &str); 13] = [
    ("one-guest", "one guest, in a namespace of its own"),
    ("guests", "N guests in the host's namespace, from nothing"),
    ("guests-own", "N guests, each in a namespace of its own"),
    ("one-more", "one guest more at N"),
    ("again", "the same spec again at N guests: nothing to do"),
    ("lost-element", "one lost element found and put back at N guests"),
    ("load-nat", "the translation of N guests loaded"),
    ("nat-element", "one guest more in the translation of N"),
    ("firewall-guest", "one guest more in the firewall of N"),
    ("policy", "one IPsec policy more at N"),
    ("rekey-policies", "N IPsec policies given their next SPI"),
    ("state", "one IPsec state more at N"),
    ("rekey", "a mesh with N peers rekeyed"),
];

/// The columns, each with the contestants that can stand in it.
const COLUMNS: [(&str, &[&str]); 6] = [
    ("guestnet", &["guestnet"]),
    ("the command", &["guestnet, the command"]),
    ("libnftables", &["libnftables, JSON"]),
    ("`ip -batch`, `nft -f`", &["ip -batch, nft -f", "nft -f", "ip -batch", "ip -batch, of 100"]),
    ("a process an object", &["a process an object", "nft, a process an element", "a process of ip"]),
    ("the seed's processes", &["the seed's processes"]),
];

const BEGIN: &str = "<!-- measured: cargo xtask bench --readme -->\n";
const END: &str = "<!-- end -->\n";

/// Puts what `report` says between the marks in `readme`.
pub fn write(report: &str, readme: &str) -> Result<()> {
    let document: Value =
        serde_json::from_str(&fs::read_to_string(report).with_context(|| report.to_owned())?)?;
    let text = fs::read_to_string(readme)?;
    Ok(fs::write(readme, replaced(&text, &section(&document)?)?)?)
}

fn replaced(text: &str, section: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("the mark before the table")?;
    let (_, after) = rest.split_once(END).context("the mark after the table")?;
    Ok(format!("{before}{BEGIN}{section}{END}{after}"))
}

fn section(document: &Value) -> Result<String> {
    let tables = document["tables"].as_array().context("the tables of the report")?;
    let quick = if document["quick"] == true { " --quick" } else { "" };
    // The rest of a kernel's version says on which machine it was.
    let kernel = document["kernel"].as_str().unwrap_or_default();
    let kernel = kernel.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let processors = document["processors"].as_u64().context("the number of processors")?;
    let mut out = format!(
        "By `cargo xtask bench{quick}`, on {processors} processors, Linux {kernel}; medians:\n\n| ÷ floor |"
    );
    COLUMNS.iter().for_each(|(name, _)| out += &format!(" {name} |"));
    out += "\n|---|";
    COLUMNS.iter().for_each(|_| out += "--:|");
    out.push('\n');
    let before = out.len();
    for (job, words) in JOBS {
        let of_job = tables.iter().filter(|table| table["job"] == job);
        let Some(table) = of_job.max_by_key(|table| table["size"].as_u64()) else { continue };
        out += &row(table, words).unwrap_or_default();
    }
    ensure!(out.len() > before, "the report has none of the jobs that README speaks of");
    Ok(out)
}

/// A line of the table. `None` where nothing was measured.
fn row(table: &Value, words: &str) -> Option<String> {
    let rows = table["rows"].as_array()?;
    let floor = rows.first()?["time"]["median"].as_f64()?;
    let mut line =
        format!("| {} ({}) |", words.replace('N', &thousands(table["size"].as_u64()?)), time(floor));
    for (_, names) in COLUMNS {
        let row = rows.iter().find(|row| names.iter().any(|name| row["contestant"] == *name));
        let ratio = row.and_then(|row| row["ratio"]["median"].as_f64());
        line += &ratio.map_or(" |".to_owned(), |ratio| format!(" {} |", digits(ratio)));
    }
    Some(line + "\n")
}

/// `100000` as `100,000`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{BEGIN, END, replaced, section, thousands};

    #[test]
    fn the_table_says_what_was_measured_at_the_largest_size() {
        let row = |name: &str, time: f64, ratio: f64| json!({ "contestant": name, "time": { "median": time }, "ratio": { "median": ratio } });
        let table = |size: u64| {
            json!({ "job": "nat-element", "size": size, "rows": [
            row("floor", 2500.0, 1.0), row("guestnet", 3000.0, size as f64 / 1e5), row("nft -f", 2e6, 600.4),
            { "contestant": "libnftables, JSON", "time": null, "ratio": null },
        ] })
        };
        let document = json!({ "kernel": "6.18.44-cloud", "processors": 2, "quick": false, "tables": [table(10_000), table(100_000)] });
        let section = section(&document).unwrap();
        assert!(
            section.starts_with("By `cargo xtask bench`, on 2 processors, Linux 6.18; medians:"),
            "{section}"
        );
        let last = section.lines().last().unwrap();
        assert_eq!(last, "| one guest more in the translation of 100,000 (2.50 us) | 1.00 | | | 600 | | |");
        let text = replaced(&format!("a\n{BEGIN}old\n{END}b\n"), &section).unwrap();
        assert!(text.starts_with("a\n<!--") && text.ends_with("-->\nb\n") && !text.contains("old"), "{text}");
        assert!(replaced("no marks", "").is_err());
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([thousands(1), thousands(1000), thousands(100_000)], ["1", "1,000", "100,000"]);
    }
}
