"""What an operation costs in simulated time: operations in, nanoseconds out.

The figures come from ``netsim.hardware``; this only says which figure belongs to which operation.
Forwards are charged as the models that the scenario names; everything that touches logits is
charged at the vocabulary that is really there, since its bytes are real too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from costeer.errors import ConfigError, LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudOp,
    EdgeChoose,
    EdgeDecode,
    EdgeDelta,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
)
from costeer.proposal import CloudDraft
from costeer.refinement import Ladder
from netsim.hardware.calibrated import Calibrated
from netsim.hardware.cost import CostModel
from netsim.hardware.fixed import Fixed
from netsim.hardware.roofline import ForwardTerms, Roofline


class Costs:
    """Charges operations to the cloud's and the devices' hardware."""

    def __init__(
        self,
        cloud: CostModel,
        edges: Mapping[str, CostModel],
        ladder: Ladder,
        *,
        changed: bool = False,
        beside: CostModel | None = None,
        ahead: tuple[int, int] = (0, 0),
    ) -> None:
        """Take one cost model for the cloud and one per device class.

        Args:
            cloud: the replica's.
            edges: by name of the device class.
            ladder: says how many logits each round carries.
            changed: whether declared factors changed what the models say; told as their origin.
            beside: the small model that drafts at the cloud; None: drafts are looked up, and cost
                nothing.
            ahead: how many tokens a device of another vocabulary looks ahead, and rows of each
                branch that it reads for it: as if every look were worth it.
        """
        self._ahead = ahead
        self._changed = changed
        self._beside = beside
        self._cloud = cloud
        self._edges = dict(edges)
        self._vocab_size = ladder.vocab_size
        self._ladder = ladder
        self._decode_ns: dict[tuple[str, int], int] = {}
        self._sparse_ns: dict[tuple[str, int], int] = {}
        self._delta_ns = {
            name: model.steer_ns(self._vocab_size) for name, model in self._edges.items()
        }
        self._choose_ns = {
            name: model.choose_ns(self._vocab_size) for name, model in self._edges.items()
        }

    @property
    def origin(self) -> str:
        """How the figures came about, of both sides where they differ."""
        origins = {self._cloud.origin, *(model.origin for model in self._edges.values())}
        return " + ".join(sorted(origins)) + (" × declared" if self._changed else "")

    @property
    def cloud_variation(self) -> tuple[int, ...]:
        """How much the replica's forwards of one shape differ; empty if they do not."""
        return self._cloud.forward_variation

    def beside_terms(self, rows: int) -> tuple[ForwardTerms, tuple[int, ...], list[int]] | None:
        """Return what rules the small model that drafts at the cloud; None where none does.

        Args:
            rows: below so many.

        Returns:
            What rules its forwards, as of ``forward_terms``; their grid, as of ``forward_grids``;
            and what choosing costs, by rows.

        Raises:
            ConfigError: a model of another kind.
        """
        model = self._beside
        if model is None:
            return None
        choose_ns = [model.choose_ns(self._vocab_size, each) for each in range(1, rows)]
        return _terms(model), _grid(model), [0, *choose_ns]

    def cloud_ns(self, op: CloudOp) -> int:
        """Return what an operation costs the replica."""
        model = self._cloud
        if isinstance(op, CloudDraft):
            return self._drafting_ns(op)
        if isinstance(op, CloudForward):
            guided = [row for row in op.rows if row.guide]
            return model.forward_ns(
                [len(row.tokens) for row in op.rows] + [len(row.guide) for row in guided],
                [row.start for row in op.rows] + [row.guide_start for row in guided],
            )
        # Where the row says whether its token is chosen or sent, both are charged.
        chosen = len(op.choose) + sum(1 for item in op.encode if item.unless)
        cost_ns = model.choose_ns(self._vocab_size, chosen) if chosen else 0
        # Rows of the same ranks are one batch; a dense row among sparse ones is charged alone.
        for (first, last), rows in Counter(
            (item.first_rank, item.last_rank) for item in op.encode
        ).items():
            cost_ns += self._send_ns(rows, first, last)
        return cost_ns

    def _drafting_ns(self, op: CloudDraft) -> int:
        """Return what drafting costs: a forward for each draft, of all items that want so many."""
        model, cost_ns = self._beside, 0
        if model is None:
            return 0
        for depth in range(max(item.count for item in op.items)):
            items = [item for item in op.items if item.count > depth]
            starts = [len(item.tokens) + depth - 1 if depth else item.read for item in items]
            new = [1 if depth else len(item.tokens) - item.read for item in items]
            cost_ns += model.forward_ns(new, starts)
            cost_ns += model.choose_ns(self._vocab_size, len(items))
        return cost_ns

    def cloud_round_ns(self, round_: int, rows: int) -> int:
        """Return what it costs the replica to select and encode one round for so many rows."""
        return self.cloud_send_ns(rows, *self._ladder.ranks(round_))

    def round_ranks(self, round_: int) -> tuple[int, int]:
        """Return the ranks [first, last) of a round."""
        return self._ladder.ranks(round_)

    def cloud_send_ns(self, rows: int, first_rank: int, last_rank: int) -> int:
        """Return what it costs the replica to select and encode these ranks of so many rows."""
        return self._send_ns(rows, first_rank, last_rank) if rows else 0

    def cloud_choose_ns(self, rows: int) -> int:
        """Return what it costs the replica to choose so many rows' tokens."""
        return self._cloud.choose_ns(self._vocab_size, rows) if rows else 0

    def forward_terms(self) -> tuple[ForwardTerms, dict[str, ForwardTerms]]:
        """Return what rules forwards as plain numbers: the replica's, and each device class's.

        A model that is interpolated between measured points has a grid instead of them.

        Raises:
            ConfigError: a model of another kind.
        """
        plain = {name: _terms(model) for name, model in self._edges.items()}
        return _terms(self._cloud), plain

    def forward_grids(self) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]]]:
        """Return the grids that forwards are interpolated in; empty where there is none."""
        return _grid(self._cloud), {name: _grid(model) for name, model in self._edges.items()}

    def _send_ns(self, rows: int, first_rank: int, last_rank: int) -> int:
        model = self._cloud
        selected_ns = model.select_ns(rows, self._vocab_size, last_rank)
        return selected_ns + model.encode_ns(rows, last_rank - first_rank)

    def edge_ns(self, op: EdgeOp, device_class: str) -> int:
        """Return what an operation costs a device.

        Raises:
            LocalProtocolError: not an operation of a device.
        """
        if isinstance(op, EdgeForward):
            return self._edge_forward_ns(self._edges[device_class], op)
        if isinstance(op, EdgeSteer):
            return self._steering_ns(op, device_class)
        if isinstance(op, EdgeDelta):
            sorted_ns = self._choose_ns[device_class] if op.sorted else 0
            return self._delta_ns[device_class] + sorted_ns
        if isinstance(op, EdgeChoose):
            return self._choose_ns[device_class]
        if isinstance(op, EdgeDecode):
            key = (device_class, op.round)
            cost_ns = self._decode_ns.get(key)
            if cost_ns is None:
                first, last = self._ladder.ranks(op.round)
                cost_ns = self._edges[device_class].decode_ns(last - first)
                self._decode_ns[key] = cost_ns
            return cost_ns
        raise LocalProtocolError(f"no operation of a device: {op!r}")

    def _steering_ns(self, op: EdgeSteer, device_class: str) -> int:
        """Return what is left to do once logits and small model are there."""
        delta_ns = 0 if op.prepared else self._delta_ns[device_class]
        if not op.sparse:
            return delta_ns + self._choose_ns[device_class]
        key = (device_class, op.round)
        cost_ns = self._sparse_ns.get(key)
        if cost_ns is None:
            known = self._ladder.ranks(op.round)[1]
            cost_ns = self._sparse_ns[key] = self._edges[device_class].choose_ns(known)
        return delta_ns + cost_ns

    def _edge_forward_ns(self, model: CostModel, op: EdgeForward) -> int:
        # A branch that stands still costs nothing.
        new_tokens, contexts = [], []
        for run, start in zip(op.tokens, op.starts, strict=True):
            if run:
                new_tokens.append(len(run))
                contexts.append(start)
        cost_ns = model.forward_ns(new_tokens, contexts)
        deepest, width = self._ahead
        if deepest:
            ends = [start + new for new, start in zip(new_tokens, contexts, strict=True)]
            for depth in range(1, deepest + 1):
                cost_ns += model.forward_ns([depth] * (width * len(ends)), ends * width)
        return cost_ns


def _terms(model: CostModel) -> ForwardTerms:
    if isinstance(model, Fixed | Roofline):
        return model.terms
    if isinstance(model, Calibrated):
        return Fixed().terms
    raise ConfigError(
        f"timing: way: fleet knows no plain rule for forwards of {model.name}; choose way: virtual"
    )


def _grid(model: CostModel) -> tuple[int, ...]:
    return model.grid if isinstance(model, Calibrated) else ()
