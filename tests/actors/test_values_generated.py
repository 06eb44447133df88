from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.values.generated import GeneratedConfig, RowSource
from actors.values.rows import RowCloudHost, RowEdgeHost
from costeer.certificate import decide
from costeer.codec import CodecConfig, build_codec
from costeer.errors import ConfigError, LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudRow,
    CloudSelect,
    EdgeChoose,
    EdgeForward,
    EncodeItem,
    Release,
    Selected,
)
from costeer.sampling import Sampling
from netsim.random import Stream
from tests.actors.value_sessions import (
    Text,
    arm,
    check_broken_payloads,
    decode_alone,
    decode_steered,
    decode_streamed,
)

SMALL = GeneratedConfig(vocab_size=700)
FULL = GeneratedConfig(boosted=0)


def texts() -> list[Text]:
    return [Text(session, (1, 2), (1, 2, 3)) for session in (3, 4, 90)]


@given(
    seed=st.integers(0, 2**64 - 1),
    session=st.integers(0, 2**48 - 1),
    position=st.integers(0, 2**20),
    vocab=st.sampled_from([70, 701, 2003]),
)
@settings(max_examples=30, deadline=None)
def test_a_row_is_a_pure_function_on_the_bf16_grid(
    seed: int, session: int, position: int, vocab: int
) -> None:
    config = GeneratedConfig(vocab_size=vocab)
    one, other = RowSource(config, seed), RowSource(config, seed)
    other.logits(session + 1 & 2**48 - 1, 3)
    logits_V, delta_V = one.logits(session, position), one.delta(session, position)
    assert logits_V.shape == delta_V.shape == (vocab,)
    assert logits_V.dtype == delta_V.dtype == np.float32
    assert np.isfinite(logits_V).all()
    assert np.isfinite(delta_V).all()
    assert not np.any(logits_V.view(np.uint32) & 0xFFFF)
    np.testing.assert_array_equal(logits_V, other.logits(session, position))
    np.testing.assert_array_equal(delta_V, other.delta(session, position))


def test_rows_differ_by_seed_session_position_and_stream() -> None:
    source = RowSource(SMALL, 1)
    rows = [
        source.logits(5, 0),
        source.logits(5, 1),
        source.logits(6, 0),
        RowSource(SMALL, 2).logits(5, 0),
        source.logits(5, 0, Stream.EDGE_LOGITS),
    ]
    assert len({row.tobytes() for row in rows}) == len(rows)


def test_rounding_is_to_the_nearest_even_bf16() -> None:
    import torch

    from actors.values.generated import _on_bf16_grid

    row = np.concatenate(
        (
            np.random.default_rng(0).normal(0, 20, 1000).astype(np.float32),
            np.array([1.00390625, 1.01171875, 0.0, -1.00390625], dtype=np.float32),
        )
    )
    expected = torch.from_numpy(row.copy()).to(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(_on_bf16_grid(row.copy()), expected)


def test_rows_have_the_measured_shape() -> None:
    source = RowSource(FULL, 7)
    entropies, highest, top_ids = [], [], []
    for session in range(60):
        row_V = source.logits(session, 0).astype(np.float64)
        p_V = np.exp(row_V - row_V.max())
        p_V /= p_V.sum()
        entropies.append(float(-(p_V * np.log(p_V, where=p_V > 0, out=np.zeros_like(p_V))).sum()))
        highest.append(row_V.max())
        top_ids.append(int(row_V.argmax()))
    assert 1.2 < np.mean(entropies) < 3.2
    assert 17 < min(highest) < 20
    assert 28 < max(highest) < 31.5
    assert len(set(top_ids)) > 55


def test_delta_is_normal_to_the_tails() -> None:
    source = RowSource(FULL, 7)
    delta_BV = np.stack([source.delta(session, 0) for session in range(20)])
    assert abs(delta_BV.mean()) < 0.01
    assert delta_BV.std() == pytest.approx(1.0, abs=0.01)
    for at, share in ((1.0, 0.15866), (2.0, 0.02275), (3.0, 0.00135), (4.0, 3.167e-5)):
        expected = share * delta_BV.size
        for found in ((delta_BV > at).sum(), (delta_BV < -at).sum()):
            assert abs(found - expected) < 5 * expected**0.5
    # 64 of 65,536 table entries are refined: more values than the table has.
    assert 4.4 < delta_BV.max() < 6.5


def test_a_context_raises_plausible_tokens() -> None:
    raised = GeneratedConfig(vocab_size=5000, sigma=0.1, boosted=3, boost_nats=(5.0, 6.0))
    source = RowSource(raised, 7)
    logits_V, delta_V = source.logits(1, 2), source.delta(1, 2)
    (ids,) = np.nonzero(delta_V > 4)
    assert 1 <= len(ids) <= 3
    order = np.argsort(-logits_V, kind="stable")
    ranks = [int(np.flatnonzero(order == token)[0]) for token in ids]
    assert max(ranks) < 2 * raised.boost_ranks


def test_certification_rates_are_those_that_were_measured() -> None:
    source, codec = RowSource(FULL, 7), build_codec(CodecConfig.model_validate("top64"), 151_936)
    certified = agreed = 0
    for session in range(60):
        logits_V, delta_V = source.logits(session, 0), source.delta(session, 0)
        known = codec.decode(codec.encode(logits_V))
        choice = decide(known, delta_V, 1.7833, Sampling())
        rounded_V = codec.rounded(logits_V).astype(np.float64)
        best = int(np.argmax(rounded_V + 1.7833 * delta_V.astype(np.float64)))
        certified += choice.certified
        agreed += choice.token == best
        assert choice.token == best or not choice.certified
    # With Δ of σ = 1 about two thirds are certified at k = 64, and nearly all winners are in it.
    assert 0.5 < certified / 60 < 0.85
    assert agreed / 60 > 0.9


def test_steered_sessions_end_certified_whatever_the_batches() -> None:
    cloud, edge = RowCloudHost(partial(RowSource, SMALL)), RowEdgeHost(partial(RowSource, SMALL))
    together, alone = texts(), texts()
    decode_steered(cloud, edge, arm(), together, 4)
    decode_steered(cloud, edge, arm(), alone, 4, lambda ops: [[op] for op in ops])
    assert together == alone
    assert all(choice.certified for text in together for choice in text.choices)
    assert any(rounds for text in together for rounds in text.rounds)


def test_streamed_and_local_sessions_choose_from_generated_rows() -> None:
    cloud, edge = RowCloudHost(partial(RowSource, SMALL)), RowEdgeHost(partial(RowSource, SMALL))
    source = RowSource(SMALL, 7)
    streamed = decode_streamed(cloud, arm("llm_with"), texts(), 3)
    assert streamed == [
        [int(np.argmax(source.logits(text.session, position))) for position in range(3)]
        for text in texts()
    ]
    local = texts()
    decode_alone(edge, arm("slm_with"), local, 3)
    assert [[choice.token for choice in text.choices] for text in local] == [
        [
            int(np.argmax(source.logits(text.session, position, Stream.EDGE_LOGITS)))
            for position in range(3)
        ]
        for text in texts()
    ]


def test_a_forward_makes_the_row_and_chunks_do_not_advance_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    logits = RowSource.logits

    def counted(self: RowSource, session: int, position: int) -> object:
        made.append(position)
        return logits(self, session, position)

    monkeypatch.setattr(RowSource, "logits", counted)
    cloud = RowCloudHost(partial(RowSource, SMALL))
    cloud.begin_arm(arm())
    forward = CloudForward((CloudRow(3, (1, 2), 0),))
    for position in range(3):
        cloud.execute([forward, forward])
        assert made == list(range(position + 1))
        ranges = ((0, 8), (8, 32))
        for low, high in ranges:
            cloud.execute([CloudSelect((EncodeItem(3, position, low, high),), ())])
        assert made == list(range(position + 1))


def test_a_resumed_session_has_the_rows_that_it_would_have_had() -> None:
    fresh, resumed = (
        RowCloudHost(partial(RowSource, SMALL)),
        RowCloudHost(partial(RowSource, SMALL)),
    )
    values = []
    for host, positions in ((fresh, range(4)), (resumed, range(3, 4))):
        host.begin_arm(arm())
        for position in positions:
            _, value = host.execute(
                [
                    CloudForward((CloudRow(3, (1,), position),)),
                    CloudSelect((EncodeItem(3, position, 0, 8),), ()),
                ]
            )
        values.append(value)
        host.execute([Release(3), Release(4)])
    assert values[0] == values[1]


def test_broken_payloads_hit_their_own_session_alone() -> None:
    cloud, edge = RowCloudHost(partial(RowSource, SMALL)), RowEdgeHost(partial(RowSource, SMALL))
    cloud.begin_arm(arm())
    edge.begin_arm(arm())
    _, selected = cloud.execute(
        [
            CloudForward((CloudRow(3, (1,), 0),)),
            CloudSelect((EncodeItem(3, 0, 0, 8),), ()),
        ]
    )
    assert isinstance(selected, Selected)
    forwards = [EdgeForward(session, ((1,), (1,)), (0, 0)) for session in (3, 4)]
    check_broken_payloads(edge, selected.payloads[0], forwards)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vocab_size": 0},
        {"sigma": -1.0},
        {"noise_nats": -0.1},
        {"boost_ranks": 0},
        {"vocab_size": 10},
        {"boosted": 31},
    ],
)
def test_impossible_shapes_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="generated"):
        GeneratedConfig(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_operations_before_an_arm_are_refused() -> None:
    cloud, edge = RowCloudHost(partial(RowSource, SMALL)), RowEdgeHost(partial(RowSource, SMALL))
    for op in (CloudForward((CloudRow(3, (1,), 0),)), CloudSelect((), ())):
        with pytest.raises(LocalProtocolError, match="before begin_arm"):
            cloud.execute([op])
    with pytest.raises(LocalProtocolError, match="before begin_arm"):
        edge.execute([EdgeChoose(3, 0)])
