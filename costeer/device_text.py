"""What a drafting device has of its text, as plain integers, and what follows from it.

``costeer.drafting`` tells the theory and keeps what is no integer; a driver over arrays keeps
nothing else. Both call these functions, which numba compiles as they stand: a state is a list or a
slice of an array.

Layout: the figures named below, then one slot for each position that may be under way, at the
position modulo ``WINDOW``: the text's token, and what is known of the position from the arrival of
its logits until its token is accepted. The slot at a version modulo ``WINDOW`` also holds what
drafting took before that version went up. ``window_of`` has room for all that a device lets be
under way at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableSequence
    from typing import TypeAlias

    State: TypeAlias = MutableSequence[int]

(
    POSITION,
    LENGTH,
    ENDED,
    TOLD,
    VERSION,
    BRANCH,
    READ,
    KNOWN,
    WORK,
    STALE,
    DECIDING,
    DRAFTS,
    AHEAD,
    LIMIT,
    CHOSEN,
    ASKED_VERSION,
    ASKED_NS,
    ASKED_BEHIND,
    IN_VAIN,
    BUSY_NS,
    WORK_NS,
    WINDOW,
    HEAD,
) = range(23)
"""Of the session: the first position without an accepted token; tokens of the text, chosen and
drafted; 1 if a draft would end it; how much of it the cloud holds; version of the newest DRAFT, and
the first whose text agrees with this one; tokens that are run or about to be, and the last position
whose Δ is there; what the small model does, and 1 if for a text that is no more; position that is
decoded or steered, -1 for none; drafts wanted for a DRAFT, and how many may be under way; the most
tokens; tokens of an earlier epoch; of the newest frame that asked with a choice: version (-1: its
rows came), when it went up, whether rows of a refuted text were still to come; whether they are
now; what the small model ran since the last accepted token; how long its present work takes, for
drivers that have no other place for it; and how many slots there are."""

(
    TOKEN,
    OPEN,
    OF_VERSION,
    ROUND,
    ASKED,
    WAITING,
    DECODED,
    CHOICE,
    DECIDED,
    ARRIVED_NS,
    UPLINK_NS,
    QUEUE_NS,
    COMPUTE_NS,
    SELECT_NS,
    DOWNLINK_NS,
    DECODE_NS,
    STEER_FROM_NS,
    CHOSEN_NS,
    DRAFT_NS,
    TOLD_NS,
    SLOT,
) = range(21)
"""Of a position: the text's token; 1 more than the position, if its logits came and it is not
accepted; their version; the newest round that came or was asked for; whether it was asked for and
has not come; whether something came and was not decoded; whether all of it was decoded and not
steered since; what was chosen last, -1 for nothing; whether that stands; when round 0 came; where
its time went (see ``machine.CloudTrace``); decoding; when steering of round 0 began and ended; and
what drafting took before its DRAFT went up. Then, of a version: the same."""

REST, RUN, DRAFT = 0, 1, 2
"""What the small model does."""
NOTHING, DECODE, STEER = 0, 1, 2
"""What is done with a position's logits."""
UNWANTED, FRESH, REFINED = 0, 1, 2
"""What a row is that came."""
UNDRAFTED, RIGHT, WRONG = 0, 1, 2
"""What a choice says of the draft of its position."""


def window_of(most: int) -> int:
    """Return how many slots a device needs that has so many drafts at most."""
    return most + 2


def size_of(window: int) -> int:
    """Return how many integers a state is."""
    return HEAD + window * SLOT


def lay(
    state: State, window: int, drafts: int, ahead: int, limit: int, chosen: int, now_ns: int
) -> None:
    """Begin a session whose OPEN goes up now, its small model running the prompt.

    Args:
        state: zeros, or what is left of an earlier session.
        window: slots.
        drafts: see ``pacing.Plan``.
        ahead: likewise.
        limit: the most tokens.
        chosen: those that an earlier epoch chose.
        now_ns: the instant.
    """
    for at in range(HEAD, size_of(window)):
        state[at] = 0
    for figure in range(HEAD):
        state[figure] = 0
    state[POSITION] = chosen
    state[LENGTH] = chosen
    state[TOLD] = chosen
    state[READ] = chosen
    state[CHOSEN] = chosen
    state[KNOWN] = chosen - 1
    state[WORK] = RUN
    state[DECIDING] = -1
    state[DRAFTS] = drafts
    state[AHEAD] = ahead
    state[LIMIT] = limit
    state[ASKED_NS] = now_ns  # a first idea of an exchange, prompt included
    state[WINDOW] = window


def slot_of(state: State, position: int) -> int:
    """Return where a position's slot begins."""
    return HEAD + position % state[WINDOW] * SLOT


# --------------------------------------------------------------------------- drafting


def wants_draft(state: State) -> bool:
    """Whether one more draft could be of use."""
    drafts = state[LENGTH] - state[POSITION]
    verdict = state[POSITION] > state[TOLD] or state[VERSION] == 0
    return (
        state[ENDED] == 0
        and state[LENGTH] < state[LIMIT] - 1
        and drafts < max(state[DRAFTS], state[AHEAD])
        and (state[AHEAD] > 0 or verdict)
    )


def next_work(state: State) -> int:
    """Begin what the small model does next, and return it: ``RUN`` is of token ``READ`` - 1."""
    if state[WORK] != REST:
        return REST
    if state[READ] < state[LENGTH]:
        state[READ] += 1
        state[WORK] = RUN
    elif wants_draft(state):
        state[WORK] = DRAFT
    return state[WORK]


def end_run(state: State, took_ns: int) -> None:
    """Take note that the small model has run a token, or the prompt."""
    state[BUSY_NS] += took_ns
    if rest(state):
        state[KNOWN] = state[READ]


def end_draft(state: State, token: int, ends: int) -> None:
    """Take a draft; ``ends`` is 1 if it would end the text, which is not for a draft to do."""
    if rest(state):
        if ends:
            state[ENDED] = 1
        else:
            state[slot_of(state, state[LENGTH]) + TOKEN] = token
            state[LENGTH] += 1


def rest(state: State) -> bool:
    """End what the small model does; return whether that was of the text as it is."""
    fresh = state[STALE] == 0
    state[WORK] = REST
    state[STALE] = 0
    return fresh


# --------------------------------------------------------------------------- telling


def tell(state: State, since_ns: int, now_ns: int) -> int:
    """Book a DRAFT if it is time for one.

    Args:
        state: of the session.
        since_ns: when the newest token was chosen.
        now_ns: the instant.

    Returns:
        How many tokens it has, from position ``POSITION`` - 1 on; 0 for no DRAFT.
    """
    if state[POSITION] == state[CHOSEN] or state[TOLD] == state[LENGTH]:
        return 0  # the cloud is not known to have the session, or knows all
    chosen = state[POSITION] > state[TOLD]
    untold = state[LENGTH] - max(state[POSITION], state[TOLD])
    enough = untold >= state[DRAFTS] or not wants_draft(state)
    if state[AHEAD] == 0:
        if not (chosen and enough):
            return 0
    elif not (chosen or enough):
        return 0
    state[TOLD] = state[LENGTH]
    state[VERSION] += 1
    if chosen:
        state[ASKED_VERSION] = state[VERSION]
        state[ASKED_NS] = now_ns
        state[ASKED_BEHIND] = state[IN_VAIN]
        state[IN_VAIN] = 0
    state[slot_of(state, state[VERSION]) + TOLD_NS] = now_ns - since_ns
    return state[LENGTH] - state[POSITION] + 1


# --------------------------------------------------------------------------- deciding


def keep(state: State, position: int, round_: int, version: int, now_ns: int) -> int:
    """Keep a row that came, if it is wanted; others are repeated, late or of a refuted text.

    Returns:
        ``UNWANTED``, ``FRESH`` for round 0, ``REFINED`` for a later one.
    """
    if position < state[POSITION] or version < state[BRANCH]:
        return UNWANTED
    at = slot_of(state, position)
    if state[at + OPEN] == position + 1:
        same = state[at + OF_VERSION] == version and state[at + ROUND] == round_
        if state[at + ASKED] == 0 or not same:
            return UNWANTED
        state[at + ASKED] = 0
        state[at + WAITING] = 1
        return REFINED
    if round_:
        return UNWANTED
    for figure in range(OPEN, DRAFT_NS):
        state[at + figure] = 0
    state[at + OPEN] = position + 1
    state[at + OF_VERSION] = version
    state[at + WAITING] = 1
    state[at + CHOICE] = -1
    state[at + ARRIVED_NS] = now_ns
    state[at + DRAFT_NS] = state[slot_of(state, version) + TOLD_NS]
    return FRESH


def trace(
    state: State,
    position: int,
    uplink_ns: int,
    queue_ns: int,
    compute_ns: int,
    select_ns: int,
    downlink_ns: int,
) -> None:
    """Write down where the time of a fresh row went."""
    at = slot_of(state, position)
    state[at + UPLINK_NS] = uplink_ns
    state[at + QUEUE_NS] = queue_ns
    state[at + COMPUTE_NS] = compute_ns
    state[at + SELECT_NS] = select_ns
    state[at + DOWNLINK_NS] = downlink_ns


def end_exchange(state: State, version: int) -> bool:
    """Whether a fresh row of this version ends the exchange that began at ``ASKED_NS``.

    Drafts that went up meanwhile have made the version a later one, where the cloud had to finish
    something else first.
    """
    if not 0 <= state[ASKED_VERSION] <= version:
        return False
    state[ASKED_VERSION] = -1
    return True


def next_look(state: State, now_ns: int) -> int:
    """Begin to decode or steer the first position that can be, unless one is being so already.

    Returns:
        ``NOTHING``, ``DECODE`` or ``STEER``, the latter of position ``DECIDING``.
    """
    if state[DECIDING] >= 0:
        return NOTHING
    position = state[POSITION]
    while True:
        at = slot_of(state, position)
        if state[at + OPEN] != position + 1:
            return NOTHING
        if state[at + WAITING]:
            state[at + WAITING] = 0
            state[DECIDING] = position
            return DECODE
        if state[at + DECODED]:
            if position > state[KNOWN]:
                return NOTHING
            if state[at + ROUND] == 0:
                state[at + STEER_FROM_NS] = now_ns
            state[DECIDING] = position
            return STEER
        if position >= state[LENGTH] or state[at + CHOICE] != state[at + TOKEN]:
            return NOTHING
        position += 1


def end_decode(state: State, took_ns: int) -> None:
    """Take note that the position under way is decoded."""
    at = slot_of(state, state[DECIDING])
    state[DECIDING] = -1
    state[at + DECODED] = 1
    if state[at + ROUND] == 0:
        state[at + DECODE_NS] = took_ns


def end_steer(state: State, token: int, stands: int, now_ns: int) -> None:
    """Take a choice for the position under way; where ``stands`` is 0, a REFINE is due."""
    at = slot_of(state, state[DECIDING])
    state[DECIDING] = -1
    state[at + DECODED] = 0
    state[at + CHOICE] = token
    if state[at + ROUND] == 0:
        state[at + CHOSEN_NS] = now_ns
    if stands:
        state[at + DECIDED] = 1
    else:
        state[at + ROUND] += 1
        state[at + ASKED] = 1


def is_asked(state: State, position: int) -> bool:
    """Whether further ranks of a position were asked for and have not come."""
    at = slot_of(state, position)
    return state[at + OPEN] == position + 1 and state[at + ASKED] == 1


def awaited_round(state: State) -> int:
    """Return which round of the oldest position the cloud is to send; -1 for none."""
    if state[DECIDING] >= 0:
        return -1
    at = slot_of(state, state[POSITION])
    if state[at + OPEN] != state[POSITION] + 1:
        return 0 if state[TOLD] >= state[POSITION] else -1
    return state[at + ROUND] if state[at + ASKED] else -1


def is_decided(state: State) -> bool:
    """Whether the oldest position can be accepted."""
    at = slot_of(state, state[POSITION])
    return state[at + OPEN] == state[POSITION] + 1 and state[at + DECIDED] == 1


def verdict(state: State) -> int:
    """Return what the choice of the oldest position says of its draft."""
    if state[LENGTH] == state[POSITION]:
        return UNDRAFTED
    at = slot_of(state, state[POSITION])
    return RIGHT if state[at + CHOICE] == state[at + TOKEN] else WRONG


def refuted_told(state: State) -> int:
    """Return how many drafts a refuted one takes with it that the cloud was told, itself too."""
    return max(0, state[TOLD] - state[POSITION])


def lay_stages(state: State, now_ns: int, stages_ns: State) -> None:
    """Write down where the time of the oldest position went, behind its wait at the device."""
    at = slot_of(state, state[POSITION])
    stages_ns[1] = state[at + DRAFT_NS]
    for stage in range(5):
        stages_ns[2 + stage] = state[at + UPLINK_NS + stage]
    stages_ns[7] = state[at + DECODE_NS]
    stages_ns[8] = state[at + STEER_FROM_NS] - state[at + ARRIVED_NS] - state[at + DECODE_NS]
    stages_ns[9] = state[at + CHOSEN_NS] - state[at + STEER_FROM_NS]
    stages_ns[10] = now_ns - state[at + CHOSEN_NS]


def accept(state: State) -> None:
    """Accept the choice of the oldest position; if it is not the draft, it takes its place."""
    right = verdict(state) == RIGHT
    position = state[POSITION]
    at = slot_of(state, position)
    state[at + OPEN] = 0
    state[BUSY_NS] = 0
    state[POSITION] += 1
    if right:
        return
    state[at + TOKEN] = state[at + CHOICE]
    state[LENGTH] = position + 1
    state[ENDED] = 0
    if state[TOLD] > position:
        state[IN_VAIN] = int(state[slot_of(state, state[TOLD]) + OPEN] != state[TOLD] + 1)
        state[TOLD] = position
        state[BRANCH] = state[VERSION] + 1
        for each in range(state[WINDOW]):
            state[HEAD + each * SLOT + OPEN] = 0
    if state[READ] > position or state[WORK] == DRAFT:
        state[STALE] = int(state[WORK] != REST)
    state[READ] = min(state[READ], position)
    state[KNOWN] = min(state[KNOWN], position)
