//! The lab's own tests: namespaces.

use std::process::Command;

use anyhow::Result;
use guestnet_lab::{Capability, Netns, has, lab_test, need, output};

lab_test! {
    fn starts_in_an_empty_network() -> Result<()> {
        let links = output(Command::new("ip").args(["-o", "link"]))?;
        assert_eq!(links.lines().count(), 1, "{links}");
        assert!(links.contains("LOOPBACK,UP"), "{links}");
        assert_eq!(std::fs::read_dir("/run/netns")?.count(), 0);
        Ok(())
    }

    fn sysctls_belong_to_the_namespace() -> Result<()> {
        let (one, two) = (Netns::make("one")?, Netns::make("two")?);
        one.set_sysctl("net/ipv4/ip_forward", "1")?;
        assert_eq!(one.sysctl("net/ipv4/ip_forward")?, "1");
        assert_eq!(two.sysctl("net/ipv4/ip_forward")?, "0");
        Ok(())
    }

    fn names_are_those_of_ip_netns() -> Result<()> {
        let one = Netns::make("one")?;
        one.ip("link add inner type bridge")?;
        assert!(guestnet_lab::sh("ip -n one link show inner")?.contains("inner"));
        let words = one.ip("link show missing").unwrap_err();
        assert!(format!("{words:#}").contains("missing"), "{words:#}");
        drop(one);
        assert_eq!(guestnet_lab::sh("ip netns list")?, "");
        Ok(())
    }

    fn a_ruleset_is_loaded_inside() -> Result<()> {
        need(Capability::Conntrack);
        let one = Netns::make("one")?;
        one.nft("table inet t {\nchain c {\nct state established accept\n}\n}\n")?;
        assert!(output(one.command("nft").args(["list", "ruleset"]))?.contains("established"));
        assert_eq!(guestnet_lab::sh("nft list ruleset")?, "");
        Ok(())
    }

    fn esp_states_are_accepted() {
        need(Capability::Esp);
        assert!(has(Capability::XfrmPolicy).is_ok());
    }

    #[should_panic(expected = "failed in its namespaces")]
    fn a_failure_comes_out() {
        panic!("as intended");
    }
}
