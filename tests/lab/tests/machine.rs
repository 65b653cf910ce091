//! A real guest, without guestnet: it boots, is configured by a real dnsmasq, and obeys.

use anyhow::{Result, ensure};
use guestnet_lab::vm::need_vm;
use guestnet_lab::{Mac, Netns, Pings, Vm, dnsmasq, lab_test, need_program, scratch};

const MAC: Mac = Mac([2, 0, 0x5e, 0, 0x53, 1]);

const DNSMASQ: &str = "\
port=0
interface=tap0
bind-dynamic
dhcp-range=192.0.2.2,192.0.2.2,255.255.255.0,1h
dhcp-range=2001:db8::,ra-only,64
enable-ra
";

/// A host with an address on a tap.
fn host(options: &str) -> Result<Netns> {
    let host = Netns::make("host")?;
    host.ip(&format!("tuntap add tap0 mode tap {options}"))?;
    host.ip("address add 192.0.2.1/24 dev tap0")?;
    host.ip("address add 2001:db8::1/64 dev tap0 nodad")?;
    host.ip("link set tap0 up")?;
    Ok(host)
}

lab_test! {
    fn a_guest_boots_is_configured_and_obeys() -> Result<()> {
        need_vm();
        need_program("dnsmasq");
        let host = host("")?;
        let conf = scratch().join("dnsmasq.conf");
        std::fs::write(&conf, DNSMASQ)?;
        let _dnsmasq = dnsmasq(&host, &conf)?;
        let vm = Vm::boot(&host, "tap0", MAC)?;
        // As QEMU opens a tap.
        ensure!(host.ip("-d link show tap0")?.contains("vnet_hdr on"));

        ensure!(vm.run("echo one; echo two >&2; printf three")? == "one\ntwo\nthree");
        ensure!(vm.try_run("echo '=5'; exit 7")? == (7, "=5".to_owned()));
        ensure!(vm.run("false").is_err());
        ensure!(vm.try_run("a\nb").is_err());
        ensure!(vm.run("cat /sys/class/net/eth0/address")? == "02:00:5e:00:53:01");
        // Nothing of the machine but the tap.
        ensure!(vm.run("ls /sys/class/net")? == "eth0\nlo");

        let lease = vm.lease()?;
        ensure!((lease.address, lease.prefix) == ("192.0.2.2".parse()?, 24), "{lease:?}");
        ensure!(vm.renew()?.address == lease.address);
        let address = vm.ipv6("2001:db8:")?;
        ensure!(address.to_string() == "2001:db8::5eff:fe00:5301", "{address}");
        vm.ping("192.0.2.1".parse()?)?;
        vm.ping("2001:db8::1".parse()?)?;
        ensure!(vm.run("ping -c 1 -W 1 192.0.2.3").is_err());

        let (mut out, mut back) = (vm.pings("2001:db8::1".parse()?)?, Pings::start(&host, lease.address.into())?);
        ensure!((out.lost()?, back.lost()?) == (0, 0));
        host.ip("link set tap0 down")?;
        std::thread::sleep(std::time::Duration::from_secs(1));
        host.ip("link set tap0 up")?;
        host.ip("address add 2001:db8::1/64 dev tap0 nodad")?;
        let lost = [out.lost()?, back.lost()?];
        ensure!(lost.iter().all(|lost| (16..=60).contains(lost)), "{lost:?} lost in a second");
        ensure!((out.lost()?, back.lost()?) == (0, 0));
        Ok(())
    }

    fn a_guest_has_as_many_queues_as_it_is_given() -> Result<()> {
        need_vm();
        let host = host("multi_queue")?;
        let vm = Vm::with_queues(&host, "tap0", MAC, 2)?;
        ensure!(vm.run("ls -d /sys/class/net/eth0/queues/rx-* | wc -l")? == "2");
        vm.run("ip address add 192.0.2.2/24 dev eth0")?;
        vm.ping("192.0.2.1".parse()?)?;
        Ok(())
    }

    fn a_tap_that_is_not_there_is_said_and_not_made() -> Result<()> {
        need_vm();
        let host = Netns::make("host")?;
        let refused = Vm::boot(&host, "tap0", MAC).err().map(|e| format!("{e:#}")).unwrap_or_default();
        ensure!(refused.contains("tap0"), "{refused}");
        ensure!(!host.ip("link")?.contains("tap0"));
        // What QEMU says reaches the reader.
        host.ip("tuntap add tap0 mode tap multi_queue")?;
        let refused = Vm::boot(&host, "tap0", MAC).err().map(|e| format!("{e:#}")).unwrap_or_default();
        ensure!(refused.contains("QEMU says") && refused.contains("could not configure /dev/net/tun"), "{refused}");
        Ok(())
    }
}
