from dataclasses import replace

import numba
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.errors import NetsimError
from netsim.hardware import (
    HARDWARE,
    SHAPES,
    CostModel,
    Fixed,
    ModelShape,
    Roofline,
    hardware_named,
    shape_named,
)
from netsim.hardware.calibrated import Calibrated, Linear
from netsim.hardware.roofline import roofline_ns
from tests.netsim.measured import made_of

MS = 1_000_000
FLAT = Linear(base_ns=1000, per_value_ns=0.5)


def calibrated() -> Calibrated:
    return made_of(
        (
            (batch, new, context, 1000 * batch * new + 10 * batch * context)
            for batch in (1, 4, 16)
            for new in (1, 8, 64)
            for context in (0, 100, 1000)
        ),
        FLAT,
        kv_bytes_per_token=100,
        kv_tokens=5000,
    )


COSTS: dict[str, CostModel] = {
    "roofline cloud": Roofline(hardware_named("h100"), shape_named("qwen2.5-7b")),
    "roofline edge": Roofline(hardware_named("orin-nano"), shape_named("qwen2.5-1.5b")),
    "calibrated": calibrated(),
    "fixed": Fixed(forward=5, forward_per_row=2, select=3, steer=4),
}
row = st.tuples(st.integers(1, 64), st.integers(0, 1000))


@pytest.mark.parametrize("name", COSTS)
class TestEveryCostModel:
    @given(rows=st.lists(row, min_size=1, max_size=8), grow=st.integers(0, 7), more=row)
    def test_a_forward_costs_no_less_when_a_row_grows(
        self, name: str, rows: list[tuple[int, int]], grow: int, more: tuple[int, int]
    ) -> None:
        cost = COSTS[name]
        grow %= len(rows)
        larger = list(rows)
        larger[grow] = (
            min(64, rows[grow][0] + more[0]),
            min(1000, rows[grow][1] + more[1]),
        )
        small = cost.forward_ns([new for new, _ in rows], [held for _, held in rows])
        large = cost.forward_ns([new for new, _ in larger], [held for _, held in larger])
        assert type(small) is int
        assert 0 <= small <= large

    @given(a=st.integers(1, 200_000), b=st.integers(1, 200_000), rows=st.integers(1, 64))
    def test_the_rest_grows_with_what_it_handles(
        self, name: str, a: int, b: int, rows: int
    ) -> None:
        cost = COSTS[name]
        low, high = sorted((a, b))
        for small, large in (
            (cost.encode_ns(rows, low), cost.encode_ns(rows, high)),
            (cost.encode_ns(1, low), cost.encode_ns(rows, low)),
            (cost.decode_ns(low), cost.decode_ns(high)),
            (cost.steer_ns(low), cost.steer_ns(high)),
            (cost.steer_ns(low), cost.steer_ns(low, iterations=20)),
            (cost.choose_ns(low), cost.choose_ns(high)),
            (cost.select_ns(1, high, 64), cost.select_ns(rows, high, 64)),
        ):
            assert type(small) is int
            assert 0 <= small <= large

    def test_it_says_what_it_is(self, name: str) -> None:
        cost = COSTS[name]
        assert cost.origin in {"roofline", "calibrated", "declared"}
        assert cost.name
        assert cost.kv_bytes_per_token > 0
        assert cost.kv_capacity_tokens() > 0

    @pytest.mark.parametrize(("new", "held"), [([], []), ([1], [1, 2]), ([0], [1]), ([1], [-1])])
    def test_what_is_no_batch_raises(self, name: str, new: list[int], held: list[int]) -> None:
        with pytest.raises(NetsimError, match="forward: "):
            COSTS[name].forward_ns(new, held)


class TestShapes:
    @pytest.mark.parametrize(
        ("name", "published", "kv_bytes"),
        [
            ("qwen2.5-0.5b", 494_032_768, 12_288),
            ("qwen2.5-1.5b", 1_543_714_304, 28_672),
            ("qwen2.5-7b", 7_615_616_512, 57_344),
            ("qwen2.5-32b", 32_763_876_352, 262_144),
            ("qwen3-8b", 8_190_735_360, 147_456),
            ("qwen3-1.7b", 1_720_574_976, 114_688),
            ("llama-3.1-8b", 8_030_261_248, 131_072),
            ("llama-3.2-1b", 1_235_814_400, 32_768),
        ],
    )
    def test_counted_parameters_are_the_published_ones(
        self, name: str, published: int, kv_bytes: int
    ) -> None:
        assert SHAPES[name].parameters == published
        assert SHAPES[name].kv_bytes_per_token == kv_bytes

    def test_bad_shapes(self) -> None:
        good = shape_named("qwen2.5-0.5b")
        with pytest.raises(NetsimError, match="layers = 0"):
            replace(good, layers=0)
        with pytest.raises(NetsimError, match="fewer than its embeddings"):
            replace(good, parameters=1000)
        with pytest.raises(NetsimError, match=r"did you mean 'qwen2\.5-7b'"):
            shape_named("qwen2-7b")

    def test_one_of_ones_own(self) -> None:
        shape = ModelShape.of_decoder(
            "pair/llm",
            layers=6,
            hidden=256,
            intermediate=704,
            heads=8,
            kv_heads=2,
            head_dim=32,
            vocab=4096,
            tied=True,
            qkv_bias=True,
        )
        assert shape.block_parameters + 4096 * 256 == shape.parameters
        assert Roofline(hardware_named("laptop-cpu"), shape).forward_ns([1], [0]) > 0


class TestRoofline:
    def test_decode_of_the_papers_model(self) -> None:
        """Paper: 41.9 ms per vanilla token, 7B in an eager loop; the floor is the weights."""
        h100, shape = hardware_named("h100"), shape_named("qwen2.5-7b")
        floor_ms = shape.read_bytes / h100.memory_bandwidth * 1e3
        decode_ms = Roofline(h100, shape).forward_ns([1], [500]) / MS
        assert floor_ms == pytest.approx(4.2, rel=0.02)
        assert floor_ms < decode_ms < 1.5 * floor_ms
        eager = Roofline(replace(h100, launch_ns=1_220_000), shape)
        assert eager.forward_ns([1], [500]) / MS == pytest.approx(41.9, rel=0.01)

    def test_batching_is_nearly_free_until_compute_rules(self) -> None:
        cost = COSTS["roofline cloud"]
        one, many = cost.forward_ns([1], [100]), cost.forward_ns([1] * 64, [100] * 64)
        assert many < 1.1 * one
        assert cost.forward_ns([4096], [0]) > 10 * one

    @given(chunks=st.lists(st.integers(1, 2048), min_size=1, max_size=5))
    def test_chunks_of_a_prefill_compute_what_the_whole_does(self, chunks: list[int]) -> None:
        # With free memory, free launches and one position of output: only operations count.
        hardware = replace(
            hardware_named("h100"), memory_bandwidth=10**18, memory_bytes=10**12, launch_ns=0
        )
        shape = replace(
            shape_named("qwen2.5-7b"), vocab=1, parameters=shape_named("qwen2.5-7b").parameters
        )
        cost = Roofline(hardware, shape)
        held, parts = 0, 0
        for chunk in chunks:
            parts += cost.forward_ns([chunk], [held])
            held += chunk
        assert parts == pytest.approx(cost.forward_ns([held], [0]), abs=10 * len(chunks))

    def test_codec_costs_are_the_measured_ones(self) -> None:
        cost = COSTS["roofline cloud"]
        assert 36_000 <= cost.encode_ns(1, 64) <= 37_000
        assert 73_000 <= cost.encode_ns(1, 1024) <= 75_000
        assert 4_500 <= cost.decode_ns(64) <= 5_500
        assert cost.encode_ns(1, 151_936) < 300_000  # dense is a copy
        assert cost.encode_ns(17, 64) == 2 * cost.encode_ns(16, 64)  # sixteen cores

    def test_dense_needs_no_selection(self) -> None:
        cost = COSTS["roofline cloud"]
        assert cost.select_ns(64, 151_936, 151_936) > cost.select_ns(1, 151_936, 151_936)

    def test_weights_that_do_not_fit(self) -> None:
        with pytest.raises(NetsimError, match=r"needs 15\.2 GB, orin-nano has"):
            Roofline(hardware_named("orin-nano"), shape_named("qwen2.5-7b"))
        small = replace(shape_named("qwen2.5-7b"), bytes_per_weight=0.5)
        assert Roofline(hardware_named("orin-nano"), small).kv_capacity_tokens() > 0

    def test_kv_capacity(self) -> None:
        cost = Roofline(hardware_named("h100"), shape_named("qwen2.5-7b"))
        assert cost.kv_capacity_tokens() == (72 * 10**9 - 2 * 7_615_616_512) // 57_344

    def test_two_models_share_the_memory(self) -> None:
        large, small = (
            Roofline(hardware_named("h100"), shape_named(name))
            for name in ("qwen2.5-7b", "qwen2.5-1.5b")
        )
        room_bytes = 72 * 10**9 - large.shape.weight_bytes - small.shape.weight_bytes
        token_bytes = 57_344 + small.kv_bytes_per_token
        assert large.kv_capacity_tokens(small) == room_bytes // token_bytes
        assert large.kv_capacity_tokens(small) < large.kv_capacity_tokens()

    def test_every_device_runs_the_smallest_model(self) -> None:
        for hardware in HARDWARE.values():
            cost = Roofline(hardware, shape_named("qwen2.5-0.5b"))
            assert 0 < cost.forward_ns([1, 1], [200, 0]) < 100 * MS
            assert hardware.source

    def test_bad_hardware(self) -> None:
        good = hardware_named("l4")
        with pytest.raises(NetsimError, match="peak_flops = 0"):
            replace(good, peak_flops=0)
        with pytest.raises(NetsimError, match=r"memory_efficiency = 80.*share"):
            replace(good, memory_efficiency=80)
        with pytest.raises(NetsimError, match="launch_ns = -1"):
            replace(good, launch_ns=-1)
        with pytest.raises(NetsimError, match="unknown hardware 'h10': did you mean 'h100'"):
            hardware_named("h10")

    def test_the_scalar_compiles_and_agrees(self) -> None:
        for args in ((10**15, 10**10, 10**6, 10**6, 5), (1, 10**12, 593_400_000, 2_680_000, 0)):
            assert numba.njit()(roofline_ns)(*args) == roofline_ns(*args)


class TestCalibrated:
    def test_measured_points_come_back(self) -> None:
        cost = calibrated()
        for batch in (1, 4, 16):
            for new in (1, 8, 64):
                for held in (0, 100, 1000):
                    measured = 1000 * batch * new + 10 * batch * held
                    assert cost.forward_ns([new] * batch, [held] * batch) == measured

    def test_between_beyond_and_below(self) -> None:
        cost = calibrated()
        assert cost.forward_ns([1] * 10, [50] * 10) == 10 * 1000 + 10 * 10 * 50
        assert cost.forward_ns([1] * 32, [2000] * 32) == 32 * 1000 + 10 * 32 * 2000
        assert cost.forward_ns([1, 15], [0, 200]) == 1000 * 16 + 10 * 200

    def test_json_round_trip(self) -> None:
        cost = calibrated()
        assert Calibrated.from_json(cost.to_json(), "x.json") == cost
        assert cost.name == "made on up"

    def test_dents_are_noise(self) -> None:
        points = [(1, 1, 0, 100), (2, 1, 0, 90), (4, 1, 0, 120)]
        base = calibrated()
        dented = made_of(
            points,
            FLAT,
            kv_bytes_per_token=base.kv_bytes_per_token,
            kv_tokens=base.kv_tokens,
        )
        assert [dented.forward_ns([1] * n, [0] * n) for n in (1, 2, 3, 4)] == [100, 100, 110, 120]

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (('"version": 1', '"version": 2'), "version"),
            (('"host": "up"', '"hots": "up"'), "host"),
            (('"kv_tokens": 5000', '"kv_tokens": -1'), "kv_tokens"),
            (("16", "4"), "must ascend"),
            (("{", "["), "x.json"),
        ],
    )
    def test_bad_files(self, change: tuple[str, str], says: str) -> None:
        text = calibrated().to_json().replace(*change, 1)
        with pytest.raises(NetsimError, match=says) as caught:
            Calibrated.from_json(text, "x.json")
        assert str(caught.value).startswith("x.json: ")
        assert "\n" not in str(caught.value)

    def test_a_hole_in_the_grid(self) -> None:
        points = [(1, 1, 0, 100), (2, 1, 5, 90)]
        with pytest.raises(NetsimError, match=r"no measurement at .* = \(1, 1, 5\)"):
            made_of(
                points,
                FLAT,
            )

    def test_lines(self) -> None:
        line = Linear.through([(0, 10), (100, 210)])
        assert (line.base_ns, line.per_value_ns) == pytest.approx((10, 2))
        assert line.at(50) == 110
        assert Linear.through([(5, 30), (5, 50)]).at(1) == 40
        assert Linear.through([(0, 50), (10, 0)]).per_value_ns == 0
        with pytest.raises(NetsimError, match="no points"):
            Linear.through([])


def test_factors_multiply_every_cost_and_the_compiled_terms_agree() -> None:
    hardware, shape = hardware_named("phone-npu"), shape_named("qwen2.5-1.5b")
    usual, slower = Roofline(hardware, shape), Roofline(hardware, shape, forward=2.0, logits=3.0)
    for rows in ([1], [1, 1, 7], [300]):
        held = [5] * len(rows)
        assert slower.forward_ns(rows, held) == pytest.approx(
            2 * usual.forward_ns(rows, held), rel=1e-4
        )
    for name, arguments in (
        ("select_ns", (4, 1000, 64)),
        ("select_ns", (4, 1000, 1000)),
        ("encode_ns", (4, 64)),
        ("decode_ns", (64,)),
        ("steer_ns", (1000, 2)),
        ("choose_ns", (1000, 2)),
    ):
        expected = 3 * getattr(usual, name)(*arguments)
        assert getattr(slower, name)(*arguments) == pytest.approx(expected, rel=1e-3), name
    with pytest.raises(NetsimError, match="must be positive"):
        Roofline(hardware, shape, forward=0.0)


def test_a_scaled_calibration_is_the_same_curve_times_its_factors() -> None:
    usual = calibrated()
    slower = usual.scaled(2.0, 3.0)
    assert slower.forward_ns([1, 1], [9, 9]) == pytest.approx(
        2 * usual.forward_ns([1, 1], [9, 9]), abs=2
    )
    assert slower.steer_ns(1000) == pytest.approx(3 * usual.steer_ns(1000), abs=2)
    assert usual.scaled(1.0, 1.0) == usual


def test_every_device_says_what_it_draws_and_who_says_so() -> None:
    for hardware in HARDWARE.values():
        assert hardware.power_w > 0
        assert hardware.power_source.startswith(("data sheet", "declared"))
        assert 0 < hardware.sustained_speed <= 1
