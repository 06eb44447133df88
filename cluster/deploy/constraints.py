"""The exact versions that are installed here, for images that are to have the same."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def installed_constraints(name: str, extras: Sequence[str] = ()) -> str:
    """Return pip constraints for all that a distribution needs, one ``name==version`` a line.

    What is not installed here (for another platform, or an extra that nobody chose) is left out,
    and the local part of a version too: it names a build, and builds come from elsewhere there.

    Args:
        name: the distribution; it is not among the lines itself.
        extras: of it.
    """
    pins: dict[str, str] = {}
    seen: set[str] = set()
    waiting = [(name, ("", *extras))]
    while waiting:
        current, chosen = waiting.pop()
        for each in distribution(current).requires or ():
            requirement = Requirement(each)
            marker, known = requirement.marker, canonicalize_name(requirement.name)
            if marker and not any(marker.evaluate({"extra": extra}) for extra in chosen):
                continue
            key = f"{known}[{','.join(sorted(requirement.extras))}]"
            if key in seen:
                continue
            seen.add(key)
            try:
                found = distribution(known)
            except PackageNotFoundError:
                continue
            pins[known] = found.version.partition("+")[0]
            waiting.append((known, ("", *requirement.extras)))
    return "".join(f"{known}=={version}\n" for known, version in sorted(pins.items()))
