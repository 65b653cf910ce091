"""How the fields of a spec are written in JSON, and read back as Python's own types.

A codec knows three directions: `encode` takes what a programmer gives, `decode` takes JSON, and both yield the form in
which a record keeps a field: JSON, but for nested records, which stay records, and lists, which are tuples. `read`
makes of that form what the programmer gets to see.
"""

from __future__ import annotations

import ipaddress
import os
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Type

from . import _native
from ._record import Record
from .secret import Secret


class Codec:
    """Text, numbers, booleans: kept as they are. What is wrong with one, Rust says, with its path."""

    __slots__ = ()

    def encode(self, value: Any) -> Any:
        return value

    def decode(self, value: Any) -> Any:
        return value

    def read(self, value: Any) -> Any:
        return value


class Converted(Codec):
    """Text in one form, read back as an object of `ipaddress`."""

    __slots__ = ("encode", "decode", "read")

    # Attributes, not methods: what they hold is called without a detour.
    encode: Callable[[Any], Any]  # type: ignore[assignment]
    decode: Callable[[Any], Any]  # type: ignore[assignment]
    read: Callable[[Any], Any]  # type: ignore[assignment]

    def __init__(self, canonical: Callable[[Any], str], read: Callable[[str], Any]) -> None:
        self.encode = self.decode = canonical
        self.read = read


def _network(text: str) -> Any:
    return ipaddress.ip_network(text, strict=False)


def _network4(text: str) -> Any:
    return ipaddress.IPv4Network(text, strict=False)


def _network6(text: str) -> Any:
    return ipaddress.IPv6Network(text, strict=False)


class PathText(Codec):
    """The path of a file."""

    __slots__ = ()

    def encode(self, value: Any) -> Any:
        return os.fsdecode(value)


class SecretText(Codec):
    """A secret, kept so that nothing prints it by accident."""

    __slots__ = ()

    def encode(self, value: Any) -> Any:
        return value if isinstance(value, Secret) else Secret(value)

    decode = encode


class One(Codec):
    """A record."""

    __slots__ = ("cls",)

    def __init__(self, cls: Type[Record]) -> None:
        self.cls = cls

    def encode(self, value: Any) -> Any:
        if not isinstance(value, self.cls):
            raise TypeError(f"expected {self.cls.__name__}, not {type(value).__name__}")
        return value

    def decode(self, value: Any) -> Any:
        return self.cls.from_dict(value)


class Many(Codec):
    """A list."""

    __slots__ = ("element",)

    def __init__(self, element: Codec) -> None:
        self.element = element

    @staticmethod
    def _elements(value: Any) -> Any:
        if isinstance(value, (str, bytes, Mapping, Record)):
            raise TypeError(f"expected a list, not {type(value).__name__}")
        return value

    def encode(self, value: Any) -> Any:
        return tuple(map(self.element.encode, self._elements(value)))

    def decode(self, value: Any) -> Any:
        return tuple(map(self.element.decode, self._elements(value)))

    def read(self, value: Any) -> Any:
        return tuple(map(self.element.read, value))


class Named(Codec):
    """A mapping from names."""

    __slots__ = ("element",)

    def __init__(self, element: Codec) -> None:
        self.element = element

    def encode(self, value: Any) -> Any:
        return {str(name): self.element.encode(value[name]) for name in sorted(value)}

    def decode(self, value: Any) -> Any:
        return {name: self.element.decode(value[name]) for name in sorted(value)}

    def read(self, value: Any) -> Any:
        return {name: self.element.read(kept) for name, kept in value.items()}


class Either(Codec):
    """One of several: `tagged` records stand in JSON behind a name, `plain` ones are told apart by their fields."""

    __slots__ = ("tagged", "tags", "plain", "many", "text")

    def __init__(
        self,
        tagged: Mapping[str, Type[Record]] = {},
        plain: Tuple[Type[Record], ...] = (),
        many: Optional[Codec] = None,
        text: Optional[Codec] = None,
    ) -> None:
        self.tagged = tagged
        self.tags: Dict[type, str] = {cls: tag for tag, cls in tagged.items()}
        self.plain = plain
        self.many = many
        self.text = text

    def encode(self, value: Any) -> Any:
        tag = self.tags.get(type(value))
        if tag is not None:
            return {tag: value}
        if isinstance(value, Record):
            if isinstance(value, self.plain):
                return value
            raise TypeError(f"expected one of {self._names()}, not {type(value).__name__}")
        if isinstance(value, (str, Secret)):
            return self.text.encode(value) if self.text else value
        if isinstance(value, (bool, int)):
            return value
        if self.many and not isinstance(value, Mapping):
            return self.many.encode(value)
        raise TypeError(f"expected one of {self._names()}, not {type(value).__name__}")

    def decode(self, value: Any) -> Any:
        if isinstance(value, dict):
            if len(value) == 1:
                ((tag, content),) = value.items()
                if tag in self.tagged:
                    return {tag: self.tagged[tag].from_dict(content)}
            for cls in self.plain:
                if cls._fits(value):
                    return cls.from_dict(value)
            raise ValueError(f"expected one of {self._names()}")
        if isinstance(value, list) and self.many:
            return self.many.decode(value)
        if isinstance(value, str) and self.text:
            return self.text.decode(value)
        return value

    def read(self, value: Any) -> Any:
        if isinstance(value, dict):
            (content,) = value.values()
            return content
        if isinstance(value, tuple) and self.many:
            return self.many.read(value)
        return value

    def _names(self) -> str:
        names = [cls.__name__ for cls in (*self.tagged.values(), *self.plain)]
        return ", ".join([*names, "text"])


PLAIN = Codec()
PATH = PathText()
SECRET = SecretText()
IPV4 = Converted(_native.ipv4, ipaddress.IPv4Address)
IPV6 = Converted(_native.ipv6, ipaddress.IPv6Address)
IP = Converted(_native.ip, ipaddress.ip_address)
NET4 = Converted(_native.ipv4net, _network4)
NET6 = Converted(_native.ipv6net, _network6)
NET = Converted(_native.ipnet, _network)
INTERFACE4 = Converted(_native.ipv4net, ipaddress.IPv4Interface)
INTERFACE = Converted(_native.ipnet, ipaddress.ip_interface)
