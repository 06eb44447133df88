"""Traces as text: three formats, told apart by how they look.

- Two columns: time in seconds and rate in Mbit/s. A rate holds from its time to the next line's,
  the last one as long as the others' median. The recording may begin at any time. Of lines with
  the same time the last one counts.
- A JSON list of `{duration_ms, bandwidth_kbps}`, one after the other; what else stands in an entry
  is ignored (a round-trip time is the link's).
- One column (Mahimahi): each line is a millisecond at which one packet of 1500 bytes may pass. The
  last line's time is the length of the loop. A millisecond's packets are spread over it.

Empty lines and lines that begin with `#` are skipped. Pure: whoever has the file reads it.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Any

from netsim.errors import NetsimError
from netsim.trace import RateTrace, make_trace

MAX_GAP_S = 60.0
"""Of two columns: a longer time without a line is a hole in the recording, not a constant rate."""

_PACKET_BITS = 12_000
_TWO = 2


def parse_trace(text: str, name: str) -> RateTrace:
    """The trace that a text describes.

    Args:
        text: what stands in the file.
        name: what messages call it.

    Raises:
        NetsimError: what is wrong, in which line, and the way out.
    """
    rows = [
        (number, row.split())
        for number, line in enumerate(text.splitlines(), 1)
        if (row := line.strip()) and not row.startswith("#")
    ]
    if not rows:
        raise NetsimError(f"{name}: empty; a trace has at least one line")
    if rows[0][1][0][0] in "[{":
        return make_trace(name, _json_steps(text, name))
    first, columns = rows[0][0], len(rows[0][1])
    if columns > _TWO:
        raise NetsimError(
            f"{name}: line {first} has {columns} columns; a trace has two (seconds, Mbit/s) or one "
            "(milliseconds at which a packet may pass)"
        )
    for number, words in rows:
        if len(words) != columns:
            raise NetsimError(
                f"{name}: line {number} has {len(words)} columns, line {first} has {columns}"
            )
    if columns == _TWO:
        return make_trace(name, _rate_steps(rows, name))
    return make_trace(name, _packet_steps(rows, name))


def _number(word: object, where: str) -> float:
    """A finite number that is not negative."""
    try:
        value = float(word) if isinstance(word, str | int | float) else math.nan
    except ValueError:
        raise NetsimError(f"{where}: {word!r} is not a number") from None
    if isinstance(word, bool) or not math.isfinite(value):
        raise NetsimError(f"{where}: {word!r} is not a finite number")
    if value < 0:
        raise NetsimError(f"{where}: {word} is negative; times and rates are not")
    return value


def _rate_steps(rows: list[tuple[int, list[str]]], name: str) -> Iterator[tuple[int, int]]:
    times_us, rates_bps = list[int](), list[int]()
    for number, (time_word, rate_word) in rows:
        where = f"{name}: line {number}"
        time_s, mbps = _number(time_word, where), _number(rate_word, where)
        time_us = round(time_s * 1e6)
        if times_us and time_us < times_us[-1]:
            raise NetsimError(
                f"{where}: {time_s:g} s after {times_us[-1] / 1e6:g} s; times must not fall"
            )
        if times_us and time_us - times_us[-1] > MAX_GAP_S * 1e6:
            raise NetsimError(
                f"{where}: no line between {times_us[-1] / 1e6:g} and {time_s:g} s; a gap of over "
                f"{MAX_GAP_S:g} s is no constant rate: cut the trace there, or write the rate in "
                "between (are the times in seconds?)"
            )
        if times_us and time_us == times_us[-1]:
            rates_bps[-1] = round(mbps * 1e6)
        else:
            times_us.append(time_us)
            rates_bps.append(round(mbps * 1e6))
    lasting_us = [later - now for now, later in pairwise(times_us)]
    lasting_us.append(round(median(lasting_us)) if lasting_us else 1_000_000)
    yield from zip(lasting_us, rates_bps, strict=True)


def _json_steps(text: str, name: str) -> Iterator[tuple[int, int]]:
    try:
        entries: Any = json.loads(text)
    except ValueError as error:
        raise NetsimError(f"{name}: not JSON: {error}") from None
    if not isinstance(entries, list):
        raise NetsimError(f"{name}: not a list; a JSON trace is a list of stretches")
    for number, entry in enumerate(entries, 1):
        where = f"{name}: entry {number}"
        missing = {"duration_ms", "bandwidth_kbps"} - set(entry if isinstance(entry, dict) else ())
        if missing:
            raise NetsimError(f"{where}: has no {' and no '.join(sorted(missing))}")
        duration_ms = _number(entry["duration_ms"], where)
        kbps = _number(entry["bandwidth_kbps"], where)
        if kbps > 1e8:  # noqa: PLR2004 - 100 Gbit/s
            raise NetsimError(f"{where}: {kbps:g} kbit/s is over 100 Gbit/s; was it in bit/s?")
        yield round(duration_ms * 1e3), round(kbps * 1e3)


def _packet_steps(rows: list[tuple[int, list[str]]], name: str) -> Iterator[tuple[int, int]]:
    times_ms = list[int]()
    for number, (word,) in rows:
        where = f"{name}: line {number}"
        if _number(word, where) != int(float(word)):
            raise NetsimError(f"{where}: {word} is not a whole number of milliseconds")
        times_ms.append(int(float(word)))
        if len(times_ms) > 1 and times_ms[-1] < times_ms[-2]:
            raise NetsimError(f"{where}: {word} ms after {times_ms[-2]} ms; times must not fall")
    period_ms = times_ms[-1]
    if period_ms == 0:
        raise NetsimError(f"{name}: its last line is 0 ms, so its loop has no length")
    # What passes at the loop's end passes at the beginning of the next.
    packets = Counter(time_ms % period_ms for time_ms in times_ms)
    before_ms = 0
    for time_ms in sorted(packets):
        if time_ms > before_ms:
            yield (time_ms - before_ms) * 1000, 0
        yield 1000, packets[time_ms] * _PACKET_BITS * 1000
        before_ms = time_ms + 1
    if period_ms > before_ms:
        yield (period_ms - before_ms) * 1000, 0
