"""A whole spec: where it can come from, and whether it is right."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Dict, Mapping, Optional, Tuple, Type, TypeVar, Union

from . import _native
from ._record import Record
from .errors import Problem, SpecError
from .secret import Secret

if TYPE_CHECKING:
    from .documents import Explanation

D = TypeVar("D", bound="Document")
Secrets = Mapping[str, Union[str, Secret]]
"""Secrets by name, in hex digits."""

VERSION = 1
"""The version of the form of a spec."""


class Document(Record):
    """A record that is a whole spec."""

    # What Rust has read of it: made when it is first needed, and kept, since a record cannot change.
    __slots__ = ("_read_by_rust",)

    _read_by_rust: Optional[_native.Spec]

    def __init__(self) -> None:
        raise TypeError("a document is a whole spec: see HostSpec")

    @classmethod
    def from_json(cls: Type[D], text: str, *, secrets: Optional[Secrets] = None) -> D:
        """Reads a spec from JSON. Raises `SpecError` with every problem of it, each with its path.

        What it only names, `{"named": "peer1"}`, is taken from `secrets`, by name.
        """
        return cls._of(_native.Spec.from_json(text, by_name(secrets)), json.loads(text))

    @classmethod
    def from_toml(cls: Type[D], text: str, *, secrets: Optional[Secrets] = None) -> D:
        """Reads a spec from TOML, as `from_json` does from JSON."""
        return cls._of(_native.Spec.from_toml(text, by_name(secrets)), json.loads(_native.toml_to_json(text)))

    @classmethod
    def from_dict(cls: Type[D], document: Mapping[str, Any], *, secrets: Optional[Secrets] = None) -> D:
        """Reads a spec from what JSON would hold, as `from_json` does from JSON."""
        return cls.from_json(json.dumps(document, default=text_of), secrets=secrets)

    @classmethod
    def load(cls: Type[D], path: Union[str, "os.PathLike[str]"], *, secrets: Optional[Secrets] = None) -> D:
        """Reads a spec from a file: TOML if its name ends in `.toml`, JSON otherwise. As `from_json` does from JSON.

        A file in another encoding than UTF-8 is a `SpecError` that names it; what is no regular file is an `OSError`.
        """
        text = _native.read(Path(path))
        read = cls.from_toml if Path(path).suffix == ".toml" else cls.from_json
        return read(text, secrets=secrets)

    def with_secrets(self: D, secrets: Secrets) -> D:
        """The same, with the secrets that it only names. They are no part of it: `to_json`, a pickle and what
        `replace` makes have them not. Raises `SpecError` for one that is not there.
        """
        spec = self._restore(self._wire)
        object.__setattr__(spec, "_read_by_rust", _native.Spec.from_json(self.to_json(), by_name(secrets)))
        return spec

    def explain(self, packet: str) -> Explanation:
        """What the firewall does with a packet, from the spec alone: `"from guest web1 to 2001:db8::1 tcp 443"`. It is
        taken to be the first of its connection. Raises `ValueError` for words that cannot be understood.
        """
        from .documents import Explanation

        return Explanation.from_dict(json.loads(self._for_rust().explain(packet)))

    def check(self) -> Tuple[Problem, ...]:
        """What is wrong with the spec, all of it; nothing if it can be applied."""
        try:
            self._for_rust().check()
        except SpecError as error:
            return error.problems
        return ()

    def render(self) -> str:
        """The `ip`, `sysctl` and `nft` lines that the spec amounts to, with secrets hidden. For review by people."""
        return self._for_rust().render()

    def _for_rust(self) -> _native.Spec:
        """What Rust has read of it. The files that it names for secrets are read once, now."""
        if self._read_by_rust is None:
            object.__setattr__(self, "_read_by_rust", _native.Spec.of_record(self.to_json()))
        assert self._read_by_rust is not None
        return self._read_by_rust

    @classmethod
    def _of(cls: Type[D], native: _native.Spec, document: Mapping[str, Any]) -> D:
        spec = super().from_dict(document)
        object.__setattr__(spec, "_read_by_rust", native)
        return spec

    def _hold(self, wire: Dict[str, Any]) -> None:
        super()._hold(wire)
        object.__setattr__(self, "_read_by_rust", None)

    @classmethod
    def _restore(cls: Type[D], wire: Dict[str, Any]) -> D:
        spec = super()._restore(wire)
        object.__setattr__(spec, "_read_by_rust", None)
        return spec


def by_name(secrets: Optional[Secrets]) -> Optional[str]:
    """Secrets for Rust."""
    if secrets is None:
        return None
    digits = {name: given if isinstance(given, Secret) else Secret(given) for name, given in secrets.items()}
    return json.dumps(digits, default=text_of)


def text_of(value: Any) -> Any:
    """What a programmer may put into a dict beside what JSON knows."""
    if isinstance(value, Record):
        return value._wire
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if hasattr(value, "_wire"):
        return value._wire
    if hasattr(value, "compressed"):
        return str(value)
    raise TypeError(f"a spec cannot hold a {type(value).__name__}")
