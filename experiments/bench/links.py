"""What a link costs: nanoseconds a message, from Python and from machine code."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from netsim.compiled import compiled
from netsim.link import Link
from netsim.presets import profile_named
from netsim.profiles import link_for, own_figures
from netsim.sharing import SharedLinks
from netsim.spread import SPREADS
from netsim.tcp import State, Terms, transfer
from netsim.trace import make_trace
from netsim.transport import TCP

_MESSAGES = 20_000
_COMPILED_MESSAGES = 1_000_000
_GAP_NS = 50_000_000
_FRAME_BYTES = 165
_PYTHON_TARGET_S = 2e-6
_COMPILED_TARGET_S = 100e-9
_DEVICES = 1_000_000
_DEVICES_TARGET_S = 2.0


def run(repeats: int = 20) -> list[dict[str, Any]]:
    """Rows of `bench`, `case`, `repeats`, `median_s` (of one message) and perhaps `target`."""
    terms: Terms = TCP.terms(40_000_000, 240_000_000, 0, 600_000)
    state: State = TCP.fresh(40_000_000, 600_000)
    machine_code = _loop_in_machine_code()
    machine_code(1, terms, state)  # compiles
    rows = [
        _row(
            "link arrival (tcp.transfer)",
            "Python, a frame in an open window",
            repeats,
            _MESSAGES,
            lambda: _transfers(terms, state),
            _PYTHON_TARGET_S,
        ),
        _row(
            "link arrival (tcp.transfer)",
            "compiled, the same",
            repeats,
            _COMPILED_MESSAGES,
            lambda: machine_code(_COMPILED_MESSAGES, terms, state),
            _COMPILED_TARGET_S,
        ),
    ]
    for name in ("cable", "4g-eu", "4g"):
        link = link_for(profile_named(name), 0, 0)
        bench, case = "Link.send_down, headers and draws", f"Python, {name}, {_FRAME_BYTES} B"
        rows.append(_row(bench, case, repeats, _MESSAGES, partial(_sends, link)))
    for name in ("4g-eu", "starlink"):
        profile = replace(profile_named(name), spread=SPREADS[name])
        bench, case = "a million devices' own links", f"numpy, {name}"
        work = partial(own_figures, profile, 0, np.arange(_DEVICES))
        rows.append(_row(bench, case, min(repeats, 5), 1, work, _DEVICES_TARGET_S))
    trace = make_trace("bench", [(1_000_000, 10**6 + index % 977) for index in range(600)])
    along = link_for(profile_named("cable").following(trace, None), 0, 0)
    bench, case = "Link.send_down, headers and draws", f"Python, a trace, {_FRAME_BYTES} B"
    rows.append(_row(bench, case, repeats, _MESSAGES, partial(_sends, along)))
    for flows in (4, 64):
        bench, case = "SharedLinks, one message", f"{flows} flows share a cell"
        messages = 20 * flows
        rows.append(_row(bench, case, repeats, messages, partial(_shares, flows, 20)))
    return rows


def _row(
    bench: str,
    case: str,
    repeats: int,
    messages: int,
    work: Callable[[], object],
    target_s: float | None = None,
) -> dict[str, Any]:
    taken = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began_s) / messages)
    row = {"bench": bench, "case": case, "repeats": repeats, "median_s": median(taken)}
    return row if target_s is None else row | {"target": target_s}


def _transfers(terms: Terms, state: State) -> None:
    for index in range(_MESSAGES):
        _, _, state = transfer(index * _GAP_NS, 1, 100_000, 20_000_000, -1, 0, terms, state)


def _loop_in_machine_code() -> Callable[[int, Terms, State], int]:
    one = compiled(transfer)

    def loop(messages: int, terms: Terms, state: State) -> int:
        last_ns = 0
        for index in range(messages):
            last_ns, _, state = one(index * _GAP_NS, 1, 100_000, 20_000_000, -1, 0, terms, state)
        return last_ns

    return compiled(loop)


def _sends(link: Link) -> None:
    now_ns = link.down_state.busy_until_ns
    for index in range(_MESSAGES):
        link.send_down(now_ns + index * _GAP_NS, _FRAME_BYTES)


def _shares(flows: int, messages: int) -> None:
    shared = SharedLinks[int]([20_000_000])
    for message in range(messages):
        for flow in range(flows):
            shared.add(message * 1_000_000 + flow, flow, (0,), 1500, message)
    while (at_ns := shared.next_event_ns()) is not None:
        shared.advance(at_ns)
