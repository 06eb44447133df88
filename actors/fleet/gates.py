"""What a compiled cell keeps of sessions whose steering pauses, and their small model's reading.

The rule of the gate is ``costeer.gate``'s. The small model follows the text through a pause: tokens
that come while it runs are its next run, together. A run's end is no event: nothing follows from it
but the next run, so both are worked out when the device next takes a token.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.forwards import extend
from actors.fleet.layout import NEVER, SEVERAL, Books, Fleet
from actors.fleet.sessions import outcome_of, session_number, template_of
from costeer.gate import seen
from netsim.random import Stream, device_key, uniform_with

_DOUBTS = int(Stream.DOUBTS)


def begin_gate(books: Books, device: int, begun_ns: int) -> None:
    """Begin a request, whose prompt the small model runs from now on."""
    gates = books.gates
    for figure in range(col.GATE_FIGURES):
        gates[device, figure] = 0
    gates[device, col.READS] = 1
    gates[device, col.READ_NS] = books.wide[device, col.FORWARD_DONE] - begun_ns


# --------------------------------------------------------------------------- the gate


def open_gate(books: Books, device: int) -> None:
    """Begin a session whose gate has seen nothing."""
    books.gates[device, col.GATE_CLOSED] = 0
    books.gates[device, col.GATE_RUN] = 0


def is_sure(fleet: Fleet, books: Books, device: int, position: int) -> bool:
    """Whether the cloud is sure of a token; see ``actors.values.doubts``."""
    if len(fleet.sure_token) > 1:
        return fleet.sure_token[outcome_of(fleet, books, device, position)] == 1
    key = device_key(fleet.word, _DOUBTS, session_number(fleet, books, device))
    return uniform_with(key, position) < fleet.sure


def pass_gate(fleet: Fleet, books: Books, device: int, position: int) -> bool:
    """Have the gate see a token; return whether the cloud's own stands."""
    gates, (after, unsure_is_sure, unsure_opens) = books.gates, fleet.gate
    sure = int(is_sure(fleet, books, device, position))
    in_doubt = 0 if sure else unsure_opens
    closed = gates[device, col.GATE_CLOSED]
    gates[device, col.GATE_CLOSED], gates[device, col.GATE_RUN] = seen(
        closed, gates[device, col.GATE_RUN], 1 if sure else unsure_is_sure, in_doubt, after
    )
    return closed == 1 and in_doubt == 0


def choosing_ns(fleet: Fleet, books: Books, rows: int) -> int:
    """Return what choosing costs beside encoding, in a select of so many rows.

    Where a gate is closed, the row itself says whether its token is chosen or sent.
    """
    asked = 0
    for index in range(rows):
        device = int(books.step[index, col.RUNNING_NOW])
        if SEVERAL and books.narrow[device, col.POSITION] < books.narrow[device, col.AGAIN]:
            asked += 1
        elif books.narrow[device, col.ROUND] == 0:
            asked += books.gates[device, col.GATE_CLOSED]
    return fleet.select_ns[len(fleet.select_ns) - 1, asked]


# --------------------------------------------------------------------------- the small model


def read_until(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Have the small model's runs end that do so before an instant, and those begin behind them."""
    gates, wide = books.gates, books.wide
    while gates[device, col.READS] and wide[device, col.FORWARD_DONE] < now_ns:
        gates[device, col.READS] = 0
        gates[device, col.WORKED_NS] += gates[device, col.READ_NS]
        if gates[device, col.UNREAD]:
            run(fleet, books, device, wide[device, col.FORWARD_DONE])


def read_all(fleet: Fleet, books: Books, device: int) -> None:
    """Have the small model read all that there is."""
    read_until(fleet, books, device, NEVER)


def read_one(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Give the small model one more token: at once, or behind the run under way."""
    books.gates[device, col.UNREAD] += 1
    if books.gates[device, col.READS] == 0:
        run(fleet, books, device, now_ns)


def run(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Run the tokens that were not read yet."""
    gates, rows, template = books.gates, fleet.branches, template_of(fleet, books, device)
    count, read = gates[device, col.UNREAD], gates[device, col.READ_TOKENS]
    held = rows * read
    for branch in range(rows):
        held += fleet.template[template, col.EDGE_PROMPT + branch]
    pairs = count * held + rows * (count * (count + 1) // 2)
    extend(fleet, books, device, now_ns, rows * count, held, pairs)
    gates[device, col.READS] = 1
    gates[device, col.READ_NS] = books.wide[device, col.FORWARD_DONE] - now_ns
    gates[device, col.READ_TOKENS] = read + count
    gates[device, col.UNREAD] = 0
