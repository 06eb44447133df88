"""Names of the columns of a fleet's tables.

Few tables of many columns, not many columns: what a device needs lies together in memory. Where a
column exists for each direction of a link, the first is that of the way down and the way up lies
one stride behind it.
"""

from actors.fleet.histogram import BUCKETS
from actors.fleet.layout import STAGE as ENGINE_FIGURES
from actors.fleet.names import CLASS_FIGURES
from costeer.token_record import STAGES as STAGE_NAMES

DOWN, UP = 0, 1
"""Directions of a link."""

# --------------------------------------------------------------------------- fixed

# Of a class of devices.
SETUP_NS, STEER_NS, OWN, TIME_OUT_NS, ADDED, WIRE, TERMS = 0, 1, 2, 3, 4, 5, 13
GRID, CHOOSE_NS, DECODE_NS = 61, 62, 63
"""How long a connection takes to be there; steering, or choosing where nothing is steered; 1 if its
devices have figures of their own; their time-out, and 1 if it is beyond the round trip; from here
``WireFormat.terms``; what rules forwards; behind the links, where in
``plain`` their grid begins (0: none); choosing a draft; and decoding, by round."""

# Of a direction of a class.
RATE, PROPAGATION, JITTER, TCP, BUFFER, PACKET_BYTES = 21, 22, 23, 24, 33, 34
TRACE_FIRST, TRACE_RATES, GAP_NS, BURST_NS, FRESH, PACED = range(35, 41)
WAY_STRIDE, ORDERED = 20, 7
"""Rate, propagation, mean jitter; from here ``netsim.tcp.TERMS``, of which this one is "ordered";
buffer and full packet in bytes; where its trace begins and how many rates it has (0: none); mean
gap between bursts of losses (0: none) and mean burst; where the first slow start ends, and 1 if it
is paced."""

LOSS, BURST_LOSS = 0, 1
"""Probabilities of a direction: that a packet is lost, and that it is within a burst."""

OWN_BPS, OWN_RTT, OWN_OFFSET_NS = 0, 2, 3
"""Of a device with figures of its own: the two rates, and the round trip; and, where a class has
traces, where in them it begins."""

# Of a kind of session.
PROMPT, NEEDS, OPEN_BYTES, EDGE_PROMPT = 0, 1, 2, 3
GUIDE = EDGE_PROMPT
TEMPLATE_FIGURES = 5
"""Tokens that the cloud is sent; KV tokens that it reserves; body of its OPEN frame; tokens of the
small model's first branch, behind it the second. Where the cloud follows two prompts, there is no
small model: the first of these is the second prompt's."""

# Of a session.
TEMPLATE, FIRST_ROW, LENGTH = range(3)
SESSION_FIGURES = 3
"""What kind it is of, where its outcomes begin, how many they are."""

# Of an outcome; one row more than outcomes.
OUTCOME_TOKEN, CERTIFIED, FIRST_PAYLOAD = range(3)
OUTCOME_FIGURES = 3
"""Token, whether it is certified, where the payloads of its rounds begin."""

# --------------------------------------------------------------------------- changing

# Of a device: times and whatever else is wide.
BUSY_UNTIL, LAST_ARRIVAL, ROUND_END, SENT_AT = range(4)
WIDE_STRIDE = 4
"""Of a direction: see ``netsim.tcp.STATE``."""
ARRIVAL, SINCE, FORWARD_DONE, STEERED, READY, COMPUTE, FIRST, READ = range(8, 16)
STAYS, STAY_ENDS, STAY_STRIDE = 16, 17, 2
LANDED_AT = 20
WIDE_FIGURES, WIDE_FIGURES_WITH_BURSTS, WIDE_FIGURES_WITH_AIR = 16, 20, 22
"""Of the request under way: when it was intended; when the last token was chosen (before the first:
when it was begun); when the small model's forward ends; when round 0 was steered, or how long the
streamed token before was under way; when the frame that is served came to the cloud, and forwards
since; when the first token was chosen; and when a reader who was never kept waiting after it would
have begun, to be where the present one is. Where losses come in bursts also, of a direction: gaps
and bursts that have ended, and the end of the present one. Where devices share something also, of a
direction: when the frame sent last arrives."""

# Of a frame on its way through what devices share; rows are told by their number plus 1.
(
    (AIR_WAY, AIR_DEVICE, AIR_SESSION, AIR_WHAT, AIR_NUMBER, AIR_HEARD),
    (AIR_SENT, AIR_ARRIVAL, AIR_TRAVEL, AIR_BYTES, AIR_BEHIND),
    (AIR_LEFT_BITS, AIR_RATE, AIR_BEFORE, AIR_AFTER),
    (AIR_POSITION, AIR_SELECT, AIR_READY, AIR_COMPUTE),
) = ((0, 1, 2, 3, 4, 5), (6, 7, 8, 9, 10), (11, 12, 13, 14), (15, 16, 17, 18))
AIR_ROUND, AIR_EPOCH, AIR_UPLINK, AIR_NEXT, AIR_COUNT, AIR_VERSION = range(19, 25)
AIR_REPLICA, AIR_LIFE = 25, 26
AIR_FIGURES, AIR_FIGURES_WITH_TROUBLE, AIR_FIGURES_WITH_REPLICAS = 19, 25, 27
"""Direction, device, session, kind, number of its device's frame; when the cloud last spoke to who
sends it (0: never); when it was sent, when it arrives by its own link alone and how much of that is
travelling; its bytes, and who is behind it in its connection. While it crosses: what is left of it,
bits times 10⁻⁹, its rate, and its neighbours among those who cross. Of what goes down: position,
the select that it comes from, and the cloud's times of it. Where anything may fail, of whatever is
under way: round, epoch of its session, how long the frame took that it answers, and who comes next
of its device and direction; where drafts are under way, tokens of the text that a DRAFT makes or
rows of ROWS, and the version of what is no DRAFT, whose round says it. Where replicas may fail, of
what goes up: to which one, and to which of its lives."""

# Of something that devices share.
HUB_BPS, HUB_FIFO, HUB_NOW, HUB_FIRST, HUB_FLOWS, HUB_TURN, HUB_UNTIL, HUB_MEMBERS = range(8)
HUB_FIGURES = 8
"""Its rate (0: no limit), 1 if it serves first in, first out; when what crosses was last looked at,
the first who does, how many do, and how often that changed; when it is free; and scratch."""

# Of a device: counts.
WINDOW, THRESHOLD, ROUND_PACKETS, FRAMES, ROOM = range(5)
NARROW_STRIDE = 5
"""Of a direction: see ``netsim.tcp.STATE``; frames sent; twice the room in the packet sent last,
and 1 more once something was lost."""
NUMBER, KIND, SESSION, NEXT, SEQUENCE, PENDING, POSITION, ROUND = range(10, 18)
HELD = PENDING
SLOT, HELD_APART = 18, 19
TAIL, CROSSING, RADIO = 20, 22, 23
NARROW_FIGURES, NARROW_FIGURES_WITH_EVICTION, NARROW_FIGURES_WITH_AIR = 18, 20, 24
"""Number in the whole fleet; class; which of its sessions it is in, -1 before the first; who is
behind it in the cloud's queue; its place among all that became ready; tokens that are not in the
cache, or, while a token is refined and there are none, where its stages of round 0 are held;
position; and the newest refinement round. Where sessions are evicted also: 1 more than the first of
its rows of the line, and where its stages are held, since its tokens may lose their cache meanwhile
(pending is -1 while it is in the queue of those who asked for MORE). Where devices share something
also: rows of the frames that it sent last in either direction and that have not crossed (plus 1, 0
for none), of the first that it is still to send up, and its radio cell, -1 for none."""

# Of a device whose steering pauses.
GATE_CLOSED, GATE_RUN, OWN_TOKEN, READS, READ_NS, WORKED_NS, UNREAD, READ_TOKENS = range(8)
GATE_FIGURES = 8
"""1 if the gate is closed, and sure tokens in a row; 1 if the token told last is the cloud's own. 1
while the small model runs, and how long this run takes in all; runs that ended since the last
token; tokens that came meanwhile; tokens of the text that it has read or is reading."""

# Of a device whose cloud drafts for it.
GUESSED, RIGHT_GUESSES, READ_BESIDE = range(3)
GUESS_FIGURES = 3
"""1 more than the drafts at the end of its text, -1 while they are being made, 0 for nobody asked;
how many of them are right, from the first; tokens that a small model which drafts has in its cache,
as far as they are the text's."""

# Where anything may fail, of a device (D) or of a session at the cloud, which have rows behind them
# (S): counts and times.
(
    (OWNER, QUEUED, AWAY, OVER, SESSIONS, EPOCH),
    (ASKING, RECEIVED, SOLO, TURN, CHOOSING, HOLDS, REPEATS, TRIES),
    (QUESTION, QUESTION_BYTES, QUESTION_POSITION, QUESTION_ROUND),
    (UP_FIRST, UP_LAST, DOWN_FIRST, DOWN_LAST, EARLY),
    (QUESTION_COUNT, AWAITED_ROUND, AWAITED_AT),
) = (
    (24, 25, 26, 27, 28, 29),
    (30, 31, 32, 33, 34, 35, 36, 37),
    (38, 39, 40, 41),
    (42, 43, 44, 45, 46),
    (47, 48, 49),
)
NARROW_FIGURES_WITH_TROUBLE = 50
"""The device whose session it is, itself of a device (D, S); 1 more than the queue that it is in, 1
while its device has the word, 1 while it is over and in a step (S); the first of its sessions (D)
or the next one of its device (S), plus 1; epoch (D, S). Then of a device: 1 while it is in a
request, 1 once its answer has come, 1 since it goes on alone and 2 since it has said so; what its
choices under way are told from earlier ones by; the row of the answer that it chooses from, plus 1;
1 while it holds stages; frames sent again for this token, and waits that are over; the frame that
asked last, plus 1, its bytes, position and round; rows of frames under way, the first and the last
in either direction, and of what came before its turn, plus 1. Of one that drafts: tokens of the
text that the frame makes which asked last, and the round that is waited for, plus 1, and of which
position."""

SERVED, HOME, OWN_REPLICA, HOMELESS, TAKEN_NOW, GUIDE_READ, AGAIN = range(50, 57)
NARROW_FIGURES_WITH_REPLICAS = 57
"""Where a cell has several replicas: which one serves it (D, S; -1 of a row that no session has);
which one is to serve the next session, -1 for none, and which one does if all are there, -1 of a
device that has left (D); 1 while it waits for one to begin at, 2 to go on at (D); tokens that
the step under way takes of it; 1 once its second prompt is
read, and tokens of an earlier epoch that its gate has to see again (S)."""

# Of a replica: the engine's figures, by the indices of ``layout``, and behind them these.
LIFE, STEP_TURN, STEP_HEAD, UNNOTICED, HOMES, STANDS = range(ENGINE_FIGURES, ENGINE_FIGURES + 6)
REPLICA_FIGURES = ENGINE_FIGURES + 6
"""How often it has failed or come back, so that it is there if that is even; what tells the end of
its step from those of earlier ones; who is the first in its step; 1 more than its failure among all
that happens, until somebody has noticed it; how many devices are to be served by it; and 1 if these
take it to be there."""

SEEN, UPLINK_NS = 22, 23
DUE, TIMER_AT, IDLE_AT, AWAITED, WAITED, FORWARD_BEGAN, GAVE_UP, DECIDED = range(24, 32)
LEAVES, CONNECTED = 32, 33
WIDE_FIGURES_WITH_TROUBLE = 34
"""When the session's device was last heard or answered, and how long its frame was under way (S).
Of a device: when its wait is over, when it looks again, when its cloud does; since when it waits
for this answer, how long this token stood still before it was asked for, when its small model
began, when it gave its cloud up, when the logits of what it chooses alone are
there, when it leaves, and when its connection is there."""

# Of a row of the line of sessions that hold memory.
LINE_DEVICE, LINE_SESSION, LINE_TOKENS, LINE_OLDER, LINE_YOUNGER, LINE_NEXT = range(6)
LINE_FIGURES = 6
"""Whose it is, and which of its sessions; KV tokens that it holds; rows, each plus 1 (0: none), of
who was admitted before and after it, and of its device's next session or the next free row."""

# Of a row of the step under way.
RUNNING_NOW, MERGED, WANTED, TAKEN = range(4)
STEP_FIGURES = 4
"""A device of the step; then, of those that it may take: the device, its pending tokens, and how
many are taken."""

# Of a histogram, behind its buckets.
SUM, LEAST, MOST = BUCKETS, BUCKETS + 1, BUCKETS + 2
HISTOGRAM_FIGURES = BUCKETS + 3

# Of a class: behind ``result.CLASS_FIGURES``, see ``result.CLASS_EDGES``.
FIRST_ARRIVAL, LAST_TOKEN = len(CLASS_FIGURES), len(CLASS_FIGURES) + 1
CLASS_COLUMNS = LAST_TOKEN + 1

# Of a row of held stages: behind the stages, the row that is free after it.
HELD_NEXT = len(STAGE_NAMES)
HELD_FIGURES = HELD_NEXT + 1

# Of a sampled device.
METER, TOTAL, BOOKED = 0, 7, 14
SLOT_FIGURES = 15
"""Bytes that no token was booked with yet, and those of the request, both as of ``ByteMeter``;
streamed tokens whose bytes are booked."""

# Of a token's row; the first four tell whose it is.
ROW_DEVICE, ROW_REQUEST, ROW_POSITION, ROW_OUTCOME = range(4)
CHOSEN_AT, LATENCY, STAGES = 4, 5, 6
STAGES_END = STAGES + len(STAGE_NAMES)
BUSY, MOVED = STAGES_END, STAGES_END + 1
MOVED_FIGURES = 7
MOVED_END = MOVED + MOVED_FIGURES
DRAFTED, REFUTED, UNSENT = MOVED_END, MOVED_END + 1, MOVED_END + 2
UNSTEERED = UNSENT + 1
ROW_REPEATS = UNSTEERED + 1
ROW_REPLICA = ROW_REPEATS + 1
ROW_FIGURES = ROW_REPLICA + 1
"""Index of the device, number of its request, position, row of the outcome; instant, latency,
stages, hidden work, bytes as of ``ByteMeter``; where tokens are drafted, of drafts as in
``TokenRecord``; where steering pauses, 1 if it did; and, where something may fail, how many frames
were sent again; and the index of the replica that it is from."""

# Of a request's row.
ASKED_AT, ENDED_AT, FAILED, TOKENS, MOVED_IN_ALL, CLOSING = 2, 3, 4, 5, 6, 13
WHY, REQUEST_REPLICA = 20, 21
REQUEST_FIGURES = 22
"""After device and request: intended arrival, end, how it ended, its tokens; from here all its
bytes, and from here those after the last token; then how long its device had waited, and
the index of the replica that served it last."""
