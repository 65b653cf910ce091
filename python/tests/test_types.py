"""The types of the package, as a checker of types sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def mypy(*arguments: str) -> "subprocess.CompletedProcess[str]":
    # Not from the checkout: the package that is installed is to be checked.
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(
        command, cwd=HERE / "typing", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True
    )


def test_a_typed_program_is_right(tmp_path: Path) -> None:
    done = mypy("mypy", "--strict", "--cache-dir", str(tmp_path), "program.py")
    assert done.returncode == 0, done.stdout


def test_what_is_wrong_is_refused(tmp_path: Path) -> None:
    done = mypy("mypy", "--strict", "--cache-dir", str(tmp_path), "wrong.py")
    lines = (HERE / "typing/wrong.py").read_text().splitlines()
    expected = [number for number, line in enumerate(lines, 1) if "  # " in line]
    found = [int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line]
    assert len(expected) > 10
    assert found == expected, done.stdout


def test_the_package_itself_is_typed(tmp_path: Path) -> None:
    done = mypy("mypy", "--strict", "--cache-dir", str(tmp_path), "--package", "guestnet")
    assert done.returncode == 0, done.stdout


def test_the_stubs_are_those_of_the_module() -> None:
    done = mypy("mypy.stubtest", "guestnet._native")
    assert done.returncode == 0, done.stdout
