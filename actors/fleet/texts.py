"""What a compiled cell keeps of devices that draft: their texts, and the frames under way.

A device has a block of integers: the figures named below, then its own state of
``costeer.device_text``, its cloud's of ``costeer.served_text``, and what it learns. Links of such
devices keep their frames in order, so what is under way in a direction is a queue. Nothing of this
is there where no arm drafts.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.array_types import Column, Table
from actors.fleet.events import push
from actors.fleet.layout import LANE_FORWARD, OWN, Books, Fleet
from actors.fleet.sessions import outcome_of, session_number, template_of
from actors.plan import REQUEST_BITS
from costeer import device_text
from costeer.device_text import lay
from costeer.device_text import size_of as device_size
from costeer.pacing import SIZE as PACE
from costeer.pacing import lay_pace
from costeer.served_text import size_of as served_size
from netsim.random import Stream, device_key, uniform_with

(
    STATUS,
    SESSION,
    PROMPT,
    TEXT,
    CACHED,
    RUN_TO,
    UPLINK,
    NEWEST_UPLINK,
    NEWEST_ARRIVED,
    SEEN,
    UP_HEAD,
    UP_TAIL,
    DOWN_HEAD,
    DOWN_TAIL,
    STATES,
) = range(15)
"""Of a device's session at the cloud: what it does there, its number, tokens of its prompt; tokens
of its text behind that; tokens in the cache, and those when the forward under way is done; transit
of the frame that is served, and of the newest DRAFT; when that came, and when the device was last
heard or answered; ends of the two queues, 0 for none; and where the two states begin."""

AWAY, READY, RUNNING, REFINING = range(4)
"""What a session does at the cloud; it is away while it waits for memory, too."""

FREE_HEAD, FREE, DUE = range(3)
"""In the first row of the frames: the first free row, how many are, and frames that the step under
way may send."""

NEXT, AT, VERSION, COUNT, ROUND, SENT_NS, UPLINK_NS, QUEUE_NS, COMPUTE_NS, SELECT_NS = range(10)
AGREED = ROUND
FRAME_FIGURES = 10
"""Of a frame: the one behind it, or the next free row; position; version; of ROWS how many rows (0:
a refusal), of DRAFT tokens of the text; of ROWS and REFINE the round, of DRAFT up to where the text
is what it was; when it was sent; and the figures of ``machine.CloudTrace``."""

_DRAFTS = int(Stream.DRAFTS)


def block_of(window: int) -> int:
    """Return how many integers a device that drafts has."""
    return STATES + device_size(window) + served_size(window) + PACE if window else 0


def begin_of(window: int, device: int) -> int:
    """Return where a device's block begins."""
    return device * block_of(window)


def states_of(window: int, device: int) -> tuple[int, int, int]:
    """Return where a device's own state begins, where its cloud's does, and where that ends."""
    first = begin_of(window, device) + STATES
    middle = first + device_size(window)
    return first, middle, middle + served_size(window)


def pace_of(window: int, device: int) -> int:
    """Return where what a device has seen of drafts and exchanges begins; see ``pacing``."""
    return begin_of(window, device + 1) - PACE


def begin_text(fleet: Fleet, books: Books, device: int, begun_ns: int) -> None:
    """Begin the text of a device's request, whose prompt its small model runs from now on."""
    first, end, _ = states_of(fleet.window, device)
    state = books.texts[first:end]
    template = template_of(fleet, books, device)
    limit = fleet.template[template, col.NEEDS] - fleet.template[template, col.PROMPT]
    lay(state, fleet.window, fleet.drafts, fleet.ahead, limit, 0, begun_ns)
    ends_ns = books.wide[device, col.FORWARD_DONE]
    state[device_text.WORK_NS] = ends_ns - begun_ns
    if fleet.learns:
        pace = pace_of(fleet.window, device)
        lay_pace(books.texts[pace : pace + PACE])
    session = int(books.narrow[device, col.SESSION])
    what = OWN << REQUEST_BITS | session
    push(books.engine, books.heap, ends_ns, LANE_FORWARD, device, 0, what)


# --------------------------------------------------------------------------- frames


def put(texts: Column, frames: Table, head: int) -> int:
    """Add a frame to the queue whose ends stand at ``head`` and behind it; return its row."""
    row = int(frames[0, FREE_HEAD])
    frames[0, FREE_HEAD] = frames[row, NEXT]
    frames[0, FREE] -= 1
    frames[row, NEXT] = 0
    if texts[head]:
        frames[texts[head + 1], NEXT] = row
    else:
        texts[head] = row
    texts[head + 1] = row
    return row


def take(texts: Column, frames: Table, head: int) -> int:
    """Take the first frame from a queue; its row stands until the next one is put."""
    row = int(texts[head])
    texts[head] = frames[row, NEXT]
    frames[row, NEXT] = frames[0, FREE_HEAD]
    frames[0, FREE_HEAD] = row
    frames[0, FREE] += 1
    return row


# --------------------------------------------------------------------------- drafts


def draft_of(fleet: Fleet, books: Books, device: int, position: int) -> int:
    """Return what a device drafts for a position; see ``actors.values.drafts``."""
    outcome = outcome_of(fleet, books, device, position)
    if len(fleet.draft_token) > 1:
        return fleet.draft_token[outcome]
    token = fleet.outcome[outcome, col.OUTCOME_TOKEN]
    key = device_key(fleet.word, _DRAFTS, session_number(fleet, books, device))
    right = uniform_with(key, position) < fleet.acceptance
    return token if right else (token + 1) % fleet.vocab_size


def ends_text(end_tokens: Column, token: int) -> bool:
    """Whether a token ends a text."""
    found = False
    for index in range(len(end_tokens)):
        found |= end_tokens[index] == token
    return found
