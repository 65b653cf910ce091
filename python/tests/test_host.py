"""Hosts on a real kernel."""

from __future__ import annotations

import errno
import fcntl
import logging
import pickle
import threading
import sys
import time
from pathlib import Path
from typing import Callable, List, Tuple

import pytest

import guestnet
from conftest import run
from guestnet import (
    BusyError,
    ClosedError,
    ConflictError,
    Firewall,
    Guest,
    Host,
    HostAccess,
    HostSpec,
    Interface,
    KernelError,
    NamespaceObjects,
    NotPermittedError,
    Objects,
    Pair,
    SpecError,
    TapOptions,
    TunnelSpec,
    UnsupportedError,
)
from guestnet.spec import Route, Sysctl

SECRET = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa"
LOST = HostSpec(objects=Objects(host=NamespaceObjects(routes=[Route(to="198.51.100.0/24", via="192.0.2.99", dev="lo")])))


def spec(*names: str) -> HostSpec:
    return HostSpec(
        guests=[
            Guest(name=name, interfaces=[Interface(name=f"tap{name}", private_ipv4=f"192.168.0.{n}")])
            for n, name in enumerate(names, 1)
        ]
    )


def lock_of_the_last_apply() -> Path:
    return max(Path("/run/guestnet/.host").glob("*.lock"), key=lambda lock: lock.stat().st_mtime_ns)


def test_a_host_becomes_as_wanted_and_is_left_as_found(host: Host, netns: str) -> None:
    before = run("ip", "-n", netns, "-d", "link") + run("ip", "-n", netns, "route")
    wanted = spec("a", "b")
    plan = host.plan(wanted)
    assert plan and plan.spec is wanted and len(plan) == len(list(plan)) == len(plan.changes)
    assert {change.sign for change in plan} == {"+"}
    assert "namespace a" in [change.name for change in plan]
    assert str(plan).count("\n") == len(plan) and repr(plan) == f"<Plan: {str(plan).splitlines()[-1]}>"
    report = plan.apply()
    assert report.changes == len(plan) and sorted(report.files) == ["a/dnsmasq.conf", "b/dnsmasq.conf"]
    assert report.microseconds >= sum(phase.microseconds for phase in report.phases)
    assert (Path(host.directory) / "a/dnsmasq.conf").exists()
    assert "tapa" in run("ip", "-n", "a", "link")
    assert not host.verify(wanted) and len(host.verify(wanted)) == 0
    assert host.apply(wanted).changes == 0
    seen = host.observe()
    assert set(seen.namespaces) == {"a", "b"}
    assert not host.plan(HostSpec(objects=seen))
    assert pickle.loads(pickle.dumps(seen)) == seen
    host.remove(spec("a"))
    assert set(host.observe().namespaces) == {"b"}
    host.remove_all()
    assert host.observe() == Objects()
    assert run("ip", "-n", netns, "-d", "link") + run("ip", "-n", netns, "route") == before


def test_a_plan_applies_the_spec_and_not_what_it_printed(netns: str) -> None:
    with Host(netns) as one, Host(netns) as other:
        plan = one.plan(spec("a"))
        other.apply(spec("a"))
        assert plan.apply().changes == 0


def test_one_guest_after_the_other(host: Host) -> None:
    host.apply(spec("a"))
    (b,) = spec("b").guests
    plan = host.plan_add(HostSpec(guests=[b]))
    assert plan and "-" not in {change.sign for change in plan}
    assert plan.apply().changes == len(plan)
    assert host.add(HostSpec(guests=[b])).changes == 0
    assert set(host.observe().namespaces) == {"a", "b"}


def test_what_is_warned_of_and_what_was_done_to_whom(host: Host, netns: str) -> None:
    guests = [
        Guest(
            name=name,
            interfaces=[Interface(name=f"tap{name}", mac=f"02:00:5e:00:53:0{n}", private_ipv4=f"192.168.0.{n}")],
        )
        for n, name in enumerate("ab", 1)
    ]
    wanted = HostSpec(guests=guests, firewall=Firewall(host=HostAccess()))
    (warning,) = host.plan(wanted).warnings
    assert warning.startswith("firewall.host.services: none lets anybody in by ssh")
    report = host.apply(wanted)
    assert report.warnings == host.verify(wanted).warnings == host.plan_add(wanted).warnings == (warning,)
    assert f"? {warning}" in str(report)
    assert [(guest.name, guest.done) for guest in report.guests] == [("a", "made"), ("b", "made")]
    assert not any(guest.restart for guest in report.guests)
    run("ip", "netns", "delete", "a")
    report = host.apply(wanted)
    (a,) = report.guests
    assert (a.name, a.done, a.links_made_again) == ("a", "made_again", ("tapa",)) and a.changes > 0
    assert [(restart.program, restart.of) for restart in a.restart] == [("dnsmasq", "a/dnsmasq.conf"), ("monitor", "tapa")]
    assert "restart dnsmasq (a/dnsmasq.conf): the namespace a was made again" in str(report)


def test_a_link_in_use_is_made_again_by_its_name(host: Host, netns: str) -> None:
    wanted = spec("a")
    host.apply(wanted)
    run("ip", "-n", "a", "address", "add", "10.77.0.1/24", "dev", "tapa")
    (a,) = wanted.guests
    (interface,) = a.interfaces
    other = HostSpec(guests=[a.replace(interfaces=[interface.replace(kind=TapOptions(multi_queue=True))])])
    plan = host.plan(other)
    (line,) = plan.in_use
    assert line.startswith("link tapa in namespace a is in use (it has the address 10.77.0.1/24)")
    for call in (plan.apply, lambda: host.apply(other), lambda: host.add(other)):
        with pytest.raises(ConflictError, match="--remake tapa") as raised:
            call()
        assert raised.value.foreign == (line,) and raised.value.state is None
    assert plan.apply(remake=["tapa"]).guests[0].links_made_again == ("tapa",)
    assert not host.verify(other)


def test_files_and_namespaces_are_where_they_are_told_to_be(netns: str, tmp_path: Path) -> None:
    with Host(netns, files=tmp_path) as host:
        assert host.directory == str(tmp_path) and repr(host) == f"Host('{netns}')"
        host.apply(spec("a"))
        assert (tmp_path / "a/dnsmasq.conf").read_text().startswith("# guestnet owner=")
        host.remove_all()
    with Host(netns) as host:
        assert host.directory == f"/run/guestnet/netns/{netns}"


def test_a_closed_host_says_so(netns: str) -> None:
    with Host(netns) as host:
        plan = host.plan(spec("a"))
        assert not host.closed
    assert host.closed
    host.close()
    for call in [plan.apply, host.observe, host.remove_all, lambda: host.apply(spec("a"))]:
        with pytest.raises(ClosedError) as caught:
            call()
        assert isinstance(caught.value, ValueError)
    assert "closed" in repr(host)


def test_a_host_that_there_is_not(lab: None) -> None:
    with pytest.raises(KernelError) as caught:
        Host("nowhere")
    assert isinstance(caught.value, OSError) and caught.value.errno == errno.ENOENT
    with pytest.raises(ValueError):
        Host("no/name")
    with pytest.raises(ValueError):
        Host(wait=-1)


def test_a_bad_spec_touches_nothing(host: Host) -> None:
    wrong = HostSpec(guests=[Guest(name="a b")])
    for call in [host.plan, host.verify, host.apply, host.remove]:
        with pytest.raises(SpecError) as caught:
            call(wrong)
        assert caught.value.problems[0].path == "guests[0].name" and caught.value.state is None
    with pytest.raises(TypeError, match="a spec is a HostSpec, not a dict"):
        host.apply({"version": 1})  # type: ignore[arg-type]


def test_what_is_others_is_in_the_way(host: Host, netns: str) -> None:
    run("ip", "-n", netns, "route", "add", "198.51.100.0/24", "dev", "lo", "mtu", "1400")
    wanted = HostSpec(objects=Objects(host=NamespaceObjects(routes=[Route(to="198.51.100.0/24", dev="lo")])))
    plan = host.plan(wanted)
    assert plan and len(plan.conflicts) == 1
    with pytest.raises(ConflictError) as caught:
        plan.apply()
    assert caught.value.foreign == plan.conflicts and caught.value.state is None
    assert caught.value.hint and caught.value.hint in str(caught.value)
    assert "mtu 1400" in run("ip", "-n", netns, "route")


def test_a_refusal_says_all_that_is_known(host: Host) -> None:
    with pytest.raises(OSError) as caught:
        host.apply(LOST.replace(guests=spec("a").guests))
    error = caught.value
    assert isinstance(error, KernelError) and not isinstance(error, NotPermittedError)
    assert error.errno == errno.ENETUNREACH and error.words == "Nexthop has invalid gateway"
    assert error.path == "objects.host.routes[0]" and error.state == "undone"
    (refusal,) = error.refusals
    assert refusal.object.startswith("route 198.51.100.0/24") and refusal.path == error.path
    assert "add route 198.51.100.0/24" in str(error) and not error.can_retry
    assert host.observe() == Objects()
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is KernelError and str(again) == str(error) and vars(again) == vars(error)


def test_somebody_else_at_work(netns: str) -> None:
    with Host(netns, wait=0.05) as host:
        host.apply(spec("a"))
        lock = lock_of_the_last_apply()
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(TimeoutError) as caught:
                host.apply(spec("a"))
        assert isinstance(caught.value, BusyError) and caught.value.can_retry
        assert host.apply(spec("a")).changes == 0


def test_a_right_that_is_lacking(netns: str) -> None:
    # In a process of its own, which gives its rights away.
    program = """
import ctypes, guestnet
header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capset(header, none) == 0
try:
    guestnet.Host(wait=0).apply(guestnet.HostSpec(guests=[guestnet.Guest(name="a")]))
except PermissionError as error:
    assert isinstance(error, guestnet.NotPermittedError) and isinstance(error, guestnet.KernelError), error
    assert error.errno in (1, 13) and "CAP_NET_ADMIN" in error.hint, error
    print("refused")
"""
    assert run("ip", "netns", "exec", netns, sys.executable, "-I", "-c", program) == "refused\n"


def test_python_goes_on_while_the_kernel_works(netns: str) -> None:
    # The lock makes the call wait long enough to see whether another thread gets its turns.
    with Host(netns, wait=0.3) as host:
        host.apply(spec())
        lock = lock_of_the_last_apply()
        turns: List[float] = []
        done = threading.Event()

        def count() -> None:
            while not done.is_set():
                turns.append(time.monotonic())
                time.sleep(0.005)

        counter = threading.Thread(target=count)
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            counter.start()
            began = time.monotonic()
            with pytest.raises(BusyError):
                host.apply(spec("a"))
            ended = time.monotonic()
        done.set()
        counter.join()
    # With Python's lock held, there would be none.
    assert sum(began < turn < ended for turn in turns) > 3


def test_threads_take_turns_with_one_host(host: Host) -> None:
    wanted = [spec("a"), spec("a", "b"), spec("c")]
    failures: List[BaseException] = []

    def work(n: int) -> None:
        try:
            for round in range(4):
                mine = wanted[(n + round) % len(wanted)]
                host.apply(mine)
                host.plan(mine)
                host.observe()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    # Whoever was last, it is one of the specs, whole.
    assert [not host.verify(each) for each in wanted].count(True) == 1


def test_closing_waits_for_the_call_of_another_thread(netns: str) -> None:
    host = Host(netns)
    outcome: List[str] = []

    def work() -> None:
        try:
            while True:
                host.apply(spec("a"))
        except ClosedError:
            outcome.append("closed")

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.05)
    host.close()
    thread.join()
    assert outcome == ["closed"]


def records(caplog: pytest.LogCaptureFixture, level: int, call: Callable[[], object]) -> List[Tuple[int, str]]:
    caplog.clear()
    with caplog.at_level(level, logger="guestnet"):
        call()
    return [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "guestnet"]


def test_the_log_is_told_what_is_done(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    told = records(caplog, logging.DEBUG, lambda: host.apply(spec("a")))
    assert (logging.DEBUG, "a: make namespace a") in told
    assert any(text.startswith("host: send ") and "RTM_NEWLINK" in text for _, text in told)
    assert told[-1][0] == logging.INFO and "changes made" in told[-1][1] and "\n" not in told[-1][1]
    # Where nobody listens nothing is noted, not even for later.
    assert records(caplog, logging.WARNING, lambda: host.apply(spec("b"))) == []
    told = records(caplog, logging.INFO, host.remove_all)
    assert [level for level, _ in told] == [logging.INFO]


def test_a_handler_of_the_log_may_use_the_host(host: Host) -> None:
    seen: List[Objects] = []

    class Asks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.INFO:
                seen.append(host.observe())

    logger, handler = logging.getLogger("guestnet"), Asks()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        host.apply(spec("a"))
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
    assert [set(objects.namespaces) for objects in seen] == [{"a"}]


def test_no_key_is_told_by_plans_errors_or_logs(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    pair = Pair(local="192.168.0.1/32", remote="192.168.1.1/32")
    tunnel = TunnelSpec(local="2001:db8:1::a1", remote="2001:db8:2::a1", pairs=[pair], secret=SECRET)
    (guest,) = spec("a").guests
    wanted = HostSpec(guests=[guest.replace(endpoint="2001:db8:1::a1", tunnels=[tunnel])])
    told = [str(host.plan(wanted)), repr(list(host.plan(wanted))), str(host.plan(wanted).to_dict()), repr(wanted)]
    caplog.set_level(logging.DEBUG, logger="guestnet")
    try:
        host.apply(wanted)
        told.append(repr(host.observe()))
    except KernelError as error:
        # A kernel without ESP refuses the states, and the error tells of them.
        assert error.path == "guests[0].tunnels[0]"
        told += [str(error), repr(error), repr(vars(error))]
    told += [record.getMessage() for record in caplog.records]
    assert any("xfrm state" in text for text in told)
    for text in told:
        assert SECRET[:8] not in text and SECRET[-8:] not in text


def test_what_the_errors_are() -> None:
    for cls, builtin in [(SpecError, ValueError), (KernelError, OSError), (NotPermittedError, PermissionError),
                         (BusyError, TimeoutError), (ClosedError, ValueError), (UnsupportedError, Exception)]:
        assert issubclass(cls, guestnet.Error) and issubclass(cls, builtin)
        error = cls("words", hint="do this")
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error) == "words\n  hint:  do this" and vars(again) == vars(error)


def test_sysctls_go_back(host: Host, netns: str) -> None:
    asked = ["ip", "netns", "exec", netns, "sysctl", "-n", "net.ipv4.ip_forward"]
    before = run(*asked)
    host.apply(HostSpec(objects=Objects(host=NamespaceObjects(sysctls=[Sysctl(key="net/ipv4/ip_forward", value="1")]))))
    assert run(*asked) == "1\n"
    host.remove_all()
    assert run(*asked) == before
