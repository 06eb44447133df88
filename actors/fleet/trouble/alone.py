"""When a device of a compiled cell can choose alone, and what its small model runs for that.

The rules are those of ``costeer.solo``: the personal branch goes on behind what it has read.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.forwards import edge_terms, forward_ns, tell_work
from actors.fleet.gates import read_until
from actors.fleet.layout import DRAFTING, OVERLAPPING, PAUSING, Books, Fleet
from actors.fleet.names import CLASS_FIGURES
from actors.fleet.sessions import template_of
from actors.fleet.texts import states_of
from costeer import device_text as text

_LOGITS_NS, _FORWARD_NS = (
    CLASS_FIGURES.index(name) for name in ("edge_logits_ns", "edge_forward_ns")
)


def ready_alone(fleet: Fleet, books: Books, device: int, now_ns: int) -> int:
    """Return when a device has its own logits that gives its cloud up at an instant."""
    if DRAFTING and fleet.window:
        return draft_alone(fleet, books, device, now_ns)
    if PAUSING and fleet.pauses:
        return read_alone(fleet, books, device, now_ns)
    if OVERLAPPING and fleet.waits:
        return begin_alone(fleet, books, device, now_ns)
    ends_ns = books.wide[device, col.FORWARD_DONE]
    if OVERLAPPING and fleet.delta_at:
        delta_ns = fleet.kind[int(books.narrow[device, col.KIND]), fleet.delta_at]
        if now_ns < ends_ns - delta_ns:
            # Nobody wants to know Δ any more.
            began_ns = books.wide[device, col.FORWARD_BEGAN]
            tell_work(fleet, books, device, began_ns, _LOGITS_NS, -delta_ns)
            return ends_ns - delta_ns
    return max(now_ns, ends_ns)


def read_alone(fleet: Fleet, books: Books, device: int, now_ns: int) -> int:
    """As ``ready_alone``, of a small model that follows the text through pauses."""
    gates = books.gates
    # What ends at this instant has ended.
    read_until(fleet, books, device, now_ns + 1)
    begun_ns = books.wide[device, col.FORWARD_DONE] if gates[device, col.READS] else now_ns
    unread, read = gates[device, col.UNREAD], gates[device, col.READ_TOKENS]
    gates[device, col.OWN_TOKEN] = 0
    if unread == 0:
        return begun_ns
    return begun_ns + run_alone(fleet, books, device, now_ns, unread, read)


def draft_alone(fleet: Fleet, books: Books, device: int, now_ns: int) -> int:
    """As ``ready_alone``, of a small model that drafted and is at rest now."""
    first, end, _ = states_of(fleet.window, device)
    state = books.texts[first:end]
    position = state[text.POSITION]
    if state[text.READ] == position and state[text.STALE] == 0:
        return now_ns
    # Where drafts were, the newest token is run once more.
    return now_ns + run_alone(fleet, books, device, now_ns, 1, position - 1)


def begin_alone(fleet: Fleet, books: Books, device: int, now_ns: int) -> int:
    """As ``ready_alone``, of a small model that waits until logits are there."""
    position = int(books.narrow[device, col.POSITION])
    if books.narrow[device, col.ROUND]:
        return now_ns  # some were
    new, read = (1, position - 1) if position else (0, 0)
    return now_ns + run_alone(fleet, books, device, now_ns, new, read)


def run_alone(fleet: Fleet, books: Books, device: int, now_ns: int, new: int, read: int) -> int:
    """Have the personal branch run tokens behind those of the text that it has read.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose.
        now_ns: when.
        new: how many tokens; 0 for the prompt.
        read: how many there are before.

    Returns:
        How long that takes.
    """
    kind = int(books.narrow[device, col.KIND])
    branch = col.EDGE_PROMPT + fleet.trouble.branch
    prompt = fleet.template[template_of(fleet, books, device), branch]
    held = prompt + read if new else 0
    run = new or int(prompt)
    pairs = run * held + run * (run + 1) // 2
    grid, terms = fleet.kind[kind, col.GRID], edge_terms(fleet.kind, kind)
    took_ns = forward_ns(1, run, held, pairs, terms, fleet.plain, grid)
    tell_work(fleet, books, device, now_ns, _FORWARD_NS, took_ns)
    return took_ns
