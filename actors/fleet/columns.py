"""Names of the columns of a fleet's tables.

Few tables of many columns, not many columns: what a device needs lies together in memory, and
machine code that hands a hundred arrays from function to function does little else.
"""

# Of a device, fixed.
NUMBER, LINK, HARDWARE, FIRST_SESSION = range(4)
"""Its id, link class, device class, and where its sessions begin."""

# Of a session, fixed.
(
    SESSION_ID,
    OWNER,
    DUE_NS,
    PROMPT,
    NEEDS,
    OPEN_BYTES,
    FIRST_ROW,
    FIRST_OUT,
    LENGTH,
    EDGE_PROMPT,
) = range(10)
"""Its id; index of its device; when it comes (open loop) or after what pause; tokens that the
cloud is sent; KV tokens that it reserves; size of its OPEN frame; where its outcomes begin; where
its rows are written; its tokens; tokens of the small model's first branch, behind it the second."""
SESSION_FIGURES = 11

# Of an outcome, fixed.
TOKEN, ROUNDS, FIRST_PAYLOAD = range(3)
"""Its id, MOREs, and where its payloads begin."""

# Of a device, changing.
(
    SESSION,
    SINCE_NS,
    WAITED_NS,
    FORWARD_NS,
    FORWARD_DONE_NS,
    STEERED_NS,
    WAY_NS,
    BOOKED,
    TRANSIT_NS,
    CONNECTED_NS,
    PENDING,
    CACHED,
    TAKEN,
    POSITION,
    ROUND,
    UPLINK_NS,
    READY_NS,
    COMPUTE_NS,
    SEQUENCE,
) = range(19)
"""At the device: the session that it is in; when its last token was chosen; its request's wait
behind an earlier one; how long the small model's forward takes and when it ends; when round 0 was
steered; how long the streamed token before was under way; streamed tokens whose bytes are booked;
transit of the frame that goes up; when the connection is there, -1 before the first frame.

At the cloud: tokens not in the cache, and in it; pending tokens in the forward under way; position
and round; transit of the frame that is served, when it came, and forwards since; place among the
ready."""
DEVICE_FIGURES = 19

# Of a request, changing.
ARRIVAL_NS, FINISHED_NS, TOTAL = range(3)
"""When it came (-1 before), when it ended, and from here its bytes as of a meter."""
