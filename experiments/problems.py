"""Pydantic's complaint in one line: where it stands, what is wrong, the way out."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Loc: TypeAlias = tuple[int | str, ...]

_EXPECTED = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "greater_than": "above {gt:,.10g}",
    "greater_than_equal": "at least {ge:,.10g}",
    "less_than": "below {lt:,.10g}",
    "less_than_equal": "at most {le:,.10g}",
}
"""Pydantic's error types -> what is expected, in plain words."""


def describe(
    error: ValidationError,
    model: type[BaseModel],
    data: object,
    where: str,
    blamed: Mapping[Loc, str] | None = None,
) -> str:
    """The first complaint of a validation error, on one line.

    Args:
        error: what pydantic raised.
        model: the model that was validated.
        data: what it was validated from.
        where: the file it came from.
        blamed: paths that came from elsewhere (an option), with that place's name.
    """
    complaints = error.errors(include_url=False)
    # An unknown key often causes the other complaints (its mistyped twin is missing).
    first = next((c for c in complaints if c["type"] == "extra_forbidden"), complaints[0])
    path = _written_path(first["loc"], data)
    rest = len({_written_path(each["loc"], data) for each in complaints} - {path})
    more = f" (and {rest} more)" if rest else ""
    return f"{_place(path, where, blamed or {})}: {_told(first, model)}{more}"


def _place(path: Loc, where: str, blamed: Mapping[Loc, str]) -> str:
    """Where a person wrote it: in the file, in an option, or in both together."""
    dotted = [".".join(map(str, path))] if path else []
    for loc, name in blamed.items():
        if path == loc:
            return name
        if path[: len(loc)] == loc:
            return ": ".join([name, *dotted])
        if path and loc[: len(path)] == path:
            return ": ".join([f"{where} with {name}", *dotted])
    return ": ".join([where, *dotted])


def _written_path(loc: Loc, data: object) -> Loc:
    """The part of pydantic's location that a person wrote: without the tags of unions."""
    path: list[int | str] = []
    at = data
    for index, item in enumerate(loc):
        if isinstance(at, Mapping) and item in at:
            at = at[item]
        elif isinstance(at, Sequence) and not isinstance(at, str) and isinstance(item, int):
            at = at[item] if item < len(at) else None
        elif not isinstance(at, Mapping) or index < len(loc) - 1:
            continue
        path.append(item)
    return tuple(path)


def _told(complaint: ErrorDetails, model: type[BaseModel]) -> str:
    kind, given, loc = complaint["type"], complaint["input"], complaint["loc"]
    context = complaint.get("ctx", {})
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind].format(**context)}, not {_short(given)}"
    told: dict[str, Callable[[], str]] = {
        "extra_forbidden": lambda: f"unknown key; {_nearest(str(loc[-1]), _names_at(model, loc))}",
        "missing": lambda: "is missing; give it",
        "value_error": lambda: " ".join(str(context["error"]).split()),
        "too_short": lambda: f"needs at least {context['min_length']} entry",
        "string_too_short": lambda: "must not be empty",
        "model_type": lambda: f"{_short(given)} is a value where keys are expected",
        "literal_error": lambda: f"{given!r} is not known; {_choice(given, context['expected'])}",
        "enum": lambda: f"{given!r} is not known; {_choice(given, context['expected'])}",
        "union_tag_not_found": lambda: f"kind is missing; choose {_tags_at(model, loc)}",
        "union_tag_invalid": lambda: (
            f"kind {context['tag']!r} is not known; "
            f"{_choice(context['tag'], context['expected_tags'])}"
        ),
    }
    if kind in told:
        return told[kind]()
    message = complaint["msg"].removeprefix("Input ")
    return f"{message[0].lower()}{message[1:]}, not {_short(given)}"


def _choice(given: object, expected: str) -> str:
    """Of pydantic's list of what was expected, the nearest, or all of it."""
    names = [name.strip(" '") for name in expected.replace(" or ", ",").split(",")]
    near = get_close_matches(str(given), names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose {expected}"


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are {', '.join(known)}" if known else "nothing is expected here"


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - half a line


def _names_at(model: type[BaseModel], loc: Loc) -> list[str]:
    """Keys that may stand where the last item of a location stands."""
    return sorted({name for found in _models_at(model, loc[:-1]) for name in found.model_fields})


def _tags_at(model: type[BaseModel], loc: Loc) -> str:
    return " or ".join(
        sorted(tag for each in _models_at(model, loc) for tag in _literals(each, "kind"))
    )


def _models_at(model: type[BaseModel], loc: Loc) -> list[type[BaseModel]]:
    """The models that may stand at a location, a union's tag narrowing them down."""
    found = [model]
    for item in loc:
        if isinstance(item, int):
            continue
        named = [each for each in found if item in each.model_fields]
        if named:
            found = [
                inner for each in named for inner in _models_in(each.model_fields[item].annotation)
            ]
        else:
            found = [each for each in found if item in _literals(each, "kind")] or found
    return found


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = get_origin(annotation)
    inner = get_args(annotation)
    if origin is Annotated:
        return _models_in(inner[0])
    if origin in {Union, types.UnionType, list, tuple}:
        return [model for each in inner for model in _models_in(each)]
    return []


def _literals(model: type[BaseModel], name: str) -> set[str]:
    field = model.model_fields.get(name)
    if field is None or get_origin(field.annotation) is not Literal:
        return set()
    return set(get_args(field.annotation))
