"""The dense shadow: what it counts is what whole rows would have chosen, and nothing changes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from actors.values.port import ArmSpec
from actors.values.shadow import DenseShadow, ranks_needed
from actors.values.steering_host import Selector, Steerer
from costeer.certificate import decide
from costeer.codec import SparseLogits
from costeer.codec.config import CodecConfig
from costeer.machine import CloudSelect, EdgeDecode, EdgeSteer, EncodeItem
from costeer.methods import method_named
from costeer.sampling import Sampling

F32 = npt.NDArray[np.float32]
VOCAB = 40
SESSION = 7


def arm(strength: float = 1.5, codec: str = "top4-fp32-naive", temperature: float = 0.0) -> ArmSpec:
    return ArmSpec(
        method_named("costeer"),
        strength,
        CodecConfig.model_validate(codec),
        Sampling(temperature),
        3,
    )


def rows(seed: int, scale: float = 1.0) -> tuple[F32, F32]:
    draw = np.random.default_rng(seed)
    logits_V = (4.0 * draw.standard_normal(VOCAB)).astype(np.float32)
    return logits_V, (scale * draw.standard_normal(VOCAB)).astype(np.float32)


def certified_at(logits_V: F32, delta_V: F32, c: float, k: int) -> bool:
    order_V = np.argsort(-logits_V, kind="stable")
    ids_K = np.sort(order_V[:k]).astype(np.int32)
    floor = float(logits_V[order_V[k - 1]])
    known = SparseLogits(ids_K, logits_V[ids_K], floor, 0.0, VOCAB)
    return decide(known, delta_V, c, Sampling()).certified


@given(st.integers(0, 10_000), st.floats(0.01, 6.0))
def test_ranks_needed_is_the_first_k_that_certifies(seed: int, c: float) -> None:
    logits_V, delta_V = rows(seed)
    needed = ranks_needed(logits_V, delta_V, c)
    assert 1 <= needed <= VOCAB
    holds = [certified_at(logits_V, delta_V, c, k) for k in range(1, VOCAB + 1)]
    assert holds.index(True) + 1 == needed
    assert all(holds[needed - 1 :])


def step(shadow: DenseShadow, given_arm: ArmSpec, position: int, rounds: int, seed: int) -> int:
    """Encode, decode and steer one token through both parts; return the chosen token."""
    logits_V, delta_V = rows(seed)
    selector = Selector(given_arm, VOCAB, shadow)
    steerer = Steerer(given_arm, VOCAB, shadow)
    chosen = -1
    for round_ in range(rounds + 1):
        ranks = (0, 4) if round_ == 0 else (4, VOCAB)
        made = selector.select(
            CloudSelect((EncodeItem(SESSION, position, *ranks),), ()), lambda *_: logits_V
        )
        steerer.decode(EdgeDecode(SESSION, position, round_, made.payloads[0]))
        choice = steerer.steer(EdgeSteer(SESSION, position, round_), delta_V)
        assert not isinstance(choice, Exception)
        chosen = choice.token
    return chosen


@given(st.integers(0, 1_000), st.sampled_from([0.0, 0.9]))
def test_the_last_round_counts_and_everything_sent_is_dense(seed: int, temperature: float) -> None:
    shadow = DenseShadow(ranks=True)
    chosen = step(shadow, arm(temperature=temperature), 0, rounds=1, seed=seed)
    (seen,) = shadow.take()
    assert (seen.session, seen.position, seen.dense_token) == (SESSION, 0, chosen)
    assert len(seen.payload_bytes) == 2
    assert min(seen.payload_bytes) > 0
    assert seen.kl_nats < 1e-9
    assert seen.total_variation < 1e-6
    assert (seen.ranks_needed is None) == (temperature > 0)


def test_a_first_frame_can_be_wrong_and_is_told_from_dense() -> None:
    wrong = 0
    for seed in range(40):
        shadow = DenseShadow()
        chosen = step(shadow, arm(strength=6.0), 0, rounds=0, seed=seed)
        (seen,) = shadow.take()
        logits_V, delta_V = rows(seed)
        assert seen.dense_token == int(np.argmax(logits_V + 6.0 * delta_V.astype(np.float64)))
        assert 0.0 < seen.total_variation <= 1.0
        assert seen.kl_nats > 0
        assert seen.ranks_needed is None
        wrong += seen.dense_token != chosen
    assert 0 < wrong < 40


def test_lossy_values_are_compared_with_the_row_as_it_was() -> None:
    shadow = DenseShadow()
    step(shadow, arm(codec="dense-bf16"), 0, rounds=0, seed=1)
    (seen,) = shadow.take()
    assert seen.kl_nats > 1e-12


def test_steps_are_kept_by_position_and_taken_once() -> None:
    shadow = DenseShadow()
    for position in range(5):
        step(shadow, arm(), position, rounds=0, seed=position)
    assert [seen.position for seen in shadow.take()] == [0, 1, 2, 3, 4]
    assert shadow.take() == []
    assert len(shadow._pending) <= 2
