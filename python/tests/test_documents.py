"""Rekeying, and what a host says about itself."""

from __future__ import annotations

import errno
import pickle

import pytest

import guestnet
from conftest import run
from guestnet import Entry, Firewall, Guest, Host, HostSpec, Interface, KernelError, Pair, Secret, SpecError, TunnelSpec
from guestnet.rekey import Act, Confirmation, Order, Step
from guestnet.spec import Access, SecretSourceNamed

SECRET = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa"
TUNNEL = TunnelSpec(
    local="2001:db8:1::a1",
    remote="2001:db8:2::a1",
    pairs=[Pair(local="192.168.0.1/32", remote="192.168.1.1/32")],
    secret=SecretSourceNamed(named="peer"),
)
HERE = HostSpec(
    guests=[
        Guest(
            name="a",
            endpoint="2001:db8:1::a1",
            interfaces=[Interface(name="tapa", private_ipv4="192.168.0.1")],
            tunnels=[TUNNEL],
        )
    ]
)
FILTERED = HostSpec(
    uplink="eth0",
    firewall=Firewall(),
    guests=[
        Guest(
            name="a",
            interfaces=[
                Interface(
                    name="tapa", mac="02:00:5e:00:53:01", public_ipv4="203.0.113.1", private_ipv4="192.168.0.1"
                )
            ],
            access=Access(ingress=[Entry(protocol="tcp", ports=["22"])]),
        )
    ],
)


def step(act: Act, generation: int, **more: object) -> Step:
    return Step(act=act, tunnels=[Order(namespace="a", tunnel=TUNNEL.replace(generation=generation), **more)])


def test_a_spec_takes_what_it_names_from_beside_it() -> None:
    document = HERE.to_dict()
    assert SECRET not in HERE.to_json()
    for spec in [
        HostSpec.from_dict(document, secrets={"peer": SECRET}),
        HostSpec.from_json(HERE.to_json(), secrets={"peer": Secret(SECRET)}),
        HERE.with_secrets({"peer": SECRET}),
    ]:
        assert spec == HERE and spec.check() == () and SECRET[:8] not in spec.to_json() + repr(spec)
        # They are no part of it.
        assert spec.replace().check() != () and pickle.loads(pickle.dumps(spec)).check() != ()
    for wrong in [{}, {"other": SECRET}, {"peer": "6b9c1f0e"}]:
        with pytest.raises(SpecError) as caught:
            HERE.with_secrets(wrong)
        assert caught.value.problems[0].path == "guests[0].tunnels[0].secret" and "6b9c1f0e" not in str(caught.value)
    assert HERE.check()[0].path == "guests[0].tunnels[0].secret"


def test_what_is_refused_of_a_tunnel_is_said_and_not_raised(host: Host) -> None:
    for act, reason in [("inbound", "unknown"), ("outbound", "too_early"), ("drain", "too_early")]:
        given = step(act, 3)  # type: ignore[arg-type]
        answer = host.rekey(given, secrets={"peer": SECRET})
        assert host.rekey(given.to_json(), secrets={"peer": SECRET}) == answer
        assert host.rekey(given.to_dict(), secrets={"peer": Secret(SECRET)}) == answer
        (standing,) = answer.tunnels
        assert answer.act == act and standing.generation == 3 and standing.inbound == ()
        assert standing.refused is not None and standing.refused.message
        # Without a namespace nothing of it can be there; with one, the act before it is lacking.
        assert standing.refused.reason in (reason, "unknown")
        assert SECRET[:8] not in repr(answer)
        assert Confirmation.from_dict(answer.to_dict()) == answer
    (standing,) = host.rekey(step("observe", 0), secrets={"peer": SECRET}).tunnels
    assert standing.inbound == ()


def test_a_wrong_step_is_told_with_its_places(host: Host) -> None:
    with pytest.raises(SpecError) as caught:
        host.rekey({"version": 7, "act": "inbound", "tunnels": [{"tunnel": TUNNEL.replace(pairs=[])}]})
    paths = {problem.path for problem in caught.value.problems}
    assert "version" in paths and any(path.startswith("tunnels[0].tunnel") for path in paths)
    with pytest.raises(SpecError):
        host.rekey("{}")


def test_a_tunnel_goes_to_new_keys(host: Host) -> None:
    secrets = {"peer": SECRET}
    try:
        host.apply(HERE.with_secrets(secrets))
    except KernelError as error:
        if error.errno not in (errno.ENOSYS, errno.EPROTONOSUPPORT):
            raise
        # In the second kernel, which has it, the tests of the command run this one, and see that it has passed.
        pytest.skip(f"this kernel has no ESP: {error.words}")
    (tunnel,) = host.tunnels(seconds=3600).tunnels
    assert tunnel.namespace == "a" and str(tunnel.local) == "2001:db8:1::a1" and len(tunnel.states) == 2
    (standing,) = host.rekey(step("inbound", 1), secrets=secrets).tunnels
    assert standing.refused is None and [held.generation for held in standing.inbound] == [0, 1]
    # The other end, as it would answer: what decrypts there is what encrypts here.
    (standing,) = host.rekey(step("outbound", 1), secrets=secrets).tunnels
    assert standing.refused is not None and standing.refused.reason == "too_early"
    assert run("ip", "-n", "a", "xfrm", "state").count("proto esp") == 3


def test_a_host_without_tunnels_or_firewall_says_so(host: Host) -> None:
    assert host.tunnels(bytes=1 << 30).tunnels == ()
    assert host.drops().drops == ()
    with pytest.raises((ValueError, OverflowError)):
        host.tunnels(seconds=0)


def test_drops_are_counted_by_paragraph(host: Host) -> None:
    host.apply(FILTERED)
    drops = host.drops()
    assert {one.namespace for one in drops.drops} >= {"a"} and drops.to_dict()["kind"] == "drops"


def test_a_packet_is_explained() -> None:
    assert FILTERED.explain("from 198.51.100.7 to guest a tcp 22").passes
    refused = FILTERED.explain("from 198.51.100.7 to guest a tcp 23")
    assert not refused.passes and refused.steps
    with pytest.raises(ValueError, match="a packet is"):
        FILTERED.explain("whatever")
    with pytest.raises(SpecError):
        FILTERED.replace(guests=[Guest(name="a b")]).explain("from 198.51.100.7 to guest a tcp 22")


def test_the_doctor_has_a_remedy_each(netns: str) -> None:
    lost = HostSpec(uplink="nowhere0", guests=[Guest(name="a", proxied=["2001:db8::1"])])
    diagnosis = guestnet.doctor(lost, netns=netns)
    assert any("nowhere0" in finding.what for finding in diagnosis.findings)
    assert all(finding.remedy and finding.severity in ("error", "warning", "note") for finding in diagnosis.findings)
    with pytest.raises(ValueError):
        guestnet.doctor(netns="no/name")
