"""A program as a user would write it, for `mypy --strict`."""

from __future__ import annotations

import sys
from ipaddress import IPv4Address, IPv6Network
from pathlib import Path
from typing import List, Optional, Tuple

import guestnet
from guestnet import (
    Change,
    Guest,
    Host,
    HostSpec,
    Interface,
    KernelError,
    Nat,
    Pair,
    PlacementNamespace,
    Plan,
    Report,
    Secret,
    SecretSourceFile,
    Serve,
    SpecError,
    TapOptions,
    TunnelSpec,
)
from guestnet.spec import Address, InterfaceKind, NamespaceObjects, Objects, Route, SecretSource


def guest(name: str, address: IPv4Address, prefix: IPv6Network, kind: InterfaceKind = "dummy") -> Guest:
    secret: SecretSource = SecretSourceFile(file=Path("/etc/guestnet") / name)
    tunnel = TunnelSpec(
        local="2001:db8:1::a1",
        remote="2001:db8:2::a1",
        pairs=[Pair(local=prefix, remote="fd00:2::/64")],
        secret=secret,
    )
    interface = Interface(name=f"tap{name}", kind=kind, private_ipv4=address, private_ipv6=prefix, serve=Serve(dns=["::1"]))
    return Guest(
        name=name,
        placement=PlacementNamespace(namespace=f"{name}.blue"),
        interfaces=[interface, interface.replace(name="other", kind=TapOptions(multi_queue=True), serve=False)],
        tunnels=(tunnel,),
        nat=Nat(mode="notrack", untranslated=["10.0.0.0/8"]),
    )


def spec(path: Optional[Path]) -> HostSpec:
    if path is not None:
        return HostSpec.load(path)
    one = guest("web1", IPv4Address("192.168.0.85"), IPv6Network("fd00:1::/64"))
    route = Route(to="198.51.100.0/24", via="192.0.2.1", dev="eth0")
    objects = Objects(host=NamespaceObjects(routes=[route], addresses=[Address(dev="eth0", address="192.0.2.2/24")]))
    return HostSpec(guests=[one], objects=objects)


def addresses(spec: HostSpec) -> List[IPv4Address]:
    all_of_them = (interface.private_ipv4 for guest in spec.guests for interface in guest.interfaces)
    return [address for address in all_of_them if address is not None]


def secret_of(tunnel: TunnelSpec) -> Optional[str]:
    return tunnel.secret.reveal() if isinstance(tunnel.secret, Secret) else None


def main() -> int:
    try:
        wanted = spec(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
        with Host(netns="blue", files=Path("/run/blue"), wait=5) as host:
            plan: Plan = host.plan(wanted)
            first: Tuple[Change, ...] = plan.changes
            texts: List[str] = [change.text for change in plan]
            report: Report = plan.apply() if plan else host.apply(wanted)
            print(first, texts, report.changes, host.observe().namespaces.get("web1"))
    except SpecError as error:
        for path, message in error.problems:
            print(path, message)
    except KernelError as error:
        return error.errno or 1
    return 0 if not guestnet.check(spec(None)) else 1
