"""The example makes what it says. That it makes the same as those in other languages, the tests of the command compare."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

from conftest import REPOSITORY
from guestnet import HostSpec

PROVISION = REPOSITORY / "examples/python/provision.py"


def provision(netns: str, records: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["ip", "netns", "exec", netns, sys.executable, "-I", str(PROVISION), str(records)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def test_its_spec_is_right() -> None:
    records = json.loads((REPOSITORY / "examples/records.json").read_text())
    spec: HostSpec = runpy.run_path(str(PROVISION))["spec"](records)
    assert spec.check() == () and len(spec.guests) == 2
    assert records["vms"][0]["peers"][0]["secret"] not in repr(spec)


def test_what_it_says_of_mistakes(netns: str, tmp_path: Path) -> None:
    records = json.loads((REPOSITORY / "examples/records.json").read_text())
    records["vms"][0]["peers"][0]["secret"] = "6b9c1f0e"
    (tmp_path / "records.json").write_text(json.dumps(records))
    done = provision(netns, tmp_path / "records.json")
    assert done.returncode == 65, done.stderr
    assert "guests[0].tunnels[0].secret" in done.stderr and "6b9c1f0e" not in done.stderr
    assert done.stdout == ""
