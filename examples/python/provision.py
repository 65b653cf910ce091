#!/usr/bin/env python3
"""Gives a virtual machine its network, as an orchestrator does when it places one on this host, and takes it away again.

    provision.py [--netns NAME] [--files DIRECTORY] [plan | add | remove]

The machine is that of `examples/seed.json`. Other machines on the host stay as they are. Where an orchestrator would spawn
`ip netns`, `ip link`, `ip xfrm`, `nft` and `sysctl` dozens of times and read their text, one call is made here; done twice,
the second does nothing.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Network

from guestnet import (
    Error,
    GivenDirection,
    GivenState,
    GivenStates,
    Guest,
    Host,
    HostSpec,
    Interface,
    Nat,
    Pair,
    Secret,
    TunnelSpec,
)


@dataclass(frozen=True)
class Machine:
    """A virtual machine, as the orchestrator's database has it."""

    name: str
    outer: IPv6Address
    private_ipv4: IPv4Address
    private_ipv6: IPv6Network


@dataclass(frozen=True)
class Tunnel:
    """One direction between two machines: a key, and an SPI for each family."""

    key: Secret
    spi_ipv4: str
    spi_ipv6: str

    def states(self) -> GivenDirection:
        return GivenDirection(
            ipv4=GivenState(spi=self.spi_ipv4, key=self.key), ipv6=GivenState(spi=self.spi_ipv6, key=self.key)
        )


HERE = Machine(
    name="vm7m86kv",
    outer=IPv6Address("2a01:4f8:242:4f68:3f93::"),
    private_ipv4=IPv4Address("192.168.0.85"),
    private_ipv6=IPv6Network("fdfe:62d4:efc4:ef3b::/64"),
)
THERE = Machine(
    name="vm-on-the-other-host",
    outer=IPv6Address("2a01:4f8:10a:128b:fc0f::"),
    private_ipv4=IPv4Address("192.168.0.127"),
    private_ipv6=IPv6Network("fdc9:3955:7bf:873c::/64"),
)

# These were printed for all the world to read. Real ones come from the orchestrator's store, or stand in files of the host
# (`KeySourceFile(file=...)`); never in arguments or the environment.
TO_THERE = Tunnel(
    key=Secret("c15cd35dbb66ecc5460c9d668c42226ab34ddc1400f4593a539079947f1da9f5b81ed171"),
    spi_ipv4="0x562a887b",
    spi_ipv6="0x2ec0170c",
)
FROM_THERE = Tunnel(
    key=Secret("f330d5810712412b64fd3f2c7800c15e689010abceea3b85270aa65a9132f9d736f69d32"),
    spi_ipv4="0x49f55272",
    spi_ipv6="0xf567061f",
)


def tunnel(here: Machine, there: Machine, out: Tunnel, into: Tunnel) -> TunnelSpec:
    """The tunnel between two machines, with the states that the orchestrator has agreed on with the other host."""
    return TunnelSpec(
        local=here.outer,
        remote=there.outer,
        pairs=[
            Pair(local=f"{here.private_ipv4}/32", remote=f"{there.private_ipv4}/32"),
            Pair(local=here.private_ipv6, remote=there.private_ipv6),
        ],
        states=GivenStates(out=out.states(), in_=into.states()),
        # As the orchestrator's own tunnels are made, which the other host may still have.
        shape="per_family",
        reqid=1,
        pin_spi="all",
        esn=False,
        replay_window=0,
        allow_shared_key=True,
    )


def spec(machine: Machine, public_ipv4: IPv4Address, gateway: IPv4Interface, tunnels: list[TunnelSpec]) -> HostSpec:
    """The network of one machine."""
    interface = Interface(
        name=f"tap{machine.name}",
        public_ipv4=public_ipv4,
        private_ipv4=machine.private_ipv4,
        gateway_ipv4=gateway,
        private_ipv6=machine.private_ipv6,
    )
    guest = Guest(name=machine.name, endpoint=machine.outer, interfaces=[interface], tunnels=tunnels)
    return HostSpec(nat=Nat(mode="notrack", untranslated=["192.168.0.0/16"]), guests=[guest])


def seed() -> HostSpec:
    """The machine of `examples/seed.json`."""
    tunnels = [tunnel(HERE, THERE, TO_THERE, FROM_THERE)]
    return spec(HERE, IPv4Address("203.0.113.7"), IPv4Interface("192.168.0.1/24"), tunnels)


def main() -> int:
    parser = argparse.ArgumentParser(description="Give a virtual machine its network.")
    parser.add_argument("--netns", metavar="NAME", help="the namespace that is the host; else this one")
    parser.add_argument("--files", metavar="DIRECTORY", help="where files for daemons go")
    parser.add_argument("action", nargs="?", choices=["plan", "add", "remove"], default="add")
    arguments = parser.parse_args()
    try:
        with Host(arguments.netns, files=arguments.files) as host:
            if arguments.action == "plan":
                print(host.plan_add(seed()))
                return 0
            report = host.add(seed()) if arguments.action == "add" else host.remove(seed())
            print(report)
            # A real one would start or reload dnsmasq for each of `report.files`, below `host.directory`.
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        return 75 if error.can_retry else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
