"""A host, and what is planned for it and done to it."""

from __future__ import annotations

import json
import logging
import os
from types import TracebackType
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, NamedTuple, Optional, Tuple, Type, Union

from . import _native
from ._document import Secrets, by_name, text_of
from ._record import Record
from .documents import Diagnosis, Drops, Tunnels
from .rekey import Confirmation, Step
from .spec import HostSpec, Objects

_log = logging.getLogger("guestnet")
_log.addHandler(logging.NullHandler())


class Change(NamedTuple):
    """One change of a plan."""

    sign: str
    """`+` it is made, `~` it is changed, `-` it is removed."""
    kind: str
    """The kind of the object: `route`, `file`."""
    name: str
    """Kind and key, which identify the object in its namespace."""
    namespace: Optional[str]
    """The namespace that it is in; None is the host's own."""
    text: str
    """The change in words."""

    def __str__(self) -> str:
        return f"{self.sign} {self.namespace or 'host'}  {self.text}"


_DONE = ("made", "made_again", "changed", "removed")


class PhaseTime(NamedTuple):
    """How long a part of an apply took."""

    phase: str
    """Which: `links`, `routes`."""
    microseconds: int
    """How long."""


class Restart(NamedTuple):
    """Something that has to be restarted, or to open a link again."""

    program: str
    """What: `dnsmasq`, or `monitor`, which has to open its tap again."""
    of: str
    """By what it is known: the file that dnsmasq reads, the tap."""
    why: str
    """Why: `the namespace web1 was made again`."""

    def __str__(self) -> str:
        if self.program == "dnsmasq":
            return f"restart dnsmasq ({self.of}): {self.why}"
        return f"open {self.of} again, in the monitor: {self.why}"


class GuestReport(NamedTuple):
    """What was done to one guest."""

    name: str
    """Its name; of one that is not in the spec any more, the name of its files or of its namespace."""
    done: str
    """What was done to it as a whole: `made`, `made_again` (a part without which it is none was gone), `changed`,
    `removed`.
    """
    changes: int
    """How many of its objects were made, changed or removed."""
    links_made_again: Tuple[str, ...]
    """The links on the host's side that were there and had to be made again."""
    restart: Tuple[Restart, ...]
    """What has to be restarted."""


class Report(NamedTuple):
    """What was done."""

    changes: int
    """How many changes were carried out. 0: the host was already as wanted."""
    files: Tuple[str, ...]
    """The files that were written or removed, below the host's directory: whoever reads them should be told."""
    left: Tuple[str, ...]
    """What is guestnet's and was left, with the reason."""
    microseconds: int
    """How long it took, observing and verifying included."""
    phases: Tuple[PhaseTime, ...]
    """How long each part took."""
    guests: Tuple[GuestReport, ...]
    """What was done guest by guest, by name; guests to whom nothing was done are not among them."""
    warnings: Tuple[str, ...]
    """What may not be meant, or is so and no apply mends."""
    taken_over: Tuple[str, ...] = ()
    """The namespaces of guests that a host which is gone has left, and that are this host's now."""

    def __str__(self) -> str:
        made = {0: "nothing to do", 1: "1 change made"}.get(self.changes, f"{self.changes} changes made")
        lines = [f"{made} ({self.microseconds / 1000:.1f} ms)"]
        if self.guests:
            kinds = [(kind, sum(guest.done == kind for guest in self.guests)) for kind in _DONE]
            lines.append("guests: " + ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in kinds if n))
        restarts = [restart for guest in self.guests for restart in guest.restart]
        told = {restart.of for restart in restarts if restart.program == "dnsmasq"}
        lines += [f"changed file: {file}" for file in self.files if file not in told]
        lines += [f"taken over: namespace {name}" for name in self.taken_over]
        lines += [str(restart) for restart in restarts]
        lines += [f"left: {_native.visible(left)}" for left in self.left]
        lines += [f"? {_native.visible(warning)}" for warning in self.warnings]
        return "\n".join(lines)

    @classmethod
    def _of(cls, text: str) -> Report:
        document = json.loads(text)
        phases = tuple(PhaseTime(phase["phase"], phase["microseconds"]) for phase in document["phases"])
        guests = tuple(
            GuestReport(
                guest["name"],
                guest["done"],
                guest["changes"],
                tuple(guest["links_made_again"]),
                tuple(Restart(restart["program"], restart["of"], restart["why"]) for restart in guest["restart"]),
            )
            for guest in document["guests"]
        )
        report = cls(
            document["changes"],
            tuple(document["files"]),
            tuple(document["left"]),
            document["microseconds"],
            phases,
            guests,
            tuple(document["warnings"]),
            tuple(document["taken_over"]),
        )
        _log.info("%s", str(report._replace(warnings=())).replace("\n", "; "))
        for warning in report.warnings:
            _log.warning("%s", _native.visible(warning))
        return report


class Plan:
    """What would make a host as a spec wants it. Iterating yields the changes, `str` a line for each.

    It is false when all is well: `if host.verify(spec): ...`. A plan of `Host.verify` is true also when a tunnel refuses
    packets, which no apply mends: see `refusing`.
    """

    __slots__ = ("_carry_out", "_spec", "_plan", "_changes")

    def __init__(self, carry_out: Callable[..., Report], spec: HostSpec, plan: _native.Plan) -> None:
        self._carry_out = carry_out
        self._spec = spec
        self._plan = plan
        self._changes: Optional[Tuple[Change, ...]] = None

    @property
    def changes(self) -> Tuple[Change, ...]:
        """The changes, in the order of namespaces and kinds."""
        if self._changes is None:
            self._changes = tuple(Change(*row) for row in self._plan.rows())
        return self._changes

    @property
    def conflicts(self) -> Tuple[str, ...]:
        """What others have where guestnet's should be, a line each. With one of these a plan cannot be applied."""
        return tuple(self._plan.conflicts())

    @property
    def in_use(self) -> Tuple[str, ...]:
        """Links that somebody uses and that cannot become as wanted in place, a line each. `apply` deletes and makes them
        again only when `remake` names them."""
        return tuple(self._plan.in_use())

    @property
    def warnings(self) -> Tuple[str, ...]:
        """What of the spec may not be meant, or is so on the host and no apply mends."""
        return tuple(self._plan.warnings())

    @property
    def refusing(self) -> Tuple[str, ...]:
        """Tunnels that refuse what the other end sends. Only `Host.verify` looks for them."""
        return tuple(self._plan.refusing())

    @property
    def spec(self) -> HostSpec:
        """The spec that it is for."""
        return self._spec

    def apply(self, *, remake: Iterable[str] = ()) -> Report:
        """Makes the host as the spec wants it, or adds the spec to it if that was planned.

        What is applied is the spec, not these lines: the host may have changed since they were printed, so the
        difference is taken anew, with everybody else locked out. `Report.changes` says how many changes it came to.
        Raises as `Host.apply` does.
        """
        return self._carry_out(self._spec, remake=remake)

    def to_dict(self) -> Dict[str, Any]:
        """The document that `guestnet plan --output json` prints."""
        document = json.loads(self._plan.to_json())
        assert isinstance(document, dict)
        return document

    def __iter__(self) -> Iterator[Change]:
        return iter(self.changes)

    def __len__(self) -> int:
        return len(self._plan)

    def __bool__(self) -> bool:
        return not self._plan.holds()

    def __str__(self) -> str:
        return str(self._plan)

    def __repr__(self) -> str:
        return f"<Plan: {str(self._plan).splitlines()[-1]}>"


class Host:
    """A host whose guests' network guestnet keeps.

    `netns` is the namespace that is the host, as `ip netns` calls it; left out, the one that the calling thread is in.
    `files` is the directory for the files of daemons; left out, `/run/guestnet`, for another namespace
    `/run/guestnet/netns/NAME`. `wait` is how many seconds an apply waits for another one on the same host; left out, 30.

    A host may be used by several threads: their calls are carried out one after the other, without Python's lock.
    Close it, or use it in a `with` statement: it holds four descriptors for each namespace of a guest. A program that
    has hundreds of those raises its soft limit (`resource.RLIMIT_NOFILE`).

    All methods raise `guestnet.Error`; see `guestnet.errors`. What is done is told to the logger `guestnet` after each
    call: with level WARNING what it warns of, with level INFO what an apply did, with level DEBUG each act on the system. Keys are in neither.
    """

    __slots__ = ("_host", "_netns")

    def __init__(
        self,
        netns: Optional[str] = None,
        *,
        files: Optional[Union[str, "os.PathLike[str]"]] = None,
        wait: Optional[float] = None,
    ) -> None:
        self._netns = netns
        self._host = _native.Host(netns, None if files is None else os.fspath(files), wait)

    @property
    def directory(self) -> str:
        """The directory below which the files for daemons are."""
        return os.fspath(self._host.directory())

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._host.is_closed()

    def plan(self, spec: HostSpec) -> Plan:
        """What would make the host as `spec` wants it. Changes nothing."""
        return Plan(self.apply, spec, self._host.plan(_for_rust(spec)))

    def verify(self, spec: HostSpec) -> Plan:
        """Whether the host is as `spec` wants it and its tunnels take what the other ends send: the plan, which is false
        if it is so. Where packets have been refused, tunnels are looked at for two seconds.
        """
        return Plan(self.apply, spec, self._host.verify(_for_rust(spec)))

    def apply(self, spec: HostSpec, *, remake: Iterable[str] = ()) -> Report:
        """Makes the host as `spec` wants it. What is guestnet's and not in the spec is removed; what is not guestnet's
        is neither changed nor removed. Does nothing on a host that is as wanted.

        `remake` names links that may be deleted and made again although somebody uses them: see `Plan.in_use`.

        Raises `SpecError` or `ConflictError` with nothing changed. When something is refused under way, what had been
        done is undone, and `Error.state` says how far that went.
        """
        return Report._of(self._host.apply(_for_rust(spec), list(remake)))

    def plan_add(self, spec: HostSpec) -> Plan:
        """What `add` would change. Changes nothing."""
        return Plan(self.add, spec, self._host.plan_add(_for_rust(spec)))

    def add(self, spec: HostSpec, *, remake: Iterable[str] = ()) -> Report:
        """Makes what `spec` describes and leaves all else of guestnet's as it is: one more guest, or one that has
        changed. It costs the same however many guests there are.

        What a guest had and this spec of it does not say any more stays: `remove` the old one first, or `apply` the
        whole. Raises as `apply` does.
        """
        return Report._of(self._host.add(_for_rust(spec), list(remake)))

    def remove(self, spec: HostSpec) -> Report:
        """Removes what `spec` describes and leaves the rest of guestnet's. What guests share goes with the last."""
        return Report._of(self._host.remove(_for_rust(spec)))

    def remove_all(self) -> Report:
        """Removes everything that is guestnet's."""
        return Report._of(self._host.remove_all())

    def adopt(self, owner: int) -> Report:
        """Takes over what the host with the number `owner`, which is gone, has left: its guests' namespaces and files. An apply
        does so by itself where it is proved that the host is gone. Refused when it lives."""
        return Report._of(self._host.adopt(owner))

    def observe(self) -> Objects:
        """What guestnet has made on the host. `HostSpec(objects=host.observe())` is a spec for the host as it is."""
        return Objects.from_dict(json.loads(self._host.observe()))

    def rekey(self, step: Union[Step, Mapping[str, Any], str], *, secrets: Optional[Secrets] = None) -> Confirmation:
        """Does one act of rekeying for any number of tunnels, and says how each of them stands now.

        A step is a `guestnet.rekey.Step`, or a dict or JSON of it; what its tunnels only name is taken from `secrets`. What was
        refused of a tunnel raises nothing: `standing.refused` has its `reason` and a `message`. Any act may be repeated.
        """
        if isinstance(step, Record):
            step = step.to_json()
        elif not isinstance(step, str):
            step = json.dumps(step, default=text_of)
        return Confirmation.from_dict(json.loads(self._host.rekey(step, by_name(secrets))))

    def tunnels(
        self, *, seconds: Optional[int] = None, bytes: Optional[int] = None, packets: Optional[int] = None
    ) -> Tunnels:
        """What the tunnels are doing, and when each of their states is due for rekeying: after so many seconds, bytes or
        packets, or when its sequence numbers come to their end.
        """
        return Tunnels.from_dict(json.loads(self._host.tunnels(seconds, bytes, packets)))

    def drops(self) -> Drops:
        """What the firewall has dropped since its rules were made, by namespace and paragraph of `docs/security.md`."""
        return Drops.from_dict(json.loads(self._host.drops()))

    def close(self) -> None:
        """Closes the descriptors. What was made stays. A second time does nothing."""
        self._host.close()

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        value: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        place = "" if self._netns is None else repr(self._netns)
        return f"Host({place})" + (" (closed)" if self.closed else "")


def doctor(spec: Optional[HostSpec] = None, *, netns: Optional[str] = None) -> Diagnosis:
    """What this kernel, its modules, sysctls and limits mean for `spec`, or for guests in general: findings, the worst
    first, each with its remedy. Changes nothing. `netns` is as in `Host`.
    """
    return Diagnosis.from_dict(json.loads(_native.examine(netns, None if spec is None else _for_rust(spec))))


def _for_rust(spec: HostSpec) -> _native.Spec:
    if not isinstance(spec, HostSpec):
        raise TypeError(f"a spec is a HostSpec, not a {type(spec).__name__}; see HostSpec.from_dict, .from_json, .load")
    return spec._for_rust()
