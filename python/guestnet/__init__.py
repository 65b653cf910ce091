"""guestnet gives the guests of a Linux host their network: links, NAT, IPsec tunnels between hosts, proxied neighbours,
DHCP and router advertisements, from one description of the host.

>>> from guestnet import Guest, Host, HostSpec, Interface
>>> spec = HostSpec(guests=[Guest(name="web1", interfaces=[Interface(name="tapweb1", private_ipv4="192.168.0.85")])])
>>> with Host() as host:                                                            # doctest: +SKIP
...     print(host.plan(spec))
...     host.apply(spec)

A `HostSpec` says what the host shall have. `Host.plan` says what would change, `Host.apply` changes it, `Host.verify` says
whether it is so. What follows from a spec can be given directly too: see `guestnet.spec` for links, routes, tables and so
on, which are the `objects` of a spec, and what `Host.observe` returns. `guestnet.rekey` is about new keys for tunnels.
"""

from __future__ import annotations

import json
from typing import Any, Dict, Tuple

from . import _native
from . import documents as documents
from . import rekey as rekey
from . import spec as spec
from .errors import (
    BusyError,
    ClosedError,
    ConflictError,
    Error,
    KernelError,
    NotPermittedError,
    Problem,
    Refusal,
    SpecError,
    UnstableError,
    UnsupportedError,
)
from .host import Change, GuestReport, Host, PhaseTime, Plan, Report, Restart, doctor
from .secret import Secret
from .spec import (
    Access,
    Bridge,
    BridgeOptions,
    Entry,
    Firewall,
    GivenDirection,
    GivenState,
    GivenStates,
    Group,
    Guard,
    Guest,
    HostAccess,
    HostSpec,
    Interface,
    KeySourceFile,
    KeySourceKept,
    Lifetimes,
    Limits,
    LogDrops,
    Mark,
    Marks,
    NamespaceObjects,
    Nat,
    Objects,
    Pair,
    PlacementNamespace,
    PortOptions,
    RateLimit,
    SecretSourceFile,
    Serve,
    TapOptions,
    Tier,
    Transit,
    TunnelSpec,
    Udp,
)

__all__ = [
    "Access",
    "Bridge",
    "BridgeOptions",
    "BusyError",
    "Change",
    "ClosedError",
    "ConflictError",
    "Entry",
    "Error",
    "Firewall",
    "GivenDirection",
    "GivenState",
    "GivenStates",
    "Group",
    "Guard",
    "Guest",
    "GuestReport",
    "Host",
    "HostAccess",
    "HostSpec",
    "Interface",
    "KernelError",
    "KeySourceFile",
    "KeySourceKept",
    "Lifetimes",
    "Limits",
    "LogDrops",
    "Mark",
    "Marks",
    "NamespaceObjects",
    "Nat",
    "NotPermittedError",
    "Objects",
    "Pair",
    "PhaseTime",
    "PlacementNamespace",
    "Plan",
    "PortOptions",
    "Problem",
    "RateLimit",
    "Refusal",
    "Report",
    "Restart",
    "Secret",
    "SecretSourceFile",
    "Serve",
    "SpecError",
    "TapOptions",
    "Tier",
    "Transit",
    "TunnelSpec",
    "Udp",
    "UnstableError",
    "UnsupportedError",
    "check",
    "doctor",
    "documents",
    "rekey",
    "render",
    "schema",
    "spec",
]


def schema() -> Dict[str, Any]:
    """The JSON Schema of a spec (draft 2020-12), as `guestnet schema` prints it."""
    document = json.loads(_native.schema())
    assert isinstance(document, dict)
    return document


def check(spec: HostSpec) -> Tuple[Problem, ...]:
    """What is wrong with `spec`, all of it; nothing if it can be applied."""
    return spec.check()


def render(spec: HostSpec) -> str:
    """The `ip`, `sysctl` and `nft` lines that `spec` amounts to, with secrets hidden. For review by people."""
    return spec.render()
