"""Tests on a real kernel: in namespaces that are made for them, with an empty `/run`, so that nothing else is touched."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from guestnet import Host

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

REPOSITORY = Path(__file__).parents[2]


def unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def run(*command: str) -> str:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, universal_newlines=True)
    return done.stdout


def isolate() -> None:
    """Puts this process into namespaces of its own."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        unshare(CLONE_NEWNET | CLONE_NEWNS)
    else:
        unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "none", "/run")
    run("mount", "-t", "sysfs", "none", "/sys")
    run("ip", "link", "set", "lo", "up")


@pytest.fixture(scope="session")
def lab() -> None:
    """Namespaces of our own. Where there can be none, tests that need them are skipped, or fail if the lab is required."""
    try:
        isolate()
    except (OSError, subprocess.CalledProcessError) as error:
        if "GUESTNET_LAB_REQUIRED" in os.environ:
            raise
        pytest.skip(f"this machine allows no namespaces: {error}")


@pytest.fixture
def netns(lab: None) -> Iterator[str]:
    """A namespace that is a host."""
    name = "python-host"
    run("ip", "netns", "add", name)
    run("ip", "-n", name, "link", "set", "lo", "up")
    yield name
    with Host(name) as host:
        host.remove_all()
    run("ip", "netns", "del", name)


@pytest.fixture
def host(netns: str) -> Iterator[Host]:
    with Host(netns) as host:
        yield host
