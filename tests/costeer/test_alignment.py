"""Two vocabularies: what Δ becomes, and that no alignment touches the certificate."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costeer.alignment import ROOT, ByBytes, Intersection
from costeer.certificate import decide
from costeer.codec import CodecConfig, build_codec
from costeer.errors import ConfigError
from costeer.sampling import Sampling
from costeer.steering import delta, log_softmax
from costeer.vocabularies import (
    ALONE,
    REPEATED,
    Vocabularies,
    longest_match,
    places,
    rewritten,
    stems,
)

CLOUD = (None, b" rose", b" red", b" r", b"ose", b" blue", b"!", b" rose", b"\xff", None)
OWN = (b" r", None, b"o", b"se", b"ed", b" b", b"l", b"ue", b"!", b" red", b" roses")
ENDS = Vocabularies(CLOUD, OWN, cloud_ends=(9,), own_ends=(1,))
PATHS = tuple(
    longest_match(data, places(OWN), 6) if data and data != b"\xff" else () for data in CLOUD
)


def logits(seed: int, size: int = len(OWN)) -> Any:
    return np.random.default_rng(seed).normal(0.0, 2.0, size)


def rows(seed: int, *paths: tuple[int, ...]) -> dict[int, Any]:
    """One branch's rows behind the text so far and behind these prefixes, each after its own."""
    aligned = ByBytes(ENDS, PATHS)
    found = {ROOT: logits(seed)}
    for place, path in enumerate(paths):
        node = next(n for n in range(1, 50) if aligned.path(n) == path)
        found[node] = logits(10 * seed + place)
    return found


def test_shared_tokens_keep_their_delta_and_others_have_none() -> None:
    base, pers = logits(1), logits(2)
    own = delta(pers, base)
    found = Intersection(ENDS).delta(base, pers)
    expected = np.zeros(len(CLOUD))
    expected[[3, 6, 2, 9]] = own[[0, 8, 9, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_nothing_shared_is_told_where_it_can_be_changed() -> None:
    with pytest.raises(ConfigError, match="kind: bytes"):
        Intersection(Vocabularies((b"a", None), (b"b",), (1,), ()))


def test_of_equal_vocabularies_both_give_the_plain_delta() -> None:
    tokens = tuple(bytes([65 + index]) for index in range(20))
    same = Vocabularies(tokens, tokens, (), ())
    base, pers = logits(3, 20), logits(4, 20)
    np.testing.assert_array_equal(Intersection(same).delta(base, pers), delta(pers, base))
    paths = tuple((index,) for index in range(20))
    by_bytes = ByBytes(same, paths).delta({ROOT: base}, {ROOT: pers})
    np.testing.assert_allclose(by_bytes, delta(pers, base), atol=1e-12)
    for choices in (Intersection(same).choices(base), ByBytes(same, paths).choices({ROOT: base})):
        np.testing.assert_allclose(choices, log_softmax(base), atol=1e-12)


def _mass(known: dict[int, Any], data: bytes, path: tuple[int, ...]) -> float:
    """m(a) as the module defines it, token by token."""
    aligned = ByBytes(ENDS, PATHS)
    log_p = {aligned.path(node): log_softmax(row) for node, row in known.items()}
    product = 1.0
    for place, token in enumerate(path):
        if path[:place] not in log_p:
            break
        p = np.exp(log_p[path[:place]])
        begun = OWN[token] or b""
        alike = [v for v, other in enumerate(OWN) if other and other.startswith(begun)]
        product *= p[alike].sum() if place + 1 == len(path) else p[token]
    longer = [v for v, other in enumerate(OWN) if other and other[: len(data)] == data != other]
    return float(product + (np.exp(log_p[()])[longer].sum() if len(path) > 1 else 0.0))


@pytest.mark.parametrize("ahead", [(), ((0,),), ((0,), (0, 2)), ((5,), (0,), (5, 6))])
def test_by_bytes_is_its_definition_however_far_it_looked(ahead: Any) -> None:
    base_rows, pers_rows = rows(1, *ahead), rows(2, *ahead)
    found = ByBytes(ENDS, PATHS).delta(base_rows, pers_rows)
    for token, data in enumerate(CLOUD):
        if data and PATHS[token]:
            base = _mass(base_rows, data, PATHS[token])
            pers = _mass(pers_rows, data, PATHS[token])
            assert found[token] == pytest.approx(log(pers) - log(base), abs=1e-9)
            assert ByBytes(ENDS, PATHS).log_mass(base_rows)[token] == pytest.approx(log(base))
    assert found[8] == found[0] == 0.0  # a byte that the small model lacks, and no text at all


def test_without_a_look_ahead_words_that_begin_alike_are_steered_alike() -> None:
    words = Vocabularies((b" rosy", b" rows"), (b" ro", b"sy", b"ws"), (), ())
    aligned = ByBytes(words, [(0, 1), (0, 2)])
    base, pers = {ROOT: logits(1, 3)}, {ROOT: logits(2, 3)}
    alike = aligned.delta(base, pers)
    assert alike[0] == alike[1]
    (node,) = aligned.frontier([base, pers], 4, 0.0)
    apart = aligned.delta(base | {node: logits(3, 3)}, pers | {node: logits(4, 3)})
    assert apart[0] != apart[1]


def test_a_word_is_cut_where_knowledge_ends_and_whole_once_it_is_looked_ahead_at() -> None:
    """q of the small model's likeliest words: of the longest cloud token that is known to fit."""
    words = Vocabularies((b" ro", b" rosy", b" rows", None), (b" ro", b"sy", b"ws", b"!"), (3,), ())
    aligned = ByBytes(words, [(0,), (0, 1), (0, 2), ()])
    root = np.array([4.0, 0.0, 0.0, 1.0])
    blind = aligned.choices({ROOT: root})
    assert blind.argmax() == 0
    assert blind[0] == pytest.approx(log_softmax(root)[0])
    (node,) = aligned.frontier([{ROOT: root}], 4, 0.0)
    then = np.array([0.0, 3.0, 1.0, 2.0])
    seen = np.exp(aligned.choices({ROOT: root, node: then}))
    p, p_then = np.exp(log_softmax(root)), np.exp(log_softmax(then))
    np.testing.assert_allclose(seen[1:3], p[0] * p_then[1:3], rtol=1e-9)
    np.testing.assert_allclose(seen[0], p[0] * p_then[[0, 3]].sum(), rtol=1e-9)
    assert seen.argmax() == 1
    assert seen[3] == pytest.approx(0.0)


@given(seed=st.integers(0, 999), ahead=st.sampled_from([(), ((0,),), ((5,), (5, 6))]))
def test_choices_are_a_distribution_over_what_can_be_written(seed: int, ahead: Any) -> None:
    for choices in (
        ByBytes(ENDS, PATHS).choices(rows(seed, *ahead)),
        Intersection(ENDS).choices(logits(seed)),
    ):
        q = np.exp(choices)
        assert np.isfinite(choices).all()
        assert q.sum() <= 1 + 1e-9
        assert q[9] == pytest.approx(exp(log_softmax(logits(seed))[1]))
        np.testing.assert_allclose(q[[0, 7, 8]], 0.0, atol=1e-300)


def test_stems_are_the_longest_tokens_that_others_begin_with() -> None:
    tokens = (b"a", b"ab", b"abcd", None, b"ab", b"b", b"abc")
    assert stems(tokens).tolist() == [ALONE, 0, 6, ALONE, REPEATED, ALONE, 1]


def test_the_frontier_is_the_likeliest_prefixes_that_are_not_expanded() -> None:
    aligned = ByBytes(ENDS, PATHS)
    known = [rows(1, (0,)), rows(2, (0,))]
    first = aligned.frontier([{ROOT: each[ROOT]} for each in known], 9, 0.0)
    p = np.maximum(*(np.exp(log_softmax(each[ROOT])) for each in known))
    prefixes = [aligned.path(node) for node in first]
    assert set(prefixes) == {(0,), (5,), (2,)}
    worth = [p[path[0]] for path in prefixes]
    assert worth == sorted(worth, reverse=True)
    then = [aligned.path(node) for node in aligned.frontier(known, 9, 0.0)]
    assert set(then) == {(5,), (2,), (0, 2)}
    assert aligned.frontier(known, 9, 1.1) == []


def test_ends_share_the_delta_of_all_own_ends() -> None:
    several = Vocabularies(CLOUD, OWN, cloud_ends=(0, 9), own_ends=(1, 8))
    base, pers = logits(1), logits(2)
    p_base, p_pers = np.exp(log_softmax(base)), np.exp(log_softmax(pers))
    expected = log(p_pers[[1, 8]].sum()) - log(p_base[[1, 8]].sum())
    for found in (
        Intersection(several).delta(base, pers),
        ByBytes(several, PATHS).delta({ROOT: base}, {ROOT: pers}),
    ):
        np.testing.assert_allclose(found[[0, 9]], expected, atol=1e-12)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 9), c=st.floats(0.0, 6.0), by=st.booleans())
def test_law_3_what_is_certified_is_the_full_vocabularys_choice(
    seed: int, k: int, c: float, by: bool
) -> None:
    base, pers = logits(seed), logits(seed + 1)
    found = (
        ByBytes(ENDS, PATHS).delta({ROOT: base}, {ROOT: pers})
        if by
        else Intersection(ENDS).delta(base, pers)
    )
    row = logits(seed + 2, len(CLOUD)).astype(np.float32)
    codec = build_codec(
        CodecConfig.model_validate({"select": {"kind": "top_k", "k": k}, "values": "fp32"}),
        len(CLOUD),
    )
    choice = decide(codec.decode(codec.encode(row)), found, c, Sampling())
    if choice.certified:
        assert choice.token == int(np.argmax(row + c * found))


@given(st.lists(st.integers(0, 3), max_size=8), st.lists(st.integers(0, 3), max_size=8))
def test_what_is_kept_of_a_rewritten_text_is_common_and_something_is_read(
    before: list[int], after: list[int]
) -> None:
    kept = rewritten(before, after)
    assert before[:kept] == after[:kept]
    assert kept < len(after) or before == after or not after


@given(st.binary(max_size=12))
def test_the_longest_match_writes_what_it_was_given(data: bytes) -> None:
    tokens = (*(bytes([byte]) for byte in range(256)), b"ab", b"abc", b"\x00\x00")
    ids = longest_match(data, places(tokens), 3)
    assert b"".join(tokens[each] for each in ids) == data
    assert longest_match(b"xyz", places((b"x",)), 1) == ()


def test_masses_are_finite_whatever_the_rows() -> None:
    far = np.full(len(OWN), -1e4)
    far[8] = 0.0
    found = ByBytes(ENDS, PATHS).delta({ROOT: far}, {ROOT: logits(1)})
    assert np.isfinite(found).all()
    assert exp(float(np.abs(Intersection(ENDS).delta(far, far)).max())) == 1.0
