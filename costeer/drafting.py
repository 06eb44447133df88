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

What of that is integers, and so the rules themselves, is in ``costeer.device_text``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer import device_text as text
from costeer.certificate import Choice
from costeer.critical_path import critical_path, waited_for_cloud
from costeer.draft_messages import Row, decode_rows, encode_draft, encode_version
from costeer.endpoint import Endpoint
from costeer.errors import FrameError, LocalProtocolError
from costeer.machine import (
    CloudTrace,
    Command,
    ComputeDone,
    EdgeChoose,
    EdgeDecode,
    EdgeForward,
    EdgeSteer,
    Emit,
    FrameArrived,
    Send,
    Span,
    Start,
)
from costeer.messages import Frame, FrameKind
from costeer.methods import Prompt
from costeer.pacing import Pacer, most_drafts
from costeer.session import own_prompts
from costeer.token_record import STAGES, TokenRecord

if TYPE_CHECKING:
    from costeer.patience import Awaited
    from costeer.session import SessionSpec

_NO_TRACE = CloudTrace(0, 0, 0, 0)


class DraftingSession(Endpoint):
    """One steered session with drafts; see the module's table."""

    __slots__ = ("_branch", "_choices", "_pacer", "_rows", "_sizes", "_state", "_theta")

    def __init__(self, spec: SessionSpec) -> None:
        """Make a session that waits for ``Start``.

        Raises:
            LocalProtocolError: its tokens are already chosen, all of them, or it does not draft.
        """
        super().__init__(spec)
        speculation = spec.speculation
        if speculation is None or not (spec.method.steered or spec.method.verified):
            raise LocalProtocolError(f"session {spec.session}: {spec.method.name} drafts nothing")
        self._theta = speculation.theta
        self._branch = int(speculation.draft == "personal")
        self._pacer = Pacer(speculation)
        window = text.window_of(most_drafts(speculation))
        self._state = [0] * text.size_of(window)
        plan = self._pacer.plan()
        text.lay(
            self._state, window, plan.drafts, plan.ahead, spec.max_new_tokens, len(spec.chosen), 0
        )
        # Of open positions: what came and was not decoded, and what was steered last.
        self._rows: dict[int, Row] = {}
        self._sizes: dict[int, tuple[int, ...]] = {}
        self._choices: dict[int, Choice] = {}

    def _on_start(self, event: Start, now_ns: int) -> list[Command]:
        self._state[text.ASKED_NS] = now_ns
        return super()._on_start(event, now_ns)

    def _token(self, position: int) -> int:
        """Return a token of the text that is not accepted, or the newest that is."""
        return self._state[text.slot_of(self._state, position) + text.TOKEN]

    # ------------------------------------------------------------------ deciding: rows

    def _take(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        if frame.kind is not FrameKind.ROWS:
            raise self._uncalled_for(frame)
        body = decode_rows(frame.body)
        state = self._state
        if body.version < state[text.BRANCH]:
            return []  # of a text that held a draft refuted since
        last = frame.position + len(body.rows) - 1
        if body.version > state[text.VERSION] or last > state[text.TOLD]:
            raise FrameError(
                f"ROWS: version {body.version} with logits up to position {last}, the cloud was"
                f" told version {state[text.VERSION]} with {state[text.TOLD]} tokens"
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
        state = self._state
        if position < self._position:
            return
        if row.draft_logit is not None and position >= state[text.TOLD]:
            raise FrameError(f"ROWS: a drafted token's logit, position {position} has no draft")
        kept = text.keep(state, position, round_, version, now_ns)
        if kept == text.UNWANTED:
            return
        self._rows[position] = row
        earlier = self._sizes.get(position, ()) if kept == text.REFINED else ()
        self._sizes[position] = (*earlier, len(row.payload))
        if kept == text.FRESH:
            way = event.trace or _NO_TRACE
            text.trace(
                state,
                position,
                way.uplink_ns,
                way.queue_ns,
                way.compute_ns,
                way.select_ns,
                event.transit_ns,
            )
            if text.end_exchange(state, version):
                self._pacer.exchanged(
                    now_ns - state[text.ASKED_NS], pipelined=bool(state[text.ASKED_BEHIND])
                )

    def _decide(self, now_ns: int) -> list[Command]:
        """Decode or steer the first position that can be, unless one is being so already."""
        state = self._state
        look = text.next_look(state, now_ns)
        if look == text.NOTHING:
            return []
        position = state[text.DECIDING]
        round_ = state[text.slot_of(state, position) + text.ROUND]
        if look == text.DECODE:
            row = self._rows.pop(position)
            draft = None if row.draft_logit is None else (self._token(position), row.draft_logit)
            session = self._spec.session
            return [
                self._ask(EdgeDecode(session, position, round_, row.payload, self._position, draft))
            ]
        take = self._take_unsteered(position)
        return [self._ask(EdgeSteer(self._spec.session, position, round_, take))]

    def _take_unsteered(self, position: int) -> tuple[int, float] | None:
        """Return the draft that the lossy rule may take, and θ."""
        state = self._state
        if self._theta is None or position >= min(state[text.TOLD], state[text.LENGTH]):
            return None
        return self._token(position), self._theta

    # ------------------------------------------------------------------ computations

    def _on_computed(self, event: ComputeDone, now_ns: int) -> list[Command]:
        op = event.op
        if isinstance(op, EdgeForward):
            return self._on_forward(event, now_ns)
        if isinstance(op, EdgeDecode):
            text.end_decode(self._state, event.duration_ns)
            return self._decide(now_ns)
        if not isinstance(event.value, Choice):
            raise LocalProtocolError(
                f"session {self._spec.session}: {op} gave {event.value!r}, not a choice"
            )
        if isinstance(op, EdgeChoose):
            return self._on_draft(event.value.token, now_ns)
        if not isinstance(op, EdgeSteer):
            raise LocalProtocolError(f"session {self._spec.session}: asked for no {op}")
        return self._on_choice(op.position, op.round + 1, event.value, now_ns)

    def _on_choice(self, position: int, more: int, choice: Choice, now_ns: int) -> list[Command]:
        state = self._state
        stands = choice.certified or choice.final or not self._spec.ladder.has(more)
        text.end_steer(state, choice.token, int(stands), now_ns)
        self._choices[position] = choice
        commands: list[Command] = []
        if not stands:
            commands.append(self._refine(position))
        while text.is_decided(state) and not self._finished:
            commands += self._accept(now_ns)
        if self._finished:
            return commands
        plan = self._pacer.plan()
        state[text.DRAFTS], state[text.AHEAD] = plan.drafts, plan.ahead
        return commands + self._draft_on() + self._tell(now_ns) + self._decide(now_ns)

    def _refine(self, position: int) -> Send:
        at = text.slot_of(self._state, position)
        body = encode_version(self._state[at + text.OF_VERSION])
        return self._send(FrameKind.REFINE, position, self._state[at + text.ROUND], body)

    # ------------------------------------------------------------------ deciding: tokens

    def _accept(self, now_ns: int) -> list[Command]:
        spec, state = self._spec, self._state
        position = self._position
        choice = self._choices[position]
        verdict = text.verdict(state)
        refuted: tuple[int, ...] = ()
        unsent = 0
        if verdict != text.UNDRAFTED:
            self._pacer.judged(right=verdict == text.RIGHT)
        if verdict == text.WRONG:
            told = text.refuted_told(state)
            refuted = tuple(self._token(position + each) for each in range(told))
            unsent = state[text.LENGTH] - position - told
        stages_ns = [0] * len(STAGES)
        stages_ns[0] = self._waited_ns
        text.lay_stages(state, now_ns, stages_ns)
        path_ns = critical_path(now_ns - self._since_ns, tuple(stages_ns[:-1]))
        record = TokenRecord(
            spec.session,
            position,
            choice.token,
            now_ns - self._since_ns,
            waited_for_cloud(path_ns) if self._repeats else path_ns,
            state[text.BUSY_NS],
            state[text.slot_of(state, position) + text.ROUND],
            choice.certified,
            choice.margin,
            verdict == text.RIGHT and position < state[text.TOLD],
            refuted,
            unsent,
            repeats=self._repeats,
            payload_bytes=self._sizes.pop(position) if spec.method.steered else (),
        )
        commands: list[Command] = [Emit(record)]
        if choice.token in spec.eos:
            return commands + self._end("eos", failed=False, tell=True)
        if position + 1 == spec.max_new_tokens:
            return commands + self._end("length", failed=False, tell=True)
        text.accept(state)
        if verdict == text.RIGHT:
            del self._choices[position]
        else:
            self._choices.clear()
            self._sizes.clear()
            if refuted:
                self._rows.clear()
        self._next_position(now_ns)
        return commands

    # ------------------------------------------------------------------ a cloud that is silent

    def _awaited(self) -> Awaited | None:
        round_ = text.awaited_round(self._state)
        return None if round_ < 0 else (self._position, round_)

    def _again(self) -> list[Send]:
        # A DRAFT holds all that the cloud was told since it last sent something.
        state = self._state
        window = range(self._position, self._position + state[text.WINDOW])
        refines = [self._refine(each) for each in window if text.is_asked(state, each)]
        return super()._again() + refines

    def _cached(self) -> tuple[list[int], tuple[int, ...]]:
        spec, state, position = self._spec, self._state, self._position
        read = min(state[text.READ], position)
        starts = [len(spec.branch_prompt(branch)) + read for branch in spec.method.edge_branches]
        if state[text.READ] == position and not state[text.STALE]:
            return starts, ()
        # At most the newest token was not run. Where drafts were, it is run once more.
        before = (*spec.branch_prompt(Prompt.PERSONAL), *spec.chosen)
        newest = before[-1] if position == len(spec.chosen) else self._token(position - 1)
        personal = spec.method.edge_branches.index(Prompt.PERSONAL)
        starts[personal] = len(spec.branch_prompt(Prompt.PERSONAL)) + position - 1
        return starts, (newest,)

    # ------------------------------------------------------------------ drafting

    def _on_forward(self, event: ComputeDone, now_ns: int) -> list[Command]:
        state = self._state
        if state[text.KNOWN] >= len(self._spec.chosen):  # the first run is the prompt's
            self._pacer.drafted(event.duration_ns)
        text.end_run(state, event.duration_ns)
        return self._draft_on() + self._tell(now_ns) + self._decide(now_ns)

    def _on_draft(self, token: int, now_ns: int) -> list[Command]:
        text.end_draft(self._state, token, int(token in self._spec.eos))
        return self._draft_on() + self._tell(now_ns)

    def _draft_on(self) -> list[Command]:
        """Run the text's next token, or propose one, unless the small model is busy."""
        state = self._state
        work = text.next_work(state)
        if work == text.RUN:
            token = self._token(state[text.READ] - 1)
            return [self._forward(((token,),) * len(self._spec.method.edge_branches))]
        if work == text.DRAFT:
            return [self._ask(EdgeChoose(self._spec.session, state[text.READ], self._branch))]
        return []

    def _forward(self, tokens: tuple[tuple[int, ...], ...]) -> Command:
        read = self._state[text.READ]
        spec = self._spec
        lengths = [len(spec.branch_prompt(branch)) for branch in spec.method.edge_branches]
        starts = tuple(
            length + read - len(run) for length, run in zip(lengths, tokens, strict=True)
        )
        prompts = () if any(starts) else own_prompts(self._spec)
        span = Span(read, 1, self._position)
        return self._ask(EdgeForward(spec.session, tokens, starts, span, prompts))

    # ------------------------------------------------------------------ telling

    def _tell(self, now_ns: int) -> list[Command]:
        """Send what the cloud does not know of the text, if it is time to."""
        count = text.tell(self._state, self._since_ns, now_ns)
        if not count:
            return []
        newest = self._position - 1
        body = encode_draft([self._token(newest + each) for each in range(count)])
        return [self._send(FrameKind.DRAFT, newest, self._state[text.VERSION], body)]
