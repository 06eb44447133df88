"""Small profiles, made up: what the tests of reading and replaying them share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors.values.profile import Profile
from actors.values.profile_file import ProfiledSession, ProfileOrigin, write_profile

EOS = 2
VOCAB = 50


def session(number: int, tokens: list[int], limit: int = 9, **changes: Any) -> ProfiledSession:
    """A session whose token i has i mod 3 MOREs; a payload's size names session, token, round."""
    rounds = [index % 3 for index in range(len(tokens))]
    given: dict[str, Any] = {
        "device": number // 2,
        "request": number % 2,
        "prompt_id": f"row-{number}",
        "public_tokens": 5 + number,
        "personal_tokens": 15 + number,
        "public_bytes": 9 + number,
        "personal_bytes": 25 + number,
        "limit": limit,
        "tokens": tokens,
        "rounds": rounds,
        "payload_bytes": [
            1000 * number + 10 * index + round_ + 1
            for index, most in enumerate(rounds)
            for round_ in range(most + 1)
        ],
        "certified": [index % 4 != 3 for index in range(len(tokens))],
        "margin": [0.5 * index for index in range(len(tokens))],
    }
    return ProfiledSession(**(given | changes))


def sessions() -> list[ProfiledSession]:
    """Four sessions: three that ended by themselves, one that was cut off at its limit."""
    return [
        session(0, [10, 11, 12, EOS]),
        session(1, [13, EOS]),
        session(2, [14, 15, 16, 17, 18, 19, 20, 21, 22]),
        session(3, [23, 24, EOS]),
    ]


def written(
    path: Path,
    parts: list[list[ProfiledSession]] | None = None,
    arms: tuple[dict[str, Any], ...] = ({"method": "costeer"},),
    **changes: Any,
) -> Path:
    """Write a profile; return its path."""
    given: dict[str, Any] = {
        "run": "made",
        "seed": 1,
        "bytes_origin": "measured",
        "vocab_size": VOCAB,
        "eos": (EOS,),
        "cloud": "llm",
        "edge": "slm",
        "arms": arms,
    }
    write_profile(path, ProfileOrigin(**(given | changes)), parts or [sessions()])
    return path


def profile(path: Path) -> Profile:
    """Write and read the usual one."""
    return Profile(written(path))
