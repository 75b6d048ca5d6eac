"""Changes of the voting set: join, leave, rotated keys, or another set as a whole; pure functions of the set and the decision.

A change is a flat tuple as the contract `rules` keeps it: ("add", name, role, consensus key, transport key), ("remove", name),
("rotate", name, consensus key, transport key), or nothing but ("set", name, role, consensus key, transport key) for every member of a new set.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from carbonnode.chain.quorum import faults
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.errors import CarbonnodeError, ConfigError

LEAST: Final = 4
"""The smallest set that survives a faulty member."""
MOST: Final = 100
_MAX_NAME: Final = 64

Members = tuple[Validator, ...]


class NotApplicable(CarbonnodeError):
    """A decision that can't be carried out; the code is stable and goes on the chain."""

    code = "epoch.malformed"


class TooMuchAtOnce(NotApplicable):
    """The change fits, but not together with what else changes at that epoch."""

    code = "epoch.validators-at-once"


def replaces_all(changes: object) -> bool:
    """Whether a change names a whole new set: the bound on newcomers doesn't hold for it."""
    return type(changes) is tuple and any(type(change) is tuple and change[:1] == ("set",) for change in changes)


def changed_set(members: Members, changes: object, profile: str) -> Members:
    """The set after the changes, in their order. Raises `NotApplicable`."""
    if type(changes) is not tuple or not changes:
        raise NotApplicable("a change of validators is a tuple of changes")
    if replaces_all(changes):
        return _checked(tuple([_member(change, "set") for change in changes]), profile)
    following = list(members)
    for change in changes:
        if type(change) is not tuple or not change or change[0] not in _CHANGES:
            raise NotApplicable(f"{change!r} is no change of validators")
        _CHANGES[change[0]](following, change)
    return _checked(tuple(following), profile)


def check_step(before: Members, after: Members) -> None:
    """Bound a change from one epoch to the next (docs/adr/0018). Raises `NotApplicable` or `TooMuchAtOnce`.

    A newcomer is whoever signs with a key that the old set doesn't have: should none of them be ready, the others are still a quorum.
    """
    check_size(before, after)
    keys = {member.consensus_key for member in before}
    names = {member.name for member in after}
    newcomers = sum(member.consensus_key not in keys for member in after)
    leavers = sum(member.name not in names for member in before)
    if newcomers > max(1, faults(len(after))):
        raise TooMuchAtOnce(f"{newcomers} of {len(after)} validators would be new at once: at most {max(1, faults(len(after)))} may be")
    if leavers > max(1, faults(len(before))):
        raise TooMuchAtOnce(f"{leavers} of {len(before)} validators would leave at once: at most {max(1, faults(len(before)))} may")


def check_size(before: Members, after: Members) -> None:
    """Raises `NotApplicable` for a set too small to bear a fault (unless it was as small before), or too large."""
    if len(after) < min(LEAST, len(before)):
        raise NotApplicable(f"{len(after)} validators would be left: {LEAST} bear one fault", code="epoch.validators-too-few")
    if len(after) > MOST:
        raise NotApplicable(f"{len(after)} validators are more than the {MOST} that a network may have", code="epoch.validators-too-many")


def _checked(members: Members, profile: str) -> Members:
    try:
        ValidatorSet(members, profile)
    except ConfigError as error:
        raise NotApplicable(str(error), code="epoch.validators-inconsistent") from None
    return members


def _member(change: object, kind: str) -> Validator:
    if type(change) is not tuple or len(change) != 5 or change[0] != kind:
        raise NotApplicable(f"{change!r} isn't ({kind!r}, name, role, consensus key, transport key)")
    _, name, role, consensus, transport = change
    if type(name) is not str or type(role) is not str or not 1 <= len(name) <= _MAX_NAME or not name.isascii() or not name.isprintable():
        raise NotApplicable(f"{name!r} can't be a validator's name, or {role!r} its role")
    if type(consensus) is not bytes or type(transport) is not bytes:
        raise NotApplicable(f"the keys of {name} aren't bytes")
    return Validator(name, role, consensus, transport)


def _place(members: Sequence[Validator], name: object) -> int:
    for index, member in enumerate(members):
        if member.name == name:
            return index
    raise NotApplicable(f"{name!r} is no validator", code="epoch.validator-unknown")


def _add(members: list[Validator], change: tuple[Any, ...]) -> None:
    member = _member(change, "add")
    if any(other.name == member.name for other in members):
        raise NotApplicable(f"{member.name} is a validator already", code="epoch.validator-known")
    members.append(member)


def _remove(members: list[Validator], change: tuple[Any, ...]) -> None:
    if len(change) != 2:
        raise NotApplicable(f"{change!r} isn't ('remove', name)")
    del members[_place(members, change[1])]


def _rotate(members: list[Validator], change: tuple[Any, ...]) -> None:
    if len(change) != 4:
        raise NotApplicable(f"{change!r} isn't ('rotate', name, consensus key, transport key)")
    index = _place(members, change[1])
    members[index] = _member(("rotate", change[1], members[index].role, change[2], change[3]), "rotate")


_CHANGES: Final[dict[object, Callable[[list[Validator], tuple[Any, ...]], None]]] = {"add": _add, "remove": _remove, "rotate": _rotate}
