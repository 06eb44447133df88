"""From the links and the hardware of a cell's classes to the tables that rule their devices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from actors.costs import Costs
from actors.fleet.array_types import Array
from actors.fleet.cell import CellPlan
from costeer.errors import ConfigError
from costeer.machine import EdgeChoose, EdgeDecode, EdgeDelta, EdgeSteer
from costeer.overlap import OverlapConfig
from netsim.hardware.roofline import ForwardTerms
from netsim.link import Link
from netsim.profiles import LinkProfile, drawn
from netsim.trace import RateTrace
from netsim.transport import Congestion, time_out_ns

_WAY_OUT = "choose way: virtual"


class Plain:
    """All traces and grids of a cell, one after the other, each once."""

    def __init__(self) -> None:
        self.numbers: list[int] = [0]
        self._known: dict[RateTrace, int] = {}
        self._grids: dict[tuple[int, ...], int] = {}

    @property
    def traced(self) -> bool:
        """Whether any link follows a trace."""
        return bool(self._known)

    def place_grid(self, grid: tuple[int, ...]) -> int:
        """Return where a grid begins; 0 where there is none."""
        if not grid:
            return 0
        at = self._grids.setdefault(grid, len(self.numbers))
        if at == len(self.numbers):
            self.numbers += grid
        return at

    def place(self, trace: RateTrace) -> int:
        """Return where a trace begins.

        Raises:
            ConfigError: it carries nothing for longer than a message waits.
        """
        trace = trace.starting_at(0)
        if trace not in self._known:
            if trace.outage_ns(0, 2 * trace.period_ns) is not None:
                raise ConfigError(
                    f"link trace {trace.name}: carries nothing for over"
                    f" {trace.max_wait_ns / 1e9:g} s at a time, longer than a message waits; allow"
                    f" it to wait longer, take another trace, or {_WAY_OUT}"
                )
            self._known[trace] = len(self.numbers)
            self.numbers += (*trace.bounds_us, *trace.carried, *trace.rates_bps)
        return self._known[trace]


class ClassLink:
    """The link of a class: rows of both directions, and its transport's figures."""

    def __init__(self, profile: LinkProfile, plain: Plain) -> None:
        """Lay out a link.

        Args:
            profile: it.
            plain: where its traces lie.
        """
        alike = drawn(replace(profile, spread=None), 0, 0)
        link = Link(alike.down, alike.up, seed=0, device=0, transport=alike.transport)
        self.setup_ns = link.setup_ns
        self.wire = alike.transport.wire.terms
        paced = alike.transport.congestion is Congestion.PACED
        self.ways: list[tuple[int, ...]] = []
        self.odds: list[tuple[float, float]] = []
        states = (link.down_state, link.up_state)
        for way, tcp, state in zip((link.down, link.up), link.tcp_terms, states, strict=True):
            bursts, trace = way.bursts, way.trace
            own_terms = (*tcp[:6], int(paced), *tcp[7:])
            self.ways.append(
                (
                    way.rate_bps,
                    way.propagation_ns,
                    way.jitter_ns,
                    *(tcp if profile.spread is None else own_terms),
                    way.buffer_bytes,
                    self.wire[0] + self.wire[1],
                    0 if trace is None else plain.place(trace),
                    0 if trace is None else len(trace.rates_bps),
                    0 if bursts is None else bursts.gap_ns,
                    0 if bursts is None else bursts.burst_ns,
                    state.flow[3],
                    int(paced),
                )
            )
            self.odds.append((way.loss, way.loss if bursts is None else bursts.loss))


def kinds_of(
    cell: CellPlan,
    links: list[ClassLink],
    edge_terms: dict[str, ForwardTerms],
    grids: dict[str, int],
    costs: Costs,
    rounds: int,
    overlap: OverlapConfig | None = None,
) -> Array:
    """Return the row of each class; ``rounds`` is 0 where nothing is steered."""
    rows = []
    prepared, sparse = overlap is not None and overlap.delta, overlap is not None and overlap.sparse
    steers = [EdgeSteer(0, 0, each, None, prepared, sparse) for each in range(rounds)]
    overlapped: list[EdgeDelta | EdgeSteer] = []
    if overlap is not None:
        overlapped = [EdgeDelta(0, 0, sparse), *steers]
    for index, (each, link) in enumerate(zip(cell.classes, links, strict=True)):
        own = each.link.spread is not None
        time_out, added = _time_out(cell, index, each.link) if own else (0, 0)
        choice = EdgeSteer(0, 0, 0) if rounds else EdgeChoose(0, 0)
        steer_ns = costs.edge_ns(choice, each.device_class)
        rows.append(
            (
                link.setup_ns,
                steer_ns,
                int(own),
                time_out,
                added,
                *link.wire,
                *edge_terms[each.device_class],
                *(figure for way in link.ways for figure in way),
                grids[each.device_class],
                costs.edge_ns(EdgeChoose(0, 0), each.device_class),
                *(
                    costs.edge_ns(EdgeDecode(0, 0, round_, b""), each.device_class)
                    for round_ in range(rounds)
                ),
                *(costs.edge_ns(op, each.device_class) for op in overlapped),
            )
        )
    return np.array(rows, np.int64)


def _time_out(cell: CellPlan, index: int, profile: LinkProfile) -> tuple[int, int]:
    """Return a class's retransmission time-out, and whether the round trip comes on top."""
    mine = np.asarray(cell.class_D) == index
    if not mine.any():
        return 0, 0
    delay_ns, rtt_ns = cell.figures.loss_delay_ns_D[mine], cell.figures.rtt_ns_D[mine]
    if (delay_ns == 0).all():
        return time_out_ns(0, profile.down.jitter_ns + profile.up.jitter_ns), 1
    if (delay_ns == delay_ns[0]).all():
        return int(delay_ns[0]), 0
    beyond_ns = delay_ns - rtt_ns
    if not (beyond_ns == beyond_ns[0]).all():
        raise ConfigError(
            f"link {profile.name}: devices differ in their time-outs beyond the round trip, which"
            f" way: fleet does not know; {_WAY_OUT}"
        )
    return int(beyond_ns[0]), 1


def own_of(cell: CellPlan, plain: Plain) -> Array:
    """Return what each device's link has of its own; one row where no class says so."""
    of = cell.figures
    columns = [of.down_bps_D, of.up_bps_D, of.rtt_ns_D]
    if plain.traced:
        columns.append(of.offset_ns_D)
    elif all(each.link.spread is None for each in cell.classes):
        return np.zeros((1, len(columns)), np.int64)
    return np.stack(columns, axis=1).astype(np.int64)
