"""What all types of a spec have in common."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Dict, Mapping, Tuple, Type, TypeVar

from . import _native

R = TypeVar("R", bound="Record")


class Field:
    """A field of a record: its name in Python, how it is written, and what it is where it is left out."""

    __slots__ = ("name", "codec", "default", "required")

    def __init__(self, name: str, codec: Any, default: Any = None, required: bool = False) -> None:
        self.name = name
        self.codec = codec
        self.default = default
        self.required = required


class Record:
    """A part of a spec. It cannot be changed; `replace` makes another one.

    Two that mean the same are equal, and have the same hash: what is given as its default is as if left out, and
    addresses count as what they are, however they are written.
    """

    # What JSON would hold, less what has its default. Nested records stay records, lists are tuples.
    __slots__ = ("_wire",)

    _wire: Dict[str, Any]
    _fields: ClassVar[Mapping[str, Field]] = {}

    @classmethod
    def from_dict(cls: Type[R], document: Mapping[str, Any]) -> R:
        """Makes one from what `to_dict` or a JSON document has.

        Raises `ValueError` for a field that there is not, and for one that is missing.
        """
        if not isinstance(document, Mapping):
            raise TypeError(f"{cls.__name__} is made from a dict, not from {type(document).__name__}")
        wire = {}
        for name, value in document.items():
            field = cls._fields.get(name)
            if field is None:
                raise ValueError(f"{cls.__name__} has no field {_native.without_keys(repr(name))}")
            if value is not None:
                kept = field.codec.decode(value)
                if field.required or kept != field.default:
                    wire[name] = kept
        for name, field in cls._fields.items():
            if field.required and name not in wire:
                raise ValueError(f"{cls.__name__} needs the field {name!r}")
        return cls._restore(wire)

    def to_dict(self) -> Dict[str, Any]:
        """The JSON document of it as a dict, without what has its default. Secrets stand in it as they are."""
        document = json.loads(self.to_json())
        assert isinstance(document, dict)
        return document

    def to_json(self) -> str:
        """It as JSON, without what has its default. Secrets stand in it as they are."""
        return json.dumps(self, default=_wire_of)

    def replace(self: R, **changes: Any) -> R:
        """The same with other values for some fields."""
        cls = type(self)
        values = {field.name: getattr(self, field.name) for name, field in cls._fields.items() if name in self._wire}
        values.update(changes)
        return cls(**values)

    def _hold(self, wire: Dict[str, Any]) -> None:
        object.__setattr__(self, "_wire", wire)

    def _encoded(self, name: str, value: Any) -> Any:
        try:
            return self._fields[name].codec.encode(value)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{type(self).__name__}.{name}: {error}") from None

    def _put(self, wire: Dict[str, Any], name: str, value: Any) -> None:
        kept = self._encoded(name, value)
        if kept != self._fields[name].default:
            wire[name] = kept

    def _read(self, name: str) -> Any:
        field = self._fields[name]
        kept = self._wire.get(name, field.default)
        return None if kept is None else field.codec.read(kept)

    @classmethod
    def _restore(cls: Type[R], wire: Dict[str, Any]) -> R:
        record = cls.__new__(cls)
        object.__setattr__(record, "_wire", wire)
        return record

    @classmethod
    def _fits(cls, document: Mapping[str, Any]) -> bool:
        required = (name for name, field in cls._fields.items() if field.required)
        return all(name in cls._fields for name in document) and all(name in document for name in required)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; see replace()")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; see replace()")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        assert isinstance(other, Record)
        return self._wire == other._wire

    def __hash__(self) -> int:
        return hash((type(self), _frozen(self._wire)))

    def __repr__(self) -> str:
        shown = (f"{field.name}={getattr(self, field.name)!r}" for name, field in self._fields.items() if name in self._wire)
        return f"{type(self).__name__}({', '.join(shown)})"

    def __copy__(self: R) -> R:
        return self

    def __deepcopy__(self: R, memo: Dict[int, Any]) -> R:
        return self

    def __replace__(self: R, **changes: Any) -> R:
        return self.replace(**changes)

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self)._restore, (self._wire,)


def _wire_of(value: Any) -> Any:
    """For `json`: a record's, a secret's."""
    return value._wire


def _frozen(value: Any) -> Any:
    """`value` so that it has a hash."""
    if isinstance(value, dict):
        return frozenset((name, _frozen(kept)) for name, kept in value.items())
    if isinstance(value, tuple):
        return tuple(map(_frozen, value))
    return value
