"""Specs as values: what they accept, how they compare, and that nothing is lost on the way to Rust and back."""

from __future__ import annotations

import copy
import inspect
import ipaddress
import json
import os
import pickle
from pathlib import Path
from typing import Any, Iterator, Type

import jsonschema
import pytest

import guestnet
from conftest import REPOSITORY
from guestnet import (
    Guest,
    HostSpec,
    Interface,
    Nat,
    Pair,
    PlacementNamespace,
    Secret,
    SecretSourceFile,
    Serve,
    SpecError,
    TapOptions,
    TunnelSpec,
)
from guestnet._record import Record

SECRET = "6b9c1f0e5d7a48b3a2c4e6f8091b2d3f4e5f60718293a4b5c6d7e8f9010203fa"
EXAMPLES = sorted((REPOSITORY / "tests/golden").glob("*/spec.*"))
EXAMPLES += [REPOSITORY / "examples" / name for name in ("host1.json", "host2.toml", "seed.json")]

VALIDATOR = jsonschema.Draft202012Validator(guestnet.schema())


def records() -> Iterator[Type[Record]]:
    for name in guestnet.spec.__all__:
        thing = getattr(guestnet.spec, name)
        if isinstance(thing, type) and issubclass(thing, Record):
            yield thing


def parts(value: Any) -> Iterator[Record]:
    """The record and all in it."""
    if isinstance(value, Record):
        yield value
        for field in value._fields.values():
            yield from parts(getattr(value, field.name))
    elif isinstance(value, (tuple, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from parts(inner)


def tunnel(**changes: Any) -> TunnelSpec:
    pair = Pair(local="192.168.0.85/32", remote="192.168.0.127/32")
    values = {"local": "2001:db8:1::a1", "remote": "2001:db8:2::a1", "pairs": [pair], "secret": SECRET, **changes}
    return TunnelSpec(**values)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_is_lost_on_the_way(path: Path) -> None:
    spec = HostSpec.load(path)
    # Made anew by its constructor, from what reads back; Rust reads it anew.
    again = spec.replace()
    assert again == spec and hash(again) == hash(spec)
    assert again.check() == ()
    assert again.render() == spec.render()
    assert HostSpec.from_dict(spec.to_dict()) == spec
    assert HostSpec.from_json(spec.to_json()) == spec
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert copy.deepcopy(spec) is spec and copy.copy(spec) is spec


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_repr_makes_it_again(path: Path) -> None:
    names = {**vars(ipaddress), **vars(guestnet.spec)}
    for part in parts(HostSpec.load(path)):
        assert part.replace() == part
        if "(hidden)" not in repr(part):
            assert eval(repr(part), names) == part


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_is_written_is_as_the_schema_says(path: Path) -> None:
    VALIDATOR.validate(HostSpec.load(path).to_dict())


def test_there_are_examples_and_a_schema() -> None:
    VALIDATOR.check_schema(guestnet.schema())
    assert len(EXAMPLES) > 10


@pytest.mark.parametrize("cls", list(records()), ids=lambda cls: cls.__name__)
def test_every_type_is_documented_and_has_its_defaults(cls: Type[Record]) -> None:
    assert cls.__doc__
    parameters = inspect.signature(cls).parameters
    assert [field.name for field in cls._fields.values()] == list(parameters)
    required = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    assert required == {field.name for field in cls._fields.values() if field.required} - {"version"}
    for name in parameters:
        assert inspect.getdoc(getattr(cls, name))
    if not required:
        # What is given as its default is as if left out.
        defaults = {name: parameter.default for name, parameter in parameters.items()}
        assert cls(**defaults) == cls() and hash(cls(**defaults)) == hash(cls())


def test_the_package_exports_what_guests_are_made_of() -> None:
    definitions = guestnet.schema()["$defs"]
    missing, seen, todo = set(), set(), ["Guest", "Nat", "Bridge", "Firewall"]
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        # A type that is a choice has other names in Python; a list has none.
        if hasattr(guestnet.spec, name) and isinstance(getattr(guestnet.spec, name), type):
            missing |= {name} - set(guestnet.__all__)
        found = json.dumps(definitions[name]).split('"#/$defs/')[1:]
        todo.extend(reference.split('"')[0] for reference in found)
    assert not missing
    assert len(seen) > 20


def test_addresses_are_what_they_mean() -> None:
    given = "2001:DB8:0::00a1"
    one, other = Guest(name="a", endpoint=given), Guest(name="a", endpoint=ipaddress.ip_address(given))
    assert one == other and hash(one) == hash(other)
    assert one.endpoint == ipaddress.IPv6Address(given)
    interface = Interface(
        name="tap0", gateway_ipv4="192.168.0.1/24", private_ipv6=ipaddress.ip_network("fd00::/64"), routed_ipv6=["fd01::/64"]
    )
    assert interface.gateway_ipv4 == ipaddress.IPv4Interface("192.168.0.1/24")
    assert interface.private_ipv6 == ipaddress.IPv6Network("fd00::/64")
    assert interface.routed_ipv6 == (ipaddress.IPv6Network("fd01::/64"),)
    assert Serve(dns=["::1", "192.0.2.1"]).dns == (ipaddress.ip_address("::1"), ipaddress.ip_address("192.0.2.1"))


@pytest.mark.parametrize("value", ["192.168.0", "::1", "192.168.0.1/24", ""])
def test_a_bad_address_is_refused_where_it_is_given(value: str) -> None:
    with pytest.raises(ValueError, match="Interface.private_ipv4: .* is not an IPv4 address"):
        Interface(name="tap0", private_ipv4=value)


@pytest.mark.parametrize("value", [5, b"192.168.0.1", None, object(), ["192.168.0.1"]])
def test_what_is_no_address_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="TunnelSpec.local: an IP address is a str or one of ipaddress"):
        tunnel(local=value)


def test_records_are_refused_where_others_belong() -> None:
    with pytest.raises(TypeError, match="Guest.interfaces: expected Interface, not dict"):
        Guest(name="a", interfaces=[{"name": "tap0"}])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="Guest.interfaces: expected a list, not Interface"):
        Guest(name="a", interfaces=Interface(name="tap0"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Interface.kind: expected one of TapOptions, text, not Nat"):
        Interface(name="tap0", kind=Nat())  # type: ignore[arg-type]


def test_lists_may_be_anything_that_yields() -> None:
    one = Guest(name="a", interfaces=(Interface(name=f"tap{n}") for n in range(2)))
    assert [interface.name for interface in one.interfaces] == ["tap0", "tap1"]
    assert Guest(name="a", interfaces=iter(())) == Guest(name="a")


def test_choices_are_taken_as_they_are() -> None:
    assert Interface(name="tap0").kind == TapOptions()
    assert Interface(name="tap0", kind=TapOptions(multi_queue=True)).to_dict()["kind"] == {"tap": {"multi_queue": True}}
    assert Interface(name="tap0", kind="dummy").kind == "dummy"
    assert Interface(name="tap0", serve=False).serve is False
    assert Guest(name="a").placement == "own"
    blue = Guest(name="a", placement=PlacementNamespace(namespace="blue"))
    assert blue.to_dict() == {"name": "a", "placement": {"namespace": "blue"}}
    assert Guest.from_dict(blue.to_dict()) == blue


def test_nothing_can_be_changed() -> None:
    one = Guest(name="a")
    with pytest.raises(AttributeError):
        one.name = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        one.colour = "red"  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        del one.name
    assert one.replace(name="b") != one and one.name == "a"
    with pytest.raises(TypeError):
        one.replace(nmae="b")


def test_parts_from_dicts_know_their_fields() -> None:
    with pytest.raises(ValueError, match="Guest has no field 'nmae'"):
        Guest.from_dict({"nmae": "a"})
    with pytest.raises(ValueError, match="Guest needs the field 'name'"):
        Guest.from_dict({})


def test_what_is_written_in_another_form_is_not_taken() -> None:
    for field, path in [("guests", "guests[0]"), ("bridges", "bridges[0]")]:
        document = {"version": 1, field: [["a"]]}
        for read in (HostSpec.from_dict, lambda document: HostSpec.from_json(json.dumps(document))):
            with pytest.raises(SpecError, match="expected an object") as caught:
                read(document)
            assert [problem.path for problem in caught.value.problems] == [path]
    with pytest.raises(SpecError, match="expected an object"):
        HostSpec.from_json("[1]")
    # Of one word there would be many of one letter.
    for groups in ("web", b"web", {"web": 1}):
        with pytest.raises(TypeError, match="expected a list"):
            Guest.from_dict({"name": "a", "access": {"groups": groups}})


def test_all_problems_of_a_spec_are_told_at_once() -> None:
    wrong = {"version": 1, "guests": [{"name": "a b"}, {"name": "b", "interfaces": [{"name": "tap0", "mtu": 1}]}]}
    with pytest.raises(ValueError) as caught:
        HostSpec.from_dict(wrong)
    assert isinstance(caught.value, SpecError) and isinstance(caught.value, guestnet.Error)
    told = [problem.path for problem in caught.value.problems]
    assert told == ["guests[0].name", "guests[1].interfaces[0].mtu"]
    built = HostSpec(guests=[Guest(name="a b"), Guest(name="b", interfaces=[Interface(name="tap0", mtu=1)])])
    assert [problem.path for problem in guestnet.check(built)] == told
    with pytest.raises(SpecError):
        built.render()


def test_a_document_may_hold_pythons_own_types() -> None:
    document = {
        "version": 1,
        "guests": [
            Guest(name="a", placement="host"),
            {"name": "b", "endpoint": ipaddress.ip_address("2001:db8::1"), "tunnels": []},
        ],
    }
    assert HostSpec.from_dict(document).guests[1].endpoint == ipaddress.ip_address("2001:db8::1")
    with pytest.raises(TypeError, match="a spec cannot hold a set"):
        HostSpec.from_dict({"version": 1, "guests": {1, 2}})


def test_a_spec_from_toml_is_that_from_json(tmp_path: Path) -> None:
    (tmp_path / "host.toml").write_text('version = 1\nguests = [{ name = "a", placement = "host" }]\n')
    (tmp_path / "host").write_text('{"version": 1, "guests": [{"name": "a", "placement": "host"}]}')
    assert HostSpec.load(tmp_path / "host.toml") == HostSpec.load(str(tmp_path / "host"))
    with pytest.raises(SpecError, match="is no TOML"):
        HostSpec.from_toml("{")
    with pytest.raises(SpecError, match="is no JSON"):
        HostSpec.from_json("{")


def test_secrets_are_not_shown() -> None:
    one = HostSpec(guests=[Guest(name="a", endpoint="2001:db8:1::a1", tunnels=[tunnel()])])
    assert one.guests[0].tunnels[0].secret == Secret(SECRET) and one.guests[0].tunnels[0].secret != Secret("00")
    shown = [repr(one), str(one), f"{one.guests[0].tunnels[0].secret!s:>10}", one.render(), repr(one.guests)]
    for text in shown:
        assert SECRET[:8] not in text
    assert json.loads(one.to_json())["guests"][0]["tunnels"][0]["secret"] == SECRET
    assert pickle.loads(pickle.dumps(one)) == one


def test_a_misplaced_secret_is_not_told() -> None:
    for wrong in [{"name": SECRET}, {"name": "a", "tunnels": [{"secret": [SECRET]}]}, {"name": "a", "placement": SECRET}]:
        with pytest.raises(SpecError) as caught:
            HostSpec.from_dict({"version": 1, "guests": [wrong]})
        assert SECRET not in str(caught.value) + repr(caught.value) + repr(caught.value.problems)
        assert caught.value.problems
    with pytest.raises(ValueError, match=r"Guest has no field '\(hidden\)'") as told:
        Guest.from_dict({"name": "a", SECRET: 1})
    assert SECRET not in str(told.value)


def test_secrets_in_files_are_read_when_the_spec_is_used(tmp_path: Path) -> None:
    file = tmp_path / "peer"
    one = HostSpec(guests=[Guest(name="a", endpoint="2001:db8:1::a1", tunnels=[tunnel(secret=SecretSourceFile(file=file))])])
    assert [problem.path for problem in one.check()] == ["guests[0].tunnels[0].secret"]
    file.write_text(SECRET)
    assert one.check() == ()
    assert one.guests[0].tunnels[0].secret == SecretSourceFile(file=str(file))
    assert SECRET not in one.to_json()


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, words in [(tmp_path / "fifo", "it is a FIFO"), (tmp_path, "it is a directory"), ("/dev/zero", "it is a device")]:
        with pytest.raises(OSError, match=f"{words}, and only regular files are read"):
            HostSpec.load(path)
    with pytest.raises(FileNotFoundError) as caught:
        HostSpec.load(tmp_path / "none")
    assert caught.value.filename == str(tmp_path / "none")


def test_an_encoding_that_is_no_utf8_is_named(tmp_path: Path) -> None:
    for name, encoding, words in [("a.json", "utf-16", "is in UTF-16"), ("b.toml", "utf-8-sig", "byte order mark")]:
        (tmp_path / name).write_text('{"version": 1}', encoding=encoding)
        with pytest.raises(SpecError, match=words):
            HostSpec.load(tmp_path / name)


def test_control_characters_stay_out_of_a_terminal() -> None:
    with pytest.raises(SpecError) as caught:
        HostSpec.from_json('{"version": 1, "\\u001b[2J\\n": 1}')
    (problem,) = caught.value.problems
    assert problem.path == "\x1b[2J\n"
    for said in (str(caught.value), str(problem)):
        assert "\x1b" not in said and "\\u{1b}[2J\\n: unknown field" in said
