#!/usr/bin/env python3
"""Gives the virtual machines of a host their network, from the records that a control plane keeps of them.

    python provision.py records.json

The host becomes as the records say, whatever it was: what they no longer have is removed, and a second call does nothing.
Where an orchestrator would spawn `ip`, `nft` and `sysctl` dozens of times and read their text, one call is made here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict

from guestnet import Error, Guest, Host, HostSpec, Interface, Pair, SpecError, TunnelSpec


def tunnel(vm: Dict[str, Any], peer: Dict[str, Any]) -> TunnelSpec:
    """Our end of the tunnel to a machine on another host. No repr, error or log has the secret."""
    return TunnelSpec(
        local=vm["endpoint"],
        remote=peer["endpoint"],
        pairs=[
            Pair(local=f"{vm['private_ipv4']}/32", remote=f"{peer['private_ipv4']}/32"),
            Pair(local=vm["private_ipv6"], remote=peer["private_ipv6"]),
        ],
        secret=peer["secret"],
    )


def guest(vm: Dict[str, Any]) -> Guest:
    """One virtual machine."""
    return Guest(
        name=vm["name"],
        endpoint=vm["endpoint"],
        proxied=[vm["endpoint"]],
        interfaces=[
            Interface(
                name=f"tap{vm['name']}",
                mac=vm["mac"],
                public_ipv4=vm["public_ipv4"],
                private_ipv4=vm["private_ipv4"],
                public_ipv6=vm["public_ipv6"],
                private_ipv6=vm["private_ipv6"],
            )
        ],
        tunnels=[tunnel(vm, peer) for peer in vm["peers"]],
    )


def spec(records: Dict[str, Any]) -> HostSpec:
    """The whole host."""
    return HostSpec(uplink=records["uplink"], guests=[guest(vm) for vm in records["vms"]])


def main(file: str) -> int:
    records = json.loads(Path(file).read_text())
    try:
        with Host() as host:
            report = host.apply(spec(records))
    except SpecError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 65
    except Error as error:
        print(f"error: {error}", file=sys.stderr)
        # 75: somebody else was at work on the host for too long; a later call may succeed.
        return 75 if error.can_retry else 1
    print(f"{report.changes} changes")
    for changed in report.files:
        print(f"{changed} has changed: restart the daemon that reads it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else "provision.py RECORDS")
