"""The device's half of a session with drafts, as a machine without I/O.

Theory of operation
-------------------
``costeer.speculation`` says what is exchanged. The device has a text: what it chose, and behind
that the drafts of its small model. Three things go on side by side:

* *Drafting.* The small model runs the text's next token, then proposes the one behind it, as long
  as drafts are wanted. It is one processor: a run for a text that was rewritten meanwhile ends in
  vain, and only then the next begins.
* *Telling.* What was chosen or drafted since goes up in a DRAFT: when the verdict on the one before
  is there and enough is drafted or, pipelined, as soon as a choice or enough drafts are news to
  the cloud.
* *Deciding.* Rows of logits come down. They are decoded and steered one at a time, in the order of
  their positions and no further than choices and drafts agree. A choice that is not certified asks
  for more ranks (REFINE) while the rows behind it are looked at already; tokens are accepted in
  order, each once it is decided. The first that is not the draft takes its place and voids
  everything behind it: drafts, rows, and what is still to come for them.

========  ===========================  ============================================================
part      event                        then
========  ===========================  ============================================================
drafting  forward done                 forward of the next token | draft | rest
drafting  token drafted                forward of it; telling
drafting  done, text rewritten         forward of what replaced it
deciding  ROWS, of the text as it is   kept
deciding  row and small model there    decode, steer
deciding  choice, not certified        REFINE | accept at the ladder's end
deciding  oldest choice decided        record; next position | CLOSE and finish
deciding  it is not the draft          text rewritten; drafting and telling anew
telling   row of position 0 decided    the cloud is known to have the session: DRAFT may go up
========  ===========================  ============================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer.certificate import Choice
from costeer.critical_path import critical_path
from costeer.draft_messages import Row, decode_rows, encode_draft, encode_version
from costeer.endpoint import Endpoint
from costeer.errors import FrameError, LocalProtocolError
from costeer.machine import (
    Command,
    ComputeDone,
    EdgeChoose,
    EdgeDecode,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    Emit,
    FrameArrived,
    Span,
    Start,
    TokenRecord,
)
from costeer.messages import Frame, FrameKind
from costeer.open_position import NO_TRACE, OpenPosition
from costeer.pacing import Pacer

if TYPE_CHECKING:
    from costeer.session import SessionSpec


class DraftingSession(Endpoint):
    """One steered session with drafts; see the module's table."""

    __slots__ = (
        "_asked",
        "_branch",
        "_branch_since",
        "_busy_ns",
        "_deciding",
        "_draft_ns",
        "_drafting",
        "_drafts_ended",
        "_in_vain",
        "_known_to",
        "_pacer",
        "_plan",
        "_positions",
        "_read",
        "_stale",
        "_text",
        "_theta",
        "_told",
        "_version",
    )

    def __init__(self, spec: SessionSpec) -> None:
        """Make a session that waits for ``Start``.

        Raises:
            LocalProtocolError: its tokens are already chosen, all of them, or it does not draft.
        """
        super().__init__(spec)
        speculation = spec.speculation
        if speculation is None or not spec.method.steered:
            raise LocalProtocolError(f"session {spec.session}: {spec.method.name} drafts nothing")
        self._theta = speculation.theta
        self._pacer = Pacer(speculation)
        self._plan = self._pacer.plan()
        self._branch = int(speculation.draft == "personal")
        # The text: tokens chosen before `_position`, drafts from there on.
        self._text = list(spec.chosen)
        self._drafts_ended = False
        # Telling: the cloud holds the text up to `_told`; versions from `_branch_since` on agree
        # with the text; what drafting took before each version went up.
        self._told = self._position
        self._version = 0
        self._branch_since = 0
        self._draft_ns = {0: 0}
        # OPEN, or the newest DRAFT that told of a choice: version, when it went up, whether rows
        # of a refuted text were still to come.
        self._asked: tuple[int, int, bool] | None = None
        self._in_vain = False
        # Drafting: tokens of the text that are run, or about to be; Δ is there up to `_known_to`.
        self._read = self._position
        self._known_to = self._position - 1
        self._drafting: EdgeOp | None = None
        self._stale = False
        self._busy_ns = 0
        # Deciding.
        self._positions: dict[int, OpenPosition] = {}
        self._deciding: int | None = None

    def _on_start(self, event: Start, now_ns: int) -> list[Command]:
        self._asked = (0, now_ns, False)  # a first idea of an exchange, prompt included
        return super()._on_start(event, now_ns)

    # ------------------------------------------------------------------ deciding: rows

    def _take(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        if frame.kind is not FrameKind.ROWS:
            raise self._uncalled_for(frame)
        body = decode_rows(frame.body)
        if body.version < self._branch_since:
            return []  # of a text that held a draft refuted since
        last = frame.position + len(body.rows) - 1
        if body.version > self._version or last > self._told:
            raise FrameError(
                f"ROWS: version {body.version} with logits up to position {last}, the cloud was"
                f" told version {self._version} with {self._told} tokens"
            )
        for position, row in enumerate(body.rows, start=frame.position):
            self._keep(position, frame.round, body.version, row, event, now_ns)
        return self._decide(now_ns)

    def _keep(
        self,
        position: int,
        round_: int,
        version: int,
        row: Row,
        event: FrameArrived,
        now_ns: int,
    ) -> None:
        """Keep a row that is wanted; others are repeated or late."""
        if position < self._position:
            return
        if row.draft_logit is not None and position >= self._told:
            raise FrameError(f"ROWS: a drafted token's logit, position {position} has no draft")
        known = self._positions.get(position)
        if known is None and round_ == 0:
            trace = event.trace or NO_TRACE
            known = OpenPosition(version, now_ns, event.transit_ns, trace, waiting=row)
            self._positions[position] = known
            if self._asked is not None and self._asked[0] == version:
                _, asked_ns, in_vain = self._asked
                self._pacer.exchanged(now_ns - asked_ns, pipelined=in_vain)
                self._asked = None
        elif (
            known is not None and known.asked and (known.version, known.round) == (version, round_)
        ):
            known.asked = False
            known.waiting = row

    def _decide(self, now_ns: int) -> list[Command]:
        """Decode or steer the first position that can be, unless one is being so already."""
        position = self._position
        while self._deciding is None:
            known = self._positions.get(position)
            if known is None:
                return []
            if known.waiting is not None:
                self._deciding = position
                return [self._decode(position, known, known.waiting)]
            if known.decoded:
                if position > self._known_to:
                    return []
                if known.round == 0:
                    known.steer_from_ns = now_ns
                self._deciding = position
                take = self._take_unsteered(position)
                return [self._ask(EdgeSteer(self._spec.session, position, known.round, take))]
            if known.choice is None or [known.choice.token] != self._text[position : position + 1]:
                return []
            position += 1
        return []

    def _take_unsteered(self, position: int) -> tuple[int, float] | None:
        """Return the draft that the lossy rule may take, and θ."""
        if self._theta is None or position >= min(self._told, len(self._text)):
            return None
        return self._text[position], self._theta

    def _decode(self, position: int, known: OpenPosition, row: Row) -> Command:
        known.waiting = None
        draft = None if row.draft_logit is None else (self._text[position], row.draft_logit)
        op = EdgeDecode(
            self._spec.session, position, known.round, row.payload, self._position, draft
        )
        return self._ask(op)

    # ------------------------------------------------------------------ computations

    def _on_computed(self, event: ComputeDone, now_ns: int) -> list[Command]:
        op = event.op
        if isinstance(op, EdgeForward):
            return self._on_forward(event, now_ns)
        if isinstance(op, EdgeDecode):
            known = self._positions[op.position]
            known.decoded = True
            if op.round == 0:
                known.decode_ns = event.duration_ns
            self._deciding = None
            return self._decide(now_ns)
        if not isinstance(event.value, Choice):
            raise LocalProtocolError(
                f"session {self._spec.session}: {op} gave {event.value!r}, not a choice"
            )
        if isinstance(op, EdgeChoose):
            return self._on_draft(event.value.token, now_ns)
        if not isinstance(op, EdgeSteer):
            raise LocalProtocolError(f"session {self._spec.session}: asked for no {op}")
        return self._on_choice(op.position, event.value, now_ns)

    def _on_choice(self, position: int, choice: Choice, now_ns: int) -> list[Command]:
        self._deciding = None
        known = self._positions[position]
        known.decoded = False
        known.choice = choice
        if known.round == 0:
            known.chosen_ns = now_ns
        more = known.round + 1
        commands: list[Command] = []
        if choice.certified or choice.final or not self._spec.ladder.has(more):
            known.decided = choice
        else:
            known.round, known.asked = more, True
            commands.append(
                self._send(FrameKind.REFINE, position, more, encode_version(known.version))
            )
        oldest = self._positions.get(self._position)
        while oldest is not None and oldest.decided is not None and not self._finished:
            commands += self._accept(oldest, oldest.decided, now_ns)
            oldest = self._positions.get(self._position)
        if self._finished:
            return commands
        self._plan = self._pacer.plan()
        return commands + self._draft_on() + self._tell(now_ns) + self._decide(now_ns)

    # ------------------------------------------------------------------ deciding: tokens

    def _accept(self, known: OpenPosition, choice: Choice, now_ns: int) -> list[Command]:
        spec = self._spec
        position, token = self._position, choice.token
        drafts = self._text[position:]
        drafted = bool(drafts) and drafts[0] == token
        refuted: tuple[int, ...] = ()
        unsent = 0
        if drafts:
            self._pacer.judged(right=drafted)
        if drafts and not drafted:
            refuted = tuple(drafts[: max(0, self._told - position)])
            unsent = len(drafts) - len(refuted)
        record = TokenRecord(
            spec.session,
            position,
            token,
            now_ns - self._since_ns,
            critical_path(now_ns - self._since_ns, self._stages(known, now_ns)),
            self._busy_ns,
            known.round,
            choice.certified,
            choice.margin,
            drafted and position < self._told,
            refuted,
            unsent,
        )
        self._busy_ns = 0
        commands: list[Command] = [Emit(record)]
        if token in spec.eos:
            return commands + self._end("eos", failed=False, tell=True)
        if position + 1 == spec.max_new_tokens:
            return commands + self._end("length", failed=False, tell=True)
        del self._positions[position]
        self._position += 1
        self._since_ns = now_ns
        self._waited_ns = 0
        if not drafted:
            self._rewrite(position, token)
        return commands

    def _rewrite(self, position: int, token: int) -> None:
        """Put a chosen token in the place of the drafts, if there are any."""
        self._text[position:] = [token]
        self._drafts_ended = False
        if self._told > position:
            self._in_vain = self._told not in self._positions
            self._told = position
            self._branch_since = self._version + 1
            self._positions.clear()
            self._draft_ns.clear()
        if self._read > position or isinstance(self._drafting, EdgeChoose):
            self._stale = self._drafting is not None
        self._read = min(self._read, position)
        self._known_to = min(self._known_to, position)

    def _stages(self, known: OpenPosition, now_ns: int) -> tuple[int, ...]:
        draft_ns = self._draft_ns[known.version]
        return (self._waited_ns, draft_ns, *known.stages_ns(now_ns))

    # ------------------------------------------------------------------ drafting

    def _on_forward(self, event: ComputeDone, now_ns: int) -> list[Command]:
        self._busy_ns += event.duration_ns
        if self._known_to >= len(self._spec.chosen):  # the first run is the prompt's
            self._pacer.drafted(event.duration_ns)
        if self._rest():
            self._known_to = self._read
        return self._draft_on() + self._tell(now_ns) + self._decide(now_ns)

    def _on_draft(self, token: int, now_ns: int) -> list[Command]:
        if self._rest():
            if token in self._spec.eos:
                self._drafts_ended = True
            else:
                self._text.append(token)
        return self._draft_on() + self._tell(now_ns)

    def _rest(self) -> bool:
        """The small model is done; return whether what it did is of the text as it is."""
        fresh = not self._stale
        self._drafting, self._stale = None, False
        return fresh

    def _draft_on(self) -> list[Command]:
        """Run the text's next token, or propose one, unless the small model is busy."""
        if self._drafting is not None:
            return []
        if self._read < len(self._text):
            token = self._text[self._read]
            self._read += 1
            return [self._forward(((token,),) * len(self._spec.method.edge_branches))]
        if self._wants_drafts:
            self._drafting = EdgeChoose(self._spec.session, self._read, self._branch)
            return [self._ask(self._drafting)]
        return []

    def _forward(self, tokens: tuple[tuple[int, ...], ...]) -> Command:
        prompts = [len(self._spec.prompt(branch)) for branch in self._spec.method.edge_branches]
        starts = tuple(
            prompt + self._read - len(run) for prompt, run in zip(prompts, tokens, strict=True)
        )
        span = Span(self._read, 1, self._position)
        self._drafting = EdgeForward(self._spec.session, tokens, starts, span)
        return self._ask(self._drafting)

    @property
    def _wants_drafts(self) -> bool:
        """Whether one more draft could be of use."""
        plan = self._plan
        drafts = len(self._text) - self._position
        room = len(self._text) < self._spec.max_new_tokens - 1
        verdict = self._position > self._told or not self._version
        return (
            not self._drafts_ended
            and room
            and drafts < max(plan.drafts, plan.ahead)
            and (plan.ahead > 0 or verdict)
        )

    # ------------------------------------------------------------------ telling

    def _tell(self, now_ns: int) -> list[Command]:
        """Send what the cloud does not know of the text, if it is time to."""
        met = self._position > len(self._spec.chosen)
        if not met or self._told == len(self._text):
            return []
        chosen = self._position > self._told
        untold = len(self._text) - max(self._position, self._told)
        enough = untold >= self._plan.drafts or not self._wants_drafts
        if not (chosen or enough if self._plan.ahead else chosen and enough):
            return []
        self._told = len(self._text)
        self._version += 1
        if chosen:
            self._asked = (self._version, now_ns, self._in_vain)
            self._in_vain = False
        self._draft_ns[self._version] = now_ns - self._since_ns
        newest = self._position - 1
        body = encode_draft(self._text[newest:])
        return [self._send(FrameKind.DRAFT, newest, self._version, body)]
