//! Whatever the types let through, the real dnsmasq reads as exactly the lines that were meant.

use std::fs;
use std::process::Command;
use std::str::FromStr;

use guestnet_core::{Mac, Path, Problems};
use guestnet_dhcpconf::DnsmasqSpec;
use guestnet_dhcpconf::dnsmasq::{
    Addressing, ClasslessRoute, DhcpOption, Dhcpv6, Dns, Guest, Host, OptionValue, RaMode, Range4, Range6,
    RawValue,
};
use guestnet_dhcpconf::value::{Interface, LeaseTime, Tag};
use guestnet_lab::{lab_test, need_program, output, scratch};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Texts of which most are values of the type, at the edges of what it allows.
fn text<T: FromStr + std::fmt::Debug>(pattern: &'static str) -> impl Strategy<Value = T> {
    pattern.prop_filter_map("not a value", |text| text.parse().ok())
}

fn interface() -> impl Strategy<Value = Interface> {
    prop_oneof![text("[A-Za-z0-9_.@+-]{1,15}"), text("[0-9a-f.]{1,6}")]
}

fn tag() -> impl Strategy<Value = Tag> {
    prop_oneof![text("[A-Za-z0-9_.@+-]{1,63}"), text("[0-9a-f.]{1,6}")]
}

fn host() -> impl Strategy<Value = Host> {
    let lease_time = of((120..=i32::MAX as u32).prop_map(LeaseTime::Seconds));
    let rest = (of(tag()), any::<bool>(), of(text("[A-Za-z0-9-]{1,63}|[0-9]{1,3}[a-z]?")), lease_time);
    (any::<[u8; 5]>(), of(any::<u32>()), of(any::<u128>()), rest).prop_map(
        |(mac, v4, v6, (set, ignore_client_id, hostname, lease_time))| {
            let [a, b, c, d, e] = mac;
            Host {
                set,
                ignore_client_id,
                hostname,
                lease_time,
                address: v4.map(Into::into),
                address6: v6.map(Into::into),
                ..Host::new(Mac([2, a, b, c, d, e]))
            }
        },
    )
}

fn raw() -> impl Strategy<Value = RawValue> {
    prop_oneof![
        Just(RawValue::Nothing),
        any::<u8>().prop_map(RawValue::U8),
        any::<u16>().prop_map(RawValue::U16),
        any::<u32>().prop_map(RawValue::U32),
        vec(any::<u32>().prop_map(Into::into), 0..22).prop_map(RawValue::Addresses),
        vec(any::<u128>().prop_map(Into::into), 0..22).prop_map(RawValue::Addresses6),
        text("[A-Za-z0-9._/:+@=~%-]{1,255}|[0-9.:]{1,9}|[0-9a-f:]{1,9}[bsi]?").prop_map(RawValue::Text),
        vec(any::<u8>(), 0..=255).prop_map(RawValue::Bytes),
    ]
}

fn value() -> impl Strategy<Value = OptionValue> {
    let v4 = || vec(any::<u32>().prop_map(Into::into), 0..22);
    let v6 = || vec(any::<u128>().prop_map(Into::into), 0..22);
    let domain = || text("[A-Za-z0-9-]{1,63}(\\.[A-Za-z0-9-]{1,20}){0,9}|xn--[a-z0-9]{1,9}");
    let route = (any::<u32>(), 0_u8..=32, of(any::<u32>())).prop_map(|(to, length, via)| ClasslessRoute {
        to: ipnet::Ipv4Net::new_assert(to.into(), length).trunc(),
        via: via.map(Into::into),
    });
    prop_oneof![
        v4().prop_map(OptionValue::Router),
        v4().prop_map(OptionValue::Dns),
        v4().prop_map(OptionValue::Ntp),
        v6().prop_map(OptionValue::Dns6),
        v6().prop_map(OptionValue::Ntp6),
        domain().prop_map(OptionValue::Domain),
        vec(domain(), 0..4).prop_map(OptionValue::Search),
        vec(domain(), 0..4).prop_map(OptionValue::Search6),
        any::<u16>().prop_map(OptionValue::Mtu),
        vec(route, 0..22).prop_map(OptionValue::ClasslessRoutes),
        (any::<u8>(), raw()).prop_map(|(code, value)| OptionValue::Number { code, value }),
        (any::<u16>(), raw()).prop_map(|(code, value)| OptionValue::Number6 { code, value }),
        (0..70_u16, raw()).prop_map(|(code, value)| OptionValue::Number6 { code, value }),
    ]
}

fn range4() -> impl Strategy<Value = Range4> {
    let rest = (
        of(tag()),
        of(prop_oneof![Just(LeaseTime::Infinite), (120..1_000_000_u32).prop_map(LeaseTime::Seconds)]),
    );
    (any::<u32>(), 0..5000_u32, of(1..=32_u8), rest).prop_map(
        |(start, more, prefix_len, (set, lease_time))| Range4 {
            set,
            prefix_len,
            lease_time,
            ..Range4::between(start.into(), start.saturating_add(more).into())
        },
    )
}

fn range6() -> impl Strategy<Value = Range6> {
    let mode =
        prop::sample::select(vec![RaMode::RaOnly, RaMode::Slaac, RaMode::RaStateless, RaMode::RaNames]);
    let rest = (of(tag()), vec(mode, 0..3), of((120..1_000_000_u32).prop_map(LeaseTime::Seconds)));
    (any::<u128>(), of(0..5000_u128), 64..=128_u8, rest).prop_map(
        |(start, more, prefix_len, (set, modes, lease_time))| Range6 {
            tag: None,
            set,
            start: start.into(),
            end: more.map(|more| start.saturating_add(more).into()),
            prefix_len: if modes.is_empty() { prefix_len } else { 64 },
            modes: modes.into_iter().collect(),
            lease_time,
        },
    )
}

fn guest() -> impl Strategy<Value = Guest> {
    let addressing = prop_oneof![
        Just(Addressing::Subnet),
        any::<u32>().prop_map(|router| Addressing::PointToPoint { router: router.into() })
    ];
    let dhcpv6 = prop::sample::select(vec![Dhcpv6::Addresses, Dhcpv6::Options, Dhcpv6::Nothing]);
    let more = (dhcpv6, vec(any::<u128>().prop_map(Into::into), 0..3), any::<bool>());
    (interface(), of(any::<u32>()), addressing, of(any::<u64>()), of(1280..=u16::MAX), more).prop_map(
        |(interface, address, addressing, prefix, mtu, (dhcpv6, addresses6, bare_prefix_len))| Guest {
            dhcpv6,
            addresses6,
            bare_prefix_len,
            address: address.map(Into::into),
            addressing,
            prefixes: prefix
                .map(|p| ipnet::Ipv6Net::new_assert((u128::from(p) << 64).into(), 64))
                .into_iter()
                .collect(),
            mtu,
            ..Guest::new(interface)
        },
    )
}

fn spec() -> impl Strategy<Value = DnsmasqSpec> {
    let dns = vec(any::<u128>().prop_map(|n| std::net::IpAddr::V6(n.into())), 0..3);
    let dns = of(dns.prop_map(|upstream| Dns { resolv_conf: upstream.is_empty(), upstream }));
    let process = (
        of(text("[A-Za-z_][A-Za-z0-9_-]{0,31}")),
        of(text("(/[A-Za-z0-9_.@+-]{1,20}){1,12}")),
        of(text("[A-Za-z0-9-]{1,63}(\\.[A-Za-z0-9-]{1,63}){0,3}")),
    );
    let lists =
        (vec(host(), 0..4), vec((any::<bool>(), value()), 0..6), vec(range4(), 0..3), vec(range6(), 0..3));
    (vec(guest(), 1..4), dns, process, lists).prop_map(
        |(guests, dns, (user, path, domain), (hosts, options, ranges4, ranges6))| {
            let start = DnsmasqSpec { dns, user, pid_file: path, domain, ..DnsmasqSpec::default() };
            let mut spec = guests.iter().fold(start, DnsmasqSpec::guest);
            let tag = Tag::from(&spec.interfaces[0]);
            spec.hosts.extend(hosts);
            spec.ranges4.extend(ranges4);
            spec.ranges6.extend(ranges6);
            spec.options.extend(
                options
                    .into_iter()
                    .map(|(tagged, value)| DhcpOption { tag: tagged.then(|| tag.clone()), value }),
            );
            without_problems(spec)
        },
    )
}

/// Takes out of the lists what has a problem, so that the rest is tried.
fn without_problems(mut spec: DnsmasqSpec) -> DnsmasqSpec {
    loop {
        let mut problems = Problems::new();
        spec.check(&Path::root(), &mut problems);
        let Some(problem) = problems.iter().next() else { return spec };
        let path = problem.path.as_str();
        let (list, rest) = path.split_once('[').unwrap_or_else(|| panic!("{problem}"));
        let index: usize = rest.split_once(']').unwrap().0.parse().unwrap();
        match list {
            "router_advertisements" => drop(spec.router_advertisements.remove(index)),
            "ranges4" => drop(spec.ranges4.remove(index)),
            "ranges6" => drop(spec.ranges6.remove(index)),
            "shared_networks" => drop(spec.shared_networks.remove(index)),
            "shared_networks6" => drop(spec.shared_networks6.remove(index)),
            "hosts" => drop(spec.hosts.remove(index)),
            "options" => drop(spec.options.remove(index)),
            "dns.upstream" => spec.dns = None,
            _ => panic!("{problem}"),
        }
    }
}

/// How many lines the spec asks for, counted without making them.
fn expected(spec: &DnsmasqSpec) -> usize {
    let dns = spec.dns.as_ref().map_or(1, |dns| 1 + usize::from(!dns.resolv_conf) + dns.upstream.len());
    let optional = [
        spec.user.is_some(),
        spec.group.is_some(),
        spec.domain.is_some(),
        spec.authoritative,
        spec.enable_ra && !spec.ranges6.is_empty(),
    ];
    // bind-…, except-interface, pid-file and leasefile-ro are always there.
    let lists = [
        spec.interfaces.len(),
        spec.router_advertisements.len(),
        spec.ranges4.len(),
        spec.ranges6.len(),
        spec.shared_networks.len(),
        spec.shared_networks6.len(),
        spec.hosts.len(),
        spec.options.len(),
    ];
    dns + 4 + optional.into_iter().filter(|there| *there).count() + lists.into_iter().sum::<usize>()
}

lab_test! {
    fn dnsmasq_accepts_every_number_with_every_value_that_is_accepted_for_it() {
        need_program("dnsmasq");
        let text = |text: &str| RawValue::Text(text.parse().unwrap());
        let values = [
            RawValue::Nothing,
            RawValue::U8(200),
            RawValue::U16(60_000),
            RawValue::U32(4_000_000_000),
            RawValue::U32(1),
            RawValue::Addresses(vec![[192, 0, 2, 1].into(); 2]),
            RawValue::Addresses6(vec!["2001:db8::1".parse().unwrap(); 2]),
            text("a.b"),
            text("12"),
            text("x"),
            RawValue::Bytes(vec![7]),
            RawValue::Bytes(vec![0xab; 255]),
        ];
        let options = values.iter().flat_map(|value| {
            let v4 = (0..=255).map(move |code| OptionValue::Number { code, value: value.clone() });
            let v6 = (0..=300).map(move |code| OptionValue::Number6 { code, value: value.clone() });
            v4.chain(v6)
        });
        let accepted = options.map(DhcpOption::new).filter(|option| {
            let mut problems = Problems::new();
            let spec = DnsmasqSpec::new(["tap0".parse().unwrap()]);
            DnsmasqSpec { options: vec![option.clone()], ..spec }.check(&Path::root(), &mut problems);
            problems.is_empty()
        });
        let lines: Vec<String> = accepted.map(|option| format!("{option}\n")).collect();
        assert!(lines.len() > 4000, "only {} are accepted", lines.len());
        let path = scratch().join("options.conf");
        fs::write(&path, lines.concat()).unwrap();
        output(Command::new("dnsmasq").arg("--test").arg("-C").arg(&path)).unwrap();
    }

    fn what_is_accepted_makes_its_lines_and_no_others() {
        need_program("dnsmasq");
        let path = scratch().join("dnsmasq.conf");
        let mut runner = TestRunner::new(Config { failure_persistence: None, cases: 300, ..Config::default() });
        let result = runner.run(&spec(), |spec| {
            let content = spec.to_file("dnsmasq.conf".parse().unwrap()).content;
            let lines = content.lines().filter(|line| !line.starts_with("dhcp-lease-max=")).count();
            prop_assert_eq!(lines, expected(&spec), "{}", content);
            prop_assert!(content.ends_with('\n') && content.lines().all(|line| line.len() < 1024));
            fs::write(&path, &content).unwrap();
            let accepted = output(Command::new("dnsmasq").arg("--test").arg("-C").arg(&path));
            prop_assert!(accepted.is_ok(), "{:#}\n{content}", accepted.unwrap_err());
            Ok(())
        });
        result.unwrap_or_else(|e| panic!("{e}"));
    }
}
