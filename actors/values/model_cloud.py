"""The large model's values, from a real model; its rules are those of ``actors.values.hosted``.

Legend: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from actors.models.numerics import Numerics
from actors.models.options import HostOptions
from actors.values.beside import Beside, BesideSpec
from actors.values.hosted import BRANCHES, NEWEST, PLAIN, ModelHost, kept
from actors.values.port import ArmSpec
from actors.values.ranking import DeviceRanker
from actors.values.shadow import Shadow
from actors.values.steering_host import Selector
from costeer.errors import LocalProtocolError
from costeer.lookup import looked_up
from costeer.machine import CloudForward, CloudOp, CloudSelect, Release, Selected
from costeer.proposal import CloudDraft

F32 = npt.NDArray[np.float32]


class ModelCloudHost(ModelHost):
    """The large model of one replica, and where an arm asks for it a small one that drafts."""

    def __init__(
        self,
        path: str,
        numerics: Numerics,
        *,
        vocab_size: int | None = None,
        max_context: int | None = None,
        options: HostOptions = PLAIN,
        shadow: Shadow | None = None,
        rank_on_device: bool = False,
        beside: BesideSpec | None = None,
    ) -> None:
        """Host a model as ``ModelHost`` does.

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
            self._rows[row.session] = kept(self._rows.get(row.session, {}), row.span, found)

    def _guided_forward(self, op: CloudForward, strength: float) -> None:
        """Run both sequences of each session; its row is (1 + λ) of the first's less λ the other's.

        λ times the difference of the two is what the context changes, by the large model itself.
        """
        guided = [row for row in op.rows if row.guide]
        slots = {row.session: self._sequences.slots(row.session, BRANCHES) for row in op.rows}
        logits_BV = self._sequences.model.forward_tensor(
            [slots[row.session][0] for row in op.rows] + [slots[row.session][1] for row in guided],
            [row.start for row in op.rows] + [row.guide_start for row in guided],
            [row.tokens for row in op.rows] + [row.guide for row in guided],
        )
        without = dict(zip([row.session for row in guided], logits_BV[len(op.rows) :], strict=True))
        for row, with_V in zip(op.rows, logits_BV, strict=False):
            without_V = without.get(row.session, with_V)
            combined_V = with_V + strength * (with_V - without_V)
            self._rows[row.session] = {NEWEST: combined_V}

    def _host_row(self, session: int, position: int) -> F32:
        row_V: F32 = self._row(session, position).cpu().numpy()
        return row_V

    def _row(self, session: int, position: int) -> torch.Tensor:
        rows = self._rows.get(session, {})
        row_V = rows.get(position, rows.get(NEWEST))
        if row_V is None:
            raise LocalProtocolError(
                f"session {session}: no logits at position {position}, it had no forward"
            )
        return row_V
