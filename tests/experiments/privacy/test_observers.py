"""Observers on traffic that is made up: what can be known is found, what cannot is chance."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.privacy.observers import Traffic, features, hits, nearest_candidate

CANDIDATES, SESSIONS = 5, 40


def sessions(leak_bytes: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sessions of every candidate, whose mean frame differs by so much from the next one's."""
    rng = np.random.default_rng(seed)
    of_N = np.repeat(np.arange(CANDIDATES), SESSIONS)
    rows = []
    for who in of_N:
        down = 160 + leak_bytes * who + rng.normal(0, 5, 30)
        latency = rng.integers(10**7, 10**8, 30)
        rows.append(
            features(
                Traffic(
                    tuple(int(size) for size in down),
                    (14,) * 30,
                    (3,) * 30,
                    tuple(int(each) for each in latency),
                )
            )
        )
    return np.stack(rows), of_N


def test_a_plain_leak_is_found_and_none_is_chance() -> None:
    for leak_bytes, low, high in ((20.0, 0.99, 1.0), (0.0, 0.1, 0.3)):
        train_NF, of_N = sessions(leak_bytes, 1)
        test_NF, asked_N = sessions(leak_bytes, 2)
        right = hits(nearest_candidate(train_NF, of_N, test_NF), asked_N).mean()
        assert low <= right <= high


def test_what_is_the_same_for_all_tells_nothing() -> None:
    train_NF, of_N = sessions(0.0, 1)
    same_NF = np.ones_like(train_NF)
    right = hits(nearest_candidate(same_NF, of_N, same_NF), of_N)
    assert right == pytest.approx(1 / CANDIDATES)


def test_ties_count_as_their_share() -> None:
    scores_NC = np.array([[1.0, 1.0, 0.0], [-5.0, -3.0, -3.0], [2.0, 1.0, 0.0], [-7.0, -7.0, -7.0]])
    np.testing.assert_allclose(hits(scores_NC, np.array([0, 0, 0, 2])), [0.5, 0.0, 1.0, 1 / 3])
