"""The small model's values, from a real model; its rules are those of ``actors.values.hosted``.

Legend: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from actors.models.numerics import Numerics
from actors.models.options import HostOptions
from actors.values.aligned import Aligner, AlignmentSpec, Looked
from actors.values.hosted import NEWEST, PLAIN, ModelHost, kept
from actors.values.port import ArmSpec
from actors.values.shadow import Shadow
from actors.values.steering_host import Steerer
from actors.values.waves import waves_of
from actors.values.witness import Witnessed
from costeer.errors import LocalProtocolError
from costeer.machine import (
    EdgeChoose,
    EdgeDecode,
    EdgeDelta,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    Release,
)
from costeer.methods import CloudRole
from costeer.steering import delta, log_softmax

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

_NO_ROW: F32 = np.empty(0, dtype=np.float32)
"""Stands where a branch has had no forward."""


class ModelEdgeHost(ModelHost):
    """The small model of one shard, for all its devices: a sequence is one branch of one device.

    Where its vocabulary is not the cloud's, arms that have a cloud are in the cloud's ids all the
    same, and an ``Aligner`` stands between; other arms are in its own ids.
    """

    def __init__(
        self,
        path: str,
        numerics: Numerics,
        *,
        vocab_size: int | None = None,
        max_context: int | None = None,
        options: HostOptions = PLAIN,
        shadow: Shadow | None = None,
        alignment: AlignmentSpec | None = None,
    ) -> None:
        """Host a model as ``ModelHost`` does.

        Args:
            path: as there.
            numerics: as there.
            vocab_size: as there: of the small model's own vocabulary.
            max_context: as there.
            options: as there.
            shadow: as there.
            alignment: how Δ comes to the cloud's vocabulary; None where the two are one.

        Raises:
            ConfigError: the model cannot be hosted, or the vocabularies not be aligned.
        """
        super().__init__(
            path,
            numerics,
            vocab_size=vocab_size,
            max_context=max_context,
            options=options,
            shadow=shadow,
        )
        self._aligner: Aligner | None = None
        if alignment is not None:
            self._aligner = Aligner(alignment, path, self._sequences.model.vocab_size)

    def _forget(self) -> None:
        self._rows: dict[int, list[F32]] = {}
        self._deltas: dict[int, dict[int, F64]] = {}
        self._bases: dict[int, dict[int, F32]] = {}
        self._looked: dict[int, dict[int, Looked]] = {}
        self._steered = self._contrasts = self._translates = False
        self._at_once = True
        self._steerer: Steerer | None = None

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec; return the vocabulary's size."""
        self._sequences.release_all()
        self._forget()
        self._steered = arm.method.steered
        self._contrasts = arm.method.contrasts
        self._at_once = arm.overlap is None
        size = own_size = self._sequences.model.vocab_size
        self._translates = False
        if self._aligner is not None:
            self._aligner.forget_all()
            self._translates = arm.method.cloud is not CloudRole.ABSENT
            size = self._aligner.vocab_size
        self._steerer = Steerer(arm, size if self._translates else own_size, self._shadow)
        return size

    def execute(self, ops: Sequence[EdgeOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        if self._steerer is None:
            raise LocalProtocolError("edge host: an operation before begin_arm")
        values: list[object] = [None] * len(ops)
        for wave in waves_of(ops):
            if wave.forwards:
                self._forward([op for _, op in wave.forwards])
            for place, op in wave.others:
                values[place] = self._execute(op, self._steerer)
        return values

    def take_witnessed(self) -> list[Witnessed]:
        """Return what was kept of the arm's witnessed sessions, and forget it."""
        return self._steerer.witness.take() if self._steerer is not None else []

    def _execute(self, op: EdgeOp | Release, steerer: Steerer) -> object:
        if isinstance(op, EdgeDecode):
            steerer.decode(op)
            return None
        if isinstance(op, EdgeDelta):
            steerer.prepare(op, self.delta(op.session, op.position))
            return None
        if isinstance(op, EdgeSteer):
            base_V = self._bases.get(op.session, {}).get(op.position)
            return steerer.steer(op, self.delta(op.session, op.position), base_V)
        if isinstance(op, EdgeChoose):
            return steerer.choose(op.session, op.position, self._newest(op.session, op.branch))
        self._sequences.release(op.session)
        self._rows.pop(op.session, None)
        self._deltas.pop(op.session, None)
        self._bases.pop(op.session, None)
        self._looked.pop(op.session, None)
        if self._aligner is not None:
            self._aligner.forget(op.session)
        steerer.forget(op.session)
        return None

    def _forward(self, ops: list[EdgeForward]) -> None:
        own = ops
        if self._aligner is not None and self._translates:
            own = [self._aligner.own_forward(op) for op in ops]
        self._run(own)
        for op in ops:
            self._looked.pop(op.session, None)
        if self._steered:
            # Not where an answer is finished alone: its public branch is of another text by then,
            # and looking ahead would read it in vain.
            ready = [
                op
                for op in ops
                if self._complete(op.session) and (all(op.tokens) or not self._translates)
            ]
            if self._at_once and ready:
                self._steer_from(ready)
            for op in ops if not self._at_once else ():
                self._deltas.pop(op.session, None)

    def _run(self, ops: list[EdgeForward]) -> None:
        """Run forwards that are in the model's own ids; keep the newest row of each branch."""
        slots: list[int] = []
        starts: list[int] = []
        runs: list[tuple[int, ...]] = []
        owners: list[tuple[int, int]] = []
        for op in ops:
            taken = self._sequences.slots(op.session, len(op.tokens))
            self._rows.setdefault(op.session, [_NO_ROW] * len(taken))
            for branch, (slot, start, run) in enumerate(
                zip(taken, op.starts, op.tokens, strict=True)
            ):
                if run:
                    slots.append(slot)
                    starts.append(start)
                    runs.append(run)
                    owners.append((op.session, branch))
        if not slots:
            return
        logits_BV = self._sequences.model.forward(slots, starts, runs)
        for (session, branch), logits_V in zip(owners, logits_BV, strict=True):
            # A copy, so that a silent session does not keep its whole batch alive.
            self._rows[session][branch] = logits_V.copy()

    def _steer_from(self, ops: list[EdgeForward]) -> None:
        """Compute Δ of every session's newest rows, in float64 on the values of the grid."""
        if self._aligner is not None or self._contrasts:
            for op in ops:
                self._keep(op, self._newest_delta(op.session))
            return
        base_BV = np.stack([self._rows[op.session][0] for op in ops])
        pers_BV = np.stack([self._rows[op.session][1] for op in ops])
        delta_BV = delta(pers_BV.astype(np.float64), base_BV.astype(np.float64))
        for op, delta_V in zip(ops, delta_BV, strict=True):
            self._keep(op, delta_V.copy())

    def _keep(self, op: EdgeForward, delta_V: F64) -> None:
        """Keep Δ of the position behind a forward and, of a drafting session, the public row."""
        earlier = self._deltas.get(op.session, {})
        self._deltas[op.session] = kept(earlier, op.span, [delta_V])
        if op.span is not None:
            bases = self._bases.get(op.session, {})
            row_V = self._newest(op.session, 0)
            self._bases[op.session] = kept(bases, op.span, [row_V])

    def delta(self, session: int, position: int) -> F64:
        """Return Δ at a position, over the cloud's vocabulary.

        Raises:
            LocalProtocolError: there was no forward for it.
        """
        if not self._at_once and session not in self._deltas and self._complete(session):
            self._deltas[session] = {NEWEST: self._newest_delta(session)}
        deltas = self._deltas.get(session, {})
        delta_V = deltas.get(position, deltas.get(NEWEST))
        if delta_V is None:
            raise LocalProtocolError(f"session {session}: steered before both branches' forward")
        return delta_V

    def _newest_delta(self, session: int) -> F64:
        """Compute Δ from a session's newest rows, over the cloud's vocabulary."""
        if self._aligner is not None:
            looked = self._look(session, range(len(self._rows[session])))
            return (
                self._aligner.against(*looked) if self._contrasts else self._aligner.delta(*looked)
            )
        if self._contrasts:
            (row_V,) = self._rows[session]
            against_V: F64 = -log_softmax(row_V.astype(np.float64))
            return against_V
        base_V, pers_V = self._rows[session]
        delta_V: F64 = delta(pers_V.astype(np.float64), base_V.astype(np.float64))
        return delta_V

    def _complete(self, session: int) -> bool:
        return all(row is not _NO_ROW for row in self._rows.get(session, [_NO_ROW]))

    def _newest(self, session: int, branch: int) -> F32:
        rows = self._rows.get(session)
        if rows is None or rows[branch] is _NO_ROW:
            raise LocalProtocolError(f"session {session}: a choice before its branch's forward")
        if self._aligner is not None and self._translates:
            (looked,) = self._look(session, (branch,))
            return self._aligner.choices(looked).astype(np.float32)
        return rows[branch]

    def _look(self, session: int, branches: Sequence[int]) -> list[Looked]:
        """Return rows of a session's newest text, looked ahead from once for whoever asks."""
        known = self._looked.setdefault(session, {})
        if self._aligner is not None and not all(branch in known for branch in branches):
            rows = self._rows[session]
            slots = self._sequences.slots(session, len(rows))
            found = self._aligner.look(
                self._sequences.model,
                [slots[branch] for branch in branches],
                [rows[branch] for branch in branches],
            )
            known.update(zip(branches, found, strict=True))
        return [known[branch] for branch in branches]
