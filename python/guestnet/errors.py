"""What can go wrong. Every error is a `guestnet.Error`, and where Python has a class for the kind of mistake, that too.

| class | is also | when |
|---|---|---|
| `SpecError` | `ValueError` | the spec is wrong; nothing was touched |
| `ConflictError` | | what is others' is in the way; nothing was touched |
| `KernelError` | `OSError` | the kernel refused something |
| `NotPermittedError` | `KernelError`, `PermissionError` | because of a right that is lacking |
| `BusyError` | `TimeoutError` | somebody else is at work on the host |
| `UnstableError` | | all was accepted, and the host still differs |
| `UnsupportedError` | | the kernel cannot do it |
| `ClosedError` | `ValueError` | the host was closed before |

No message and no attribute contains a secret.
"""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple


class Problem(NamedTuple):
    """One thing that is wrong with a spec."""

    path: str
    """Where: `guests[0].interfaces[1].mac`. Empty for the spec as a whole."""
    message: str
    """What is wrong."""

    def __str__(self) -> str:
        from . import _native

        return f"{_native.visible(self.path) or '(the spec)'}: {_native.visible(self.message)}"


class Refusal(NamedTuple):
    """One change that was refused."""

    object: str
    """Kind and key of the object."""
    path: Optional[str]
    """The part of the spec that asked for it, where it is known."""
    message: str
    """The error, in words."""


class Error(Exception):
    """Anything that guestnet could not do."""

    hint: Optional[str]
    """What to do next, where that can be said."""
    can_retry: bool
    """Whether the same call may succeed later."""
    path: Optional[str]
    """The part of the spec that asked for what was refused first, where it is known."""
    state: Optional[str]
    """What state an apply left the host in: None, nothing had been changed; `"undone"`, it is as before;
    `"partly undone"`, undoing failed too; `"unstable"`, it is not as wanted although all was accepted.
    """
    differences: Tuple[str, ...]
    """Where `state` is `"partly undone"`: what differs from before. Where it is `"unstable"`: from what is wanted."""
    refusals: Tuple[Refusal, ...]
    """All that was refused."""

    def __init__(
        self,
        message: str = "",
        *,
        hint: Optional[str] = None,
        can_retry: bool = False,
        path: Optional[str] = None,
        state: Optional[str] = None,
        differences: Sequence[str] = (),
        refusals: Sequence[Tuple[str, Optional[str], str]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.can_retry = can_retry
        self.path = path
        self.state = state
        self.differences = tuple(differences)
        self.refusals = tuple(Refusal(*refusal) for refusal in refusals)

    def __str__(self) -> str:
        return f"{self.message}\n  hint:  {self.hint}" if self.hint else self.message

    def __reduce__(self) -> Tuple[Any, ...]:
        return _again, (type(self), self.message, {k: v for k, v in self.__dict__.items() if k != "message"})


class SpecError(Error, ValueError):
    """The spec is wrong. Nothing was touched."""

    problems: Tuple[Problem, ...]
    """All that is wrong with it."""

    def __init__(self, message: str = "", *, problems: Sequence[Tuple[str, str]] = (), **rest: Any) -> None:
        super().__init__(message, **rest)
        self.problems = tuple(Problem(*problem) for problem in problems)


class ConflictError(Error):
    """Objects of others stand where guestnet's should. Nothing was touched, and what is others' never is."""

    foreign: Tuple[str, ...]
    """What is in the way, a line each."""

    def __init__(self, message: str = "", *, foreign: Sequence[str] = (), **rest: Any) -> None:
        super().__init__(message, **rest)
        self.foreign = tuple(foreign)


class KernelError(Error, OSError):
    """The kernel refused something."""

    errno: Optional[int]
    """The error number, one of those in the module `errno`."""
    words: Optional[str]
    """The kernel's own words, where it said any."""

    def __init__(
        self, message: str = "", *, errno: Optional[int] = None, words: Optional[str] = None, **rest: Any
    ) -> None:
        super().__init__(message, **rest)
        self.errno = errno
        self.strerror = message
        self.words = words


class NotPermittedError(KernelError, PermissionError):
    """The caller lacks a right: root, or `CAP_NET_ADMIN` and `CAP_SYS_ADMIN`."""


class BusyError(Error, TimeoutError):
    """Somebody else is at work on the same host, for longer than `Host(wait=...)`."""


class UnstableError(Error):
    """Every change was accepted, and the host still is not as wanted: something else changes it."""


class UnsupportedError(Error):
    """This kernel cannot do what the spec needs."""


class ClosedError(Error, ValueError):
    """The host was closed before."""


def _again(cls: Any, message: str, attributes: Dict[str, Any]) -> Any:
    error = cls(message)
    error.__dict__.update(attributes)
    return error
