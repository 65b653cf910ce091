"""The example makes what it says."""

from __future__ import annotations

import runpy
import subprocess
import sys

from conftest import REPOSITORY, run
from guestnet import Host, HostSpec

PROVISION = REPOSITORY / "examples/python/provision.py"


def provision(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-I", str(PROVISION), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def test_it_is_the_machine_of_the_seed() -> None:
    assert runpy.run_path(str(PROVISION))["seed"]() == HostSpec.load(REPOSITORY / "examples/seed.json")


def test_it_plans_adds_and_removes(host: Host, netns: str) -> None:
    planned = provision("--netns", netns, "plan")
    assert planned.returncode == 0 and "+ vm7m86kv" in planned.stdout, planned.stderr
    added = provision("--netns", netns)
    if added.returncode != 0:
        # Not every kernel has ESP. What this one refuses, it refuses for that, and the host is as before.
        assert "algorithm not found" in added.stderr and "the host is as before" in added.stderr
        assert "c15cd35d" not in added.stderr
        return
    assert "changed file: vm7m86kv/dnsmasq.conf" in added.stdout
    assert "nothing to do" in provision("--netns", netns).stdout
    assert not host.verify(HostSpec.load(REPOSITORY / "examples/seed.json"))
    assert "esp spi 0x562a887b" in run("ip", "-n", "vm7m86kv", "xfrm", "state")
    assert provision("--netns", netns, "remove").returncode == 0
    assert not host.plan(HostSpec())
