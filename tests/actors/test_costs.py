"""Which figure belongs to which operation."""

from __future__ import annotations

from typing import Any

import pytest

from actors.costs import Costs
from costeer.errors import LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudRow,
    CloudSelect,
    EdgeChoose,
    EdgeDecode,
    EdgeForward,
    EdgeSteer,
    EncodeItem,
    Release,
)
from costeer.refinement import Ladder, RefineConfig
from netsim.hardware import Fixed, Roofline, hardware_named, shape_named
from tests.actors.fleets import VOCAB

LADDER = Ladder(8, VOCAB, RefineConfig(growth=4, max_rounds=2))


class Asked(Fixed):
    """Remembers what it was asked; every answer is a number of its own."""

    def __init__(self, origin: str = "declared") -> None:
        super().__init__(select=10, encode=200, decode=3_000, steer=40_000, choose=500_000)
        object.__setattr__(self, "asked", [])
        object.__setattr__(self, "from_where", origin)

    @property
    def origin(self) -> str:
        origin: str = vars(self)["from_where"]
        return origin

    def note(self, *what: object) -> None:
        vars(self)["asked"].append(what)

    def taken(self) -> list[Any]:
        asked: list[Any] = vars(self)["asked"][:]
        vars(self)["asked"].clear()
        return asked

    def forward_ns(self, new_tokens: Any, contexts: Any) -> int:
        self.note("forward", list(new_tokens), list(contexts))
        return 1

    def select_ns(self, rows: int, vocab_size: int, k: int) -> int:
        self.note("select", rows, vocab_size, k)
        return super().select_ns(rows, vocab_size, k)

    def encode_ns(self, rows: int, values: int) -> int:
        self.note("encode", rows, values)
        return super().encode_ns(rows, values)

    def decode_ns(self, values: int) -> int:
        self.note("decode", values)
        return super().decode_ns(values)


@pytest.fixture
def cloud() -> Asked:
    return Asked()


@pytest.fixture
def edge() -> Asked:
    return Asked("roofline")


@pytest.fixture
def costs(cloud: Asked, edge: Asked) -> Costs:
    return Costs(cloud, {"phone": edge, "box": Fixed(forward=9)}, LADDER)


def test_a_cloud_forward_is_charged_row_by_row(costs: Costs, cloud: Asked) -> None:
    op = CloudForward((CloudRow(0, (1, 2, 3), 0), CloudRow(4, (1,), 17)))
    assert costs.cloud_ns(op) == 1
    assert cloud.taken() == [("forward", [3, 1], [0, 17])]


def test_selecting_and_choosing_are_charged_apart(costs: Costs, cloud: Asked) -> None:
    encode = (EncodeItem(0, 5, 0, 8), EncodeItem(1, 2, 8, 32), EncodeItem(2, 9, 0, 8))
    assert costs.cloud_ns(CloudSelect(encode, ())) == 2 * 210
    # Rows of the same ranks are charged together.
    assert cloud.taken() == [
        ("select", 2, VOCAB, 8),
        ("encode", 2, 8),
        ("select", 1, VOCAB, 32),
        ("encode", 1, 24),
    ]
    assert costs.cloud_ns(CloudSelect((), ((0, 1), (3, 4)))) == 2 * 500_000
    assert costs.cloud_ns(CloudSelect(encode[:2], ((3, 4),))) == 2 * 210 + 500_000


def test_a_dense_row_does_not_make_its_neighbours_dear() -> None:
    model = Roofline(hardware_named("h100"), shape_named("qwen2.5-7b"))
    size = 151_936
    charged = Costs(model, {}, Ladder(64, size, RefineConfig()))
    sparse = tuple(EncodeItem(session, 0, 0, 64) for session in range(63))
    dense = (EncodeItem(63, 0, 0, size),)
    together_ns = charged.cloud_ns(CloudSelect(sparse + dense, ()))
    apart_ns = charged.cloud_ns(CloudSelect(sparse, ())) + charged.cloud_ns(CloudSelect(dense, ()))
    assert together_ns == apart_ns


def test_a_device_is_charged_its_own_rows(costs: Costs, edge: Asked) -> None:
    both = EdgeForward(0, ((1, 2), (1, 2, 3)), (0, 0))
    assert costs.edge_ns(both, "phone") == 1
    assert edge.taken() == [("forward", [2, 3], [0, 0])]
    assert costs.edge_ns(both, "box") == 9


def test_a_decode_is_charged_the_ranks_of_its_round(costs: Costs, edge: Asked) -> None:
    for round_, values in [(0, 8), (1, 24), (2, VOCAB - 32)]:
        for _ in range(2):
            assert costs.edge_ns(EdgeDecode(0, 0, round_, b""), "phone") == 3_000
        assert edge.taken() == [("decode", values)]
    assert costs.edge_ns(EdgeDecode(0, 0, 0, b""), "box") == 0


def test_steering_includes_the_choice(costs: Costs) -> None:
    assert costs.edge_ns(EdgeSteer(0, 0, 0), "phone") == 540_000
    assert costs.edge_ns(EdgeChoose(0, 0), "phone") == 500_000
    wrong: Any = Release(0)
    with pytest.raises(LocalProtocolError, match="no operation of a device"):
        costs.edge_ns(wrong, "phone")


def test_origins_are_told_of_both_sides(costs: Costs) -> None:
    assert costs.origin == "declared + roofline"
    alone = Roofline(hardware_named("h100"), shape_named("qwen2.5-7b"))
    assert Costs(alone, {"phone": alone}, LADDER).origin == "roofline"
