"""The arrays of a compiled cell: what is fixed, what changes.

Rules
-----
* A table has one row per device (D), session (S), outcome (R), class (C) or direction of a class
  (two rows a class); ``columns`` names its columns. Times are nanoseconds; nothing is an object.
* What a session has in common with all others is one row for all: a table of sessions has S rows
  or one.
* Counts are 32-bit integers: windows up to two million packets, two thousand million tokens.
* An event is (time_ns, word); the word holds lane, device and the number of the device's frame, so
  that events stand in the order of the ``virtual`` way's heap, and below them kind and session. A
  frame that takes no time up is taken in its sender's lane, since that is when the other way comes
  to it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from actors.fleet.array_types import Column, Shares, Table, Words
from actors.fleet.names import CLOUD_FIGURES, CLOUD_PEAKS
from actors.fleet.seldom import Ladders, Trouble
from costeer.token_record import STAGES
from netsim.hardware.roofline import ForwardTerms
from netsim.wire import WireTerms

LOCAL, STEERED, STREAMED, VERIFYING = range(4)
"""What the cloud does for a fleet."""

OPEN, TOKEN, MORE, CLOSE, ALONE, DRAFT, REFINE, OWN, CROSS, JOIN, SHARES = range(11)
"""Kinds of events: frames, but for ``ALONE`` (a request that is answered by the small model alone
has ended) and ``OWN`` (of a device that drafts, what its lane says); then, where devices share
something: a frame is sent up, a frame reaches what is shared, somebody may have crossed it."""

LOGITS, STREAM, REFUSAL, TIMED_OUT, ROWS = range(5)
"""Kinds of frames that go down, where devices share something or anything may fail."""

ENDED, REFUSED, SILENCED, STALLED, LEFT = range(5)
"""How a request ended: with all its tokens; or its cloud had no room, or heard nothing for too
long, or its device heard nothing for too long, or left."""

FORWARD, SELECT, GUESS = 1, 2, 3
"""What the cloud is doing."""

LANE_REQUEST, LANE_UP, LANE_DOWN, LANE_NETWORK, LANE_CLOUD = range(5)
LANE_FORWARD, LANE_DECODE, LANE_CHOICE, LANE_DRAFT, LANE_IDLE, LANE_ANSWER = range(5, 11)
LANE_STEP = 11
"""What the ``virtual`` way takes first among events of the same nanosecond; a step comes last."""

DECODING, PROMPTS, WAITING, REFINING, EVICTED = range(5)
"""Queues of the engine: ready with one token, ready with more, without memory, asked for MORE, and
without memory any more."""

OUTPUT, DIGEST = 0, 1
"""Words of a cell."""

# Books of the engine, by index; where a cell has several replicas, those before ``EVENTS``,
# ``YOUNGEST`` and from ``CLOUD`` to ``STAGE`` are of the present one, see ``replicas``. Behind the
# others, each from its place on, lie ``CLOUD_FIGURES``,
# ``CLOUD_PEAKS``, scratch for the stages of the token that is told, and rows of each forward where
# somebody asks for them.
HEADS, TAILS, COUNTS = 0, 5, 10
(
    FREE_TOKENS,
    ADMITTED,
    FIRST_SEQUENCE,
    NEXT_SEQUENCE,
    RUNNING,
    ARMED,
    STEP,
    STEP_NS,
    STEP_ENDS,
    EGRESS_UNTIL,
    EVENTS,
    FINISHED,
    NOW,
    FAULT,
    BIN_NS,
    HELD_FREE,
    TOKENS_OUT,
    REQUESTS_OUT,
    BATCHES_OUT,
    TOKENS_TOLD,
    LAST_END,
    HELD_HEAD,
    BEGUN,
    ASKED,
    LINE_FREE,
    LINE_LEFT,
    YOUNGEST,
    AIR_FREE,
    AIR_LEFT,
    LANDED,
    NETWORK_NOW,
    REPLICA,
) = range(15, 47)
CLOUD = 47
PEAKS = CLOUD + len(CLOUD_FIGURES)
STAGE = PEAKS + len(CLOUD_PEAKS)
BATCHES = STAGE + len(STAGES)

REPLICA_BITS = 11
"""Bits that say which of a cell's replicas it is."""

SPARE = 8
"""Events, and frames under way, that an event of one device brings at most."""

NO_FAULT, SILENT, MANY_FRAMES = 0, 1, 2
"""What a cell cannot go on with: a device silent for too long, more frames than an event can tell
apart."""


class Fleet(NamedTuple):
    """What does not change while a cell runs.

    Args:
        devices: D.
        sessions: S.
        role: what the cloud does: ``LOCAL``, ``STEERED``, ``STREAMED``, or ``VERIFYING`` drafts.
        branches: of the small model.
        refines: 1 if a token may be asked more for.
        opened: 1 in an open loop.
        numbered: 1 where sessions are named by their devices' numbers, see ``CellPlan.numbered``.
        each: sessions of every device; 0 where they differ.
        preempts: 1 if sessions hold their present text alone and are evicted.
        max_batch: see ``EngineLimits``, as the next five.
        chunk_tokens: ...
        max_sessions: ...
        max_waiting: ...
        kv_tokens: ...
        idle_timeout_ns: ...
        most_admitted: sessions that can hold memory at one time.
        refusal_bytes: of the body of the frame that refuses a session.
        silence_bytes: likewise of the one that ends it because its device was silent.
        egress_bps: the cloud's way out, first in, first out; 0 for no limit, or where ``fluid``.
        shared: 1 if devices share something beside it.
        fluid: 1 if they share the cloud's way out at the same time.
        down_bucket: sizes of LOGITS frames are multiples of this.
        up_bucket: sizes of the device's frames likewise.
        ends: of the warm-up (requests that come earlier are not counted), and of the cell.
        reading_ns: time of a token at the reading speed.
        every: each so manieth device is sampled; 0 for none.
        longest: tokens of the longest session.
        slots: devices that are sampled.
        word: what ``device_key`` needs of the seed.
        cloud_terms: what rules the cloud's forwards.
        cloud_grid: where in ``plain`` their grid begins; 0 for none.
        cloud_variation: how much its forwards of one shape differ; empty where they do not.
        replica_number: of each of the cell's replicas: its number in the arm.
        egress_wire: what rules bytes at the egress.
        first_session: of each device, and one more; one alone where all have as many.
        due_ns: of each session: when it comes (open loop) or after what pause.
        session: what is fixed of each session.
        template: of each kind of session.
        outcome: of each outcome.
        payload_bytes: of each payload.
        kind: of each class, with both directions of its links.
        odds: probabilities of each direction of a class.
        own: figures of each device; one row where no class has any.
        plain: what ``netsim.line`` takes of each trace, and each ``Calibrated.grid``, one after the
            other.
        select_ns: the cloud's select and encode, by round and rows; or its choices, by rows.
        window: positions that a device which drafts may have under way; 0 where none drafts.
        drafts: tokens drafted for one DRAFT, at first where devices learn it.
        ahead: drafts that may be under way, likewise.
        learns: 1 if devices learn both.
        acceptance: how often a draft is right, where that is drawn.
        vocab_size: V.
        end_tokens: ids that end a text.
        draft_token: of each outcome, what is drafted in its place; one alone where that is drawn.
        pauses: 1 if steering pauses where the cloud is sure.
        gate: so many sure tokens in a row pause it; 1 if a token in doubt is sure all the same, and
            1 if it brings steering back.
        sure: how often the cloud is sure of a token, where that is drawn.
        sure_token: of each outcome, 1 if it is sure of it; one alone where that is drawn.
        guesses: tokens that the cloud drafts at most for each forward of a streamed session.
        beside_terms: what rules forwards of a small model that makes them.
        beside_grid: where in ``plain`` their grid begins; 0 for none.
        beside_choose_ns: what its choices cost, by rows; one alone where none is there.
        guided: 1 if the cloud follows two prompts a session.
        waits: 1 if the small model runs once the logits are there.
        delta_at: where in ``kind`` the cost of Δ stands, if it follows the small model's forward;
            0 if it comes with steering.
        steer_at: where in ``kind`` those of steering begin, by round; 0 for one cost.
        found: of each outcome, how many there are to be found; one alone where that is drawn.
        followed: of each outcome, how many of them are right, from the first.
        trouble: what may fail.
        ladders: how a starting k is learnt.
    """

    devices: int
    sessions: int
    role: int
    branches: int
    refines: int
    opened: int
    numbered: int
    each: int
    preempts: int
    max_batch: int
    chunk_tokens: int
    max_sessions: int
    max_waiting: int
    kv_tokens: int
    idle_timeout_ns: int
    most_admitted: int
    refusal_bytes: int
    silence_bytes: int
    egress_bps: int
    shared: int
    fluid: int
    down_bucket: int
    up_bucket: int
    ends: tuple[int, int]
    reading_ns: int
    every: int
    longest: int
    slots: int
    word: np.uint64
    cloud_terms: ForwardTerms
    cloud_grid: int
    cloud_variation: Column
    replica_number: Column
    egress_wire: WireTerms
    first_session: Column
    due_ns: Column
    session: Table
    template: Table
    outcome: Table
    payload_bytes: Column
    kind: Table
    odds: Shares
    own: Table
    plain: Column
    select_ns: Table
    window: int
    drafts: int
    ahead: int
    learns: int
    acceptance: float
    vocab_size: int
    end_tokens: Column
    draft_token: Column
    pauses: int
    gate: tuple[int, int, int]
    sure: float
    sure_token: Column
    guesses: int
    beside_terms: ForwardTerms
    beside_grid: int
    beside_choose_ns: Column
    guided: int
    waits: int
    delta_at: int
    steer_at: int
    found: Column
    followed: Column
    trouble: Trouble
    ladders: Ladders


class Books(NamedTuple):
    """What changes.

    Args:
        engine: the engine's figures, see the indices above.
        heap: events: time and word.
        wide: of each device: times.
        narrow: of each device: counts.
        step: devices of the step under way, and scratch for its candidates.
        held: stages of round 0 of the tokens that are refined.
        line: sessions that hold memory, where they may be evicted.
        texts: of each device that drafts, see ``drafts``.
        under_way: frames between such devices and their cloud.
        gates: of each device whose steering pauses, see ``gates``.
        guesses: of each device whose cloud drafts for it, see ``guessing``.
        air: frames on their way through what devices share.
        hubs: what they share, see ``air``.
        by_class: see ``names.CLASS_FIGURES`` and ``names.CLASS_EDGES``.
        histograms: one row for each class and ``names.HISTOGRAMS``, and one of the batches' rows.
        series: see ``names.SERIES``.
        words: the two digests.
        rows: tokens of the sessions that sampled devices are in, and behind them those of sessions
            that ended, until they are fetched.
        requests: books of each sampled device, and behind them the sessions that ended.
        trouble: what is kept where anything may fail, see ``trouble.slots``.
        engines: of each replica, where there are several: figures of its engine, see ``replicas``.
        opened: of each replica, where anything may fail: of each device the last epoch that came
            there of its last session; of each session where frames may overtake each other.
        ladders: of each device the starting k of each position under way, where it is learnt; and
            behind these how many of its rows were used, and how many sent in vain.
        learner: what a cloud has learnt of it, and scratch; see ``Ladders``.
    """

    engine: Column
    heap: Table
    wide: Table
    narrow: Table
    step: Table
    held: Table
    line: Table
    texts: Column
    under_way: Table
    gates: Table
    guesses: Table
    air: Table
    hubs: Table
    by_class: Table
    histograms: Table
    series: Table
    words: Words
    rows: Table
    requests: Table
    trouble: Column
    engines: Table
    opened: Table
    ladders: Table
    learner: Column


DRAFTING = EXCHANGING = SHARING = PAUSING = GUESSING = GUIDING = OVERLAPPING = True
"""Whether there are rules for devices that draft, for others, for what devices share, for steering
that pauses, for clouds that draft, for two prompts a session, and for another order of a device's
work. A cell needs one of the first two and seldom the others, so machine code is made without what
it does not need: see ``loops``."""

LEARNING = True
"""Whether the starting k of a token's ranks is learnt."""

TROUBLED = CALM = True
"""Whether anything may fail, and the opposite. If so, the rules of ``actors.fleet.trouble`` are
followed instead of those of ``devices`` and ``exchanges``: the same steps of a device, each an
event of its own, and sessions at the cloud have rows of their own."""

SEVERAL = SINGLE = True
"""Whether a cell in which something may fail has several replicas, or one that fails, and the
opposite. If so, the rules of ``actors.fleet.replicas`` are followed as well."""

NEVER = (1 << 62) - 1
"""A time that does not come."""
