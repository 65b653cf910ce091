"""What the documentation shows is so."""

from __future__ import annotations

import doctest
import os
from pathlib import Path

import pytest

from conftest import REPOSITORY, run
from guestnet import HostSpec

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(text: str, language: str) -> "list[str]":
    found = []
    lines = iter(text.splitlines())
    for line in lines:
        if line == f"```{language}":
            block = []
            for inner in lines:
                if inner == "```":
                    break
                block.append(inner)
            found.append("\n".join(block) + "\n")
    return found


def test_the_tutorial(lab: None) -> None:
    text = (REPOSITORY / "python/README.md").read_text()
    # One session, in the order of the document; at a code fence nothing more is expected.
    session = text.replace("```", "")
    test = doctest.DocTestParser().get_doctest(session, {}, "README", "README.md", 0)
    assert len(test.examples) > 40
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    assert runner.run(test).failed == 0


def test_the_rest_of_the_tutorial_is_python() -> None:
    for block in blocks((REPOSITORY / "python/README.md").read_text(), "python"):
        compile(block, "README.md", "exec")


def test_the_python_of_the_readme(lab: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY / "README.md").read_text()
    (shown,) = blocks(text, "python")
    (spec,) = blocks(text, "json")
    # The tunnels need ESP, which not every kernel has; the rest does not.
    document = HostSpec.from_json(spec)
    document = document.replace(guests=[guest.replace(tunnels=()) for guest in document.guests])
    (tmp_path / "host.json").write_text(document.to_json())
    monkeypatch.chdir(tmp_path)
    run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "router0")
    try:
        exec(compile(shown, "README.md", "exec"), {"__name__": "__main__"})
        assert os.path.exists("/run/netns/web1")
    finally:
        from guestnet import Host

        with Host() as host:
            host.remove_all()
        run("ip", "link", "del", "eth0")
