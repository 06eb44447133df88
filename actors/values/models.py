"""Values from real models: the hosts of the large model and of the small one.

Rules
-----
* One slot per sequence: a session of the cloud has one, a session of a device one per branch.
  Slots are taken by a session's first forward and freed by its release.
* The logits of a session's newest forward stay with the host until its next one; MORE ranks and
  late steering are answered from them. A drafting session's stay by position until they are older
  than what it still needs.
* With batch-invariant numerics no value depends on how operations were cut into calls. Everything
  after the forward is computed row by row or elementwise.

Legend: B rows, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from actors.models.loading import load
from actors.models.numerics import Numerics
from actors.models.options import HostOptions
from actors.values.aligned import Aligner, AlignmentSpec, Looked
from actors.values.beside import Beside, BesideSpec
from actors.values.port import ArmSpec
from actors.values.ranking import DeviceRanker
from actors.values.sequences import Sequences
from actors.values.shadow import Shadow
from actors.values.steering_host import Selector, Steerer
from actors.values.waves import waves_of
from actors.values.witness import Witnessed
from costeer.errors import LocalProtocolError
from costeer.lookup import looked_up
from costeer.machine import (
    CloudForward,
    CloudOp,
    CloudSelect,
    EdgeChoose,
    EdgeDecode,
    EdgeDelta,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    Release,
    Selected,
    Span,
)
from costeer.methods import CloudRole
from costeer.proposal import CloudDraft
from costeer.steering import delta, log_softmax

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
_Row = TypeVar("_Row")

_PLAIN = HostOptions()


class _ModelHost(ABC):
    """A hosted model and the sessions that it holds.

    Args:
        path: a local folder or a hub name.
        numerics: arithmetic.
        vocab_size: ``shared_vocab_size`` of the pair; the model's width if None.
        max_context: tokens of one sequence; the model's own limit if None.
        options: where the model lives and how its weights are kept.
        shadow: compares every choice with that from the whole row, where given.
        rank_on_device: rank a step's logits where the model is, even if that is this host; on an
            accelerator they are in any case.

    Raises:
        ConfigError: the model cannot be hosted.
    """

    def __init__(
        self,
        path: str,
        numerics: Numerics,
        *,
        vocab_size: int | None = None,
        max_context: int | None = None,
        options: HostOptions = _PLAIN,
        shadow: Shadow | None = None,
        rank_on_device: bool = False,
    ) -> None:
        self._shadow = shadow
        self._rank_on_device = rank_on_device
        model = load(
            path, numerics, vocab_size=vocab_size, max_context=max_context, options=options
        )
        self._sequences = Sequences(model)
        self._forget()

    @abstractmethod
    def _forget(self) -> None:
        """Drop what is known of sessions and of the arm."""


class ModelCloudHost(_ModelHost):
    """The large model of one replica, and where an arm asks for it a small one that drafts."""

    def __init__(
        self,
        path: str,
        numerics: Numerics,
        *,
        vocab_size: int | None = None,
        max_context: int | None = None,
        options: HostOptions = _PLAIN,
        shadow: Shadow | None = None,
        rank_on_device: bool = False,
        beside: BesideSpec | None = None,
    ) -> None:
        """Host a model as ``_ModelHost`` does.

        Args:
            path: as there.
            numerics: as there.
            vocab_size: as there.
            max_context: as there.
            options: as there.
            shadow: as there.
            rank_on_device: as there.
            beside: the small model that drafts; None where no arm asks for one.

        Raises:
            ConfigError: a model cannot be hosted.
        """
        super().__init__(
            path,
            numerics,
            vocab_size=vocab_size,
            max_context=max_context,
            options=options,
            shadow=shadow,
            rank_on_device=rank_on_device,
        )
        self._beside: Beside | None = None
        if beside is not None:
            self._beside = Beside(beside, numerics, self._sequences.model.vocab_size)

    def _forget(self) -> None:
        self._rows: dict[int, dict[int, torch.Tensor]] = {}
        self._selector: Selector | None = None
        self._ranker: DeviceRanker | None = None
        self._guided: float | None = None
        self._drafter: Beside | None = None

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec; return the vocabulary's size."""
        self._sequences.release_all()
        self._forget()
        self._guided = arm.strength if arm.method.guided else None
        if self._beside is not None:
            self._beside.begin_arm(arm)
        if arm.beside:
            self._drafter = self._beside
        model = self._sequences.model
        self._selector = Selector(arm, model.vocab_size, self._shadow)
        codec = self._selector.codec
        ranked_there = self._rank_on_device or model.on_accelerator
        # A shadow looks at whole rows, so they have to come over anyway.
        if ranked_there and self._shadow is None and DeviceRanker.suits(codec):
            self._ranker = DeviceRanker(codec)
        return model.vocab_size

    def execute(self, ops: Sequence[CloudOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        return [self._execute(op) for op in ops]

    def _execute(self, op: CloudOp | Release) -> object:
        if isinstance(op, CloudForward):
            self._forward(op)
            return None
        if isinstance(op, CloudDraft):
            return self._proposed(op)
        if isinstance(op, CloudSelect):
            if self._selector is None:
                raise LocalProtocolError("cloud host: an operation before begin_arm")
            gated = any(item.unless is not None for item in op.encode)
            if self._ranker is None or gated or not op.encode:
                return self._selector.select(op, self._host_row)
            logits_BV = torch.stack([self._row(each.session, each.position) for each in op.encode])
            ranges = [(each.first_rank, each.last_rank) for each in op.encode]
            chosen = self._selector.select(replace(op, encode=()), self._host_row)
            drafts = self._selector.draft_logits(op, self._host_row)
            return Selected(tuple(self._ranker.encode(logits_BV, ranges)), chosen.tokens, drafts)
        self._sequences.release(op.session)
        self._rows.pop(op.session, None)
        if self._drafter is not None:
            self._drafter.release(op.session)
        return None

    def _proposed(self, op: CloudDraft) -> tuple[tuple[int, ...], ...]:
        if self._drafter is not None:
            return self._drafter.propose(op.items)
        return tuple(looked_up(item.tokens, item.count) for item in op.items)

    def _forward(self, op: CloudForward) -> None:
        if self._guided is not None:
            self._guided_forward(op, self._guided)
            return
        wanted = [1 if row.span is None else row.span.count for row in op.rows]
        logits_NV = self._sequences.model.forward_tensor(
            [self._sequences.slots(row.session, 1)[0] for row in op.rows],
            [row.start for row in op.rows],
            [row.tokens for row in op.rows],
            wanted,
        )
        place = 0
        for row, count in zip(op.rows, wanted, strict=True):
            # Copies, so that a silent session does not keep its whole batch alive.
            found = [logits_V.clone() for logits_V in logits_NV[place : place + count]]
            place += count
            self._rows[row.session] = _kept(self._rows.get(row.session, {}), row.span, found)

    def _guided_forward(self, op: CloudForward, strength: float) -> None:
        """Run both sequences of each session; its row is (1 + λ) of the first's less λ the other's.

        λ times the difference of the two is what the context changes, by the large model itself.
        """
        guided = [row for row in op.rows if row.guide]
        slots = {row.session: self._sequences.slots(row.session, _BRANCHES) for row in op.rows}
        logits_BV = self._sequences.model.forward_tensor(
            [slots[row.session][0] for row in op.rows] + [slots[row.session][1] for row in guided],
            [row.start for row in op.rows] + [row.guide_start for row in guided],
            [row.tokens for row in op.rows] + [row.guide for row in guided],
        )
        without = dict(zip([row.session for row in guided], logits_BV[len(op.rows) :], strict=True))
        for row, with_V in zip(op.rows, logits_BV, strict=False):
            without_V = without.get(row.session, with_V)
            combined_V = with_V + strength * (with_V - without_V)
            self._rows[row.session] = {_NEWEST: combined_V}

    def _host_row(self, session: int, position: int) -> F32:
        row_V: F32 = self._row(session, position).cpu().numpy()
        return row_V

    def _row(self, session: int, position: int) -> torch.Tensor:
        rows = self._rows.get(session, {})
        row_V = rows.get(position, rows.get(_NEWEST))
        if row_V is None:
            raise LocalProtocolError(
                f"session {session}: no logits at position {position}, it had no forward"
            )
        return row_V


class ModelEdgeHost(_ModelHost):
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
        options: HostOptions = _PLAIN,
        shadow: Shadow | None = None,
        alignment: AlignmentSpec | None = None,
    ) -> None:
        """Host a model as ``_ModelHost`` does.

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
        self._deltas[op.session] = _kept(earlier, op.span, [delta_V])
        if op.span is not None:
            bases = self._bases.get(op.session, {})
            row_V = self._newest(op.session, 0)
            self._bases[op.session] = _kept(bases, op.span, [row_V])

    def delta(self, session: int, position: int) -> F64:
        """Return Δ at a position, over the cloud's vocabulary.

        Raises:
            LocalProtocolError: there was no forward for it.
        """
        if not self._at_once and session not in self._deltas and self._complete(session):
            self._deltas[session] = {_NEWEST: self._newest_delta(session)}
        deltas = self._deltas.get(session, {})
        delta_V = deltas.get(position, deltas.get(_NEWEST))
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


def _kept(rows: dict[int, _Row], span: Span | None, found: list[_Row]) -> dict[int, _Row]:
    """Return a session's rows after a forward: those still needed, and what it gave."""
    if span is None:
        return {_NEWEST: found[-1]}
    needed = {position: row for position, row in rows.items() if position >= span.oldest}
    return needed | dict(enumerate(found, start=span.first))


_BRANCHES = 2
"""Of a steered session: without the context, and with it."""

_NEWEST = -1
"""The key of a row that belongs to whatever position is asked for next."""

_NO_ROW: F32 = np.empty(0, dtype=np.float32)
"""Stands where a branch has had no forward."""
