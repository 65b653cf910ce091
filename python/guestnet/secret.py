"""Secrets that nothing prints by accident."""

from __future__ import annotations

import hmac
from typing import Any, Tuple, Type


class Secret:
    """A key or a pair secret, in hex digits: prints as `(hidden)`.

    >>> Secret("6b9c1f0e")
    Secret('(hidden)')
    """

    __slots__ = ("_wire",)
    _wire: str

    def __init__(self, digits: str) -> None:
        if not isinstance(digits, str):
            raise TypeError(f"a secret is given in hex digits, not as {type(digits).__name__}")
        object.__setattr__(self, "_wire", digits)

    def reveal(self) -> str:
        """The hex digits themselves."""
        return self._wire

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a secret cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a secret cannot be changed")

    def __repr__(self) -> str:
        return "Secret('(hidden)')"

    def __str__(self) -> str:
        return "(hidden)"

    def __format__(self, spec: str) -> str:
        return format("(hidden)", spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._wire.encode(), other._wire.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._wire))

    def __reduce__(self) -> Tuple[Type[Secret], Tuple[str]]:
        return Secret, (self._wire,)
