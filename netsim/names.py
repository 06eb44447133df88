"""Looking up a name in a table, with help for the one who mistyped it."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

from netsim.errors import NetsimError

Value = TypeVar("Value")


def lookup(table: Mapping[str, Value], name: str, what: str) -> Value:
    """The entry of `table` called `name`; `what` says what the table holds ("link profile").

    Raises NetsimError that names the nearest valid name, or all of them if none is near.
    """
    found = table.get(name)
    if found is not None:
        return found
    near = get_close_matches(name.lower(), table, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(table))}"
    raise NetsimError(f"unknown {what} {name!r}: {hint}")
