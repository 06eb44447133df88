from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.models.loading import load
from actors.models.numerics import Numerics
from actors.values.model_cloud import ModelCloudHost
from actors.values.model_edge import ModelEdgeHost
from actors.values.waves import waves_of
from costeer.errors import ConfigError, LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudRow,
    CloudSelect,
    EdgeChoose,
    EdgeDecode,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    EncodeItem,
    Release,
)
from costeer.sampling import Sampling
from costeer.steering import delta
from tests.actors.tiny_pair import VOCAB, tiny_folder
from tests.actors.value_sessions import (
    Text,
    arm,
    check_broken_payloads,
    decode_alone,
    decode_steered,
    decode_streamed,
)

TOKENS = 5
SESSIONS = 6
INVARIANT = Numerics.BATCH_INVARIANT
SAMPLINGS = [Sampling(), Sampling(temperature=0.8), Sampling(temperature=1.2, top_p=0.9)]


@cache
def cloud() -> ModelCloudHost:
    return ModelCloudHost(str(tiny_folder("qwen2", 1)), INVARIANT, vocab_size=VOCAB)


@cache
def edge() -> ModelEdgeHost:
    return ModelEdgeHost(str(tiny_folder("qwen2", 2)), INVARIANT, vocab_size=VOCAB)


def texts() -> list[Text]:
    rng = np.random.default_rng(11)
    drawn = []
    for index in range(SESSIONS):
        public = tuple(rng.integers(0, VOCAB, rng.integers(2, 12)).tolist())
        context = tuple(rng.integers(0, VOCAB, rng.integers(2, 20)).tolist())
        drawn.append(Text(100 + 7 * index, public, context + public))
    return drawn


def outcome(done: list[Text]) -> list[Any]:
    return [(text.choices, text.payloads, text.rounds) for text in done]


@cache
def steered_in_one_batch(sampling: Sampling) -> list[Any]:
    done = texts()
    decode_steered(cloud(), edge(), arm(sampling=sampling), done, TOKENS)
    return outcome(done)


def splitter(draw: Callable[[Any], Any]) -> Callable[[list[Any]], list[list[Any]]]:
    def batches(ops: list[Any]) -> list[list[Any]]:
        cuts = sorted(draw(st.sets(st.integers(1, max(1, len(ops) - 1)), max_size=4)))
        edges = [0, *cuts, len(ops)]
        return [ops[low:high] for low, high in pairwise(edges) if low < high]

    return batches


@pytest.mark.parametrize("sampling", SAMPLINGS, ids=["greedy", "temperature", "top-p"])
@given(data=st.data())
@settings(max_examples=6, deadline=None)
def test_payloads_and_choices_do_not_depend_on_the_batches(
    sampling: Sampling, data: st.DataObject
) -> None:
    done = texts()
    spec = arm(sampling=sampling)
    decode_steered(cloud(), edge(), spec, done, TOKENS, splitter(data.draw))
    assert outcome(done) == steered_in_one_batch(sampling)


@given(data=st.data())
@settings(max_examples=3, deadline=None)
def test_streamed_and_local_texts_do_not_depend_on_the_batches(data: st.DataObject) -> None:
    for sampling in SAMPLINGS:
        streamed = arm("llm_without", sampling=sampling)
        whole = decode_streamed(cloud(), streamed, texts(), TOKENS)
        assert decode_streamed(cloud(), streamed, texts(), TOKENS, splitter(data.draw)) == whole
        local, again = texts(), texts()
        decode_alone(edge(), arm("slm_with", sampling=sampling), local, TOKENS)
        decode_alone(edge(), arm("slm_with", sampling=sampling), again, TOKENS, splitter(data.draw))
        assert outcome(local) == outcome(again)


def test_the_token_is_the_full_vocabulary_s() -> None:
    llm = load(tiny_folder("qwen2", 1), INVARIANT, vocab_size=VOCAB)
    slm = load(tiny_folder("qwen2", 2), INVARIANT, vocab_size=VOCAB)
    slot, other = llm.cache.take(), slm.cache.take()
    done = texts()
    decode_steered(cloud(), edge(), arm(strength=1.7833), done, TOKENS)
    assert any(rounds for text in done for rounds in text.rounds)
    for text in done:
        chosen: list[int] = []
        for choice in text.choices:
            llm_V = llm.forward([slot], [0], [[*text.public, *chosen]])[0].astype(np.float64)
            base_V = slm.forward([other], [0], [[*text.public, *chosen]])[0].astype(np.float64)
            pers_V = slm.forward([other], [0], [[*text.personal, *chosen]])[0].astype(np.float64)
            assert choice.certified
            assert choice.token == int(np.argmax(llm_V + 1.7833 * delta(pers_V, base_V)))
            chosen.append(choice.token)


def test_greedy_streams_and_local_texts_are_the_argmax() -> None:
    llm = load(tiny_folder("qwen2", 1), INVARIANT, vocab_size=VOCAB)
    slot = llm.cache.take()
    streamed = decode_streamed(cloud(), arm("llm_without"), texts(), TOKENS)
    for text, tokens in zip(texts(), streamed, strict=True):
        for end, token in enumerate(tokens):
            row_V = llm.forward([slot], [0], [[*text.public, *tokens[:end]]])[0]
            assert token == int(np.argmax(row_V))
    local = texts()
    decode_alone(edge(), arm("slm_with"), local, TOKENS)
    assert all(choice.certified and choice.margin >= 0 for t in local for choice in t.choices)


def test_two_seeds_sample_two_texts_and_one_seed_samples_one() -> None:
    hot = Sampling(temperature=1.0)
    one = decode_streamed(cloud(), arm("llm_without", sampling=hot, seed=1), texts(), TOKENS)
    same = decode_streamed(cloud(), arm("llm_without", sampling=hot, seed=1), texts(), TOKENS)
    other = decode_streamed(cloud(), arm("llm_without", sampling=hot, seed=2), texts(), TOKENS)
    assert one == same != other


def test_strength_zero_with_noise_samples_what_the_cloud_would() -> None:
    hot = Sampling(temperature=0.9)
    done = texts()
    decode_steered(cloud(), edge(), arm(strength=0.0, sampling=hot), done, TOKENS)
    streamed = decode_streamed(cloud(), arm("llm_without", sampling=hot), texts(), TOKENS)
    assert [[choice.token for choice in text.choices] for text in done] == streamed


def test_chunked_prompts_give_the_same_payload() -> None:
    text = texts()[0]
    cloud().begin_arm(arm())
    item = CloudSelect((EncodeItem(text.session, 0, 0, 8),), ())
    (_, whole) = cloud().execute([CloudForward((CloudRow(text.session, text.public, 0),)), item])
    cloud().begin_arm(arm())
    for start, token in enumerate(text.public):
        cloud().execute([CloudForward((CloudRow(text.session, (token,), start),))])
    assert cloud().execute([item]) == [whole]


def test_broken_payloads_hit_their_own_session_alone() -> None:
    spec = arm()
    edge().begin_arm(spec)
    cloud().begin_arm(spec)
    a, b = texts()[:2]
    _, selected = cloud().execute(
        [
            CloudForward((CloudRow(a.session, a.public, 0),)),
            CloudSelect((EncodeItem(a.session, 0, 0, 8),), ()),
        ]
    )
    forwards = [EdgeForward(t.session, (t.public, t.personal), (0, 0)) for t in (a, b)]
    check_broken_payloads(edge(), selected.payloads[0], forwards)  # type: ignore[attr-defined]  # CloudSelect's value


def test_release_frees_slots_and_a_new_arm_forgets_everything() -> None:
    spec = arm()
    a, b = texts()[:2]
    forwards = [EdgeForward(t.session, (t.public, t.personal), (0, 0)) for t in (a, b)]
    edge().begin_arm(spec)
    cache_ = edge()._sequences.model.cache
    edge().execute(forwards)
    assert cache_.slots_used == 4
    edge().execute([Release(a.session), Release(999)])
    assert cache_.slots_used == 2
    edge().begin_arm(spec)
    assert cache_.slots_used == 0
    with pytest.raises(LocalProtocolError, match="before both branches"):
        edge().execute([EdgeSteer(b.session, 0, 0)])
    cloud().begin_arm(spec)
    cloud().execute([CloudForward((CloudRow(1, a.public, 0), CloudRow(2, b.public, 0)))])
    assert cloud()._sequences.model.cache.slots_used == 2
    cloud().execute([Release(1), Release(2), Release(3)])
    assert cloud()._sequences.model.cache.slots_used == 0


def test_a_queue_of_whole_steps_runs_its_forwards_together(monkeypatch: pytest.MonkeyPatch) -> None:
    edge().begin_arm(arm("slm_without"))
    model = edge()._sequences.model
    sizes: list[int] = []
    forward = model.forward

    def counted(slots: list[int], *rest: Any) -> Any:
        sizes.append(len(slots))
        return forward(slots, *rest)

    monkeypatch.setattr(model, "forward", counted)
    ops: list[EdgeOp | Release] = []
    for text in texts():
        ops += [
            EdgeForward(text.session, (text.public,), (0,)),
            EdgeChoose(text.session, 0),
            EdgeForward(text.session, ((5,),), (len(text.public),)),
            EdgeChoose(text.session, 1),
            Release(text.session),
        ]
    edge().execute(ops)
    assert sizes == [SESSIONS, SESSIONS]
    assert model.cache.slots_used == 0


def test_waves_keep_each_session_s_order() -> None:
    ops: list[EdgeOp | Release] = [
        EdgeDecode(1, 0, 0, b""),
        EdgeForward(1, ((5,),), (0,)),
        EdgeForward(2, ((5,),), (0,)),
        EdgeSteer(1, 0, 0),
        EdgeForward(1, ((6,),), (1,)),
        Release(2),
        Release(1),
    ]
    places = [
        ([place for place, _ in wave.forwards], [place for place, _ in wave.others])
        for wave in waves_of(ops)
    ]
    assert places == [([], [0]), ([1, 2], [3, 5]), ([4], [6])]


def test_a_branch_without_new_tokens_keeps_its_logits() -> None:
    text = texts()[0]
    edge().begin_arm(arm())
    edge().execute([EdgeForward(text.session, (text.public, text.personal), (0, 0))])
    whole_V = edge().delta(text.session, 0)
    edge().begin_arm(arm())
    edge().execute([EdgeForward(text.session, (text.public, text.personal[:2]), (0, 0))])
    edge().execute([EdgeForward(text.session, ((), text.personal[2:]), (len(text.public), 2))])
    np.testing.assert_array_equal(edge().delta(text.session, 0), whole_V)


def test_misuse_is_refused() -> None:
    fresh_cloud = ModelCloudHost(str(tiny_folder("qwen2", 1)), INVARIANT)
    fresh_edge = ModelEdgeHost(str(tiny_folder("qwen2", 2)), INVARIANT)
    with pytest.raises(LocalProtocolError, match="before begin_arm"):
        fresh_cloud.execute([CloudSelect((), ())])
    with pytest.raises(LocalProtocolError, match="before begin_arm"):
        fresh_edge.execute([])
    cloud().begin_arm(arm())
    with pytest.raises(LocalProtocolError, match="had no forward"):
        cloud().execute([CloudSelect((), ((1, 0),))])
    edge().begin_arm(arm())
    with pytest.raises(LocalProtocolError, match="before its branch"):
        edge().execute([EdgeChoose(1, 0)])
    edge().execute([EdgeForward(1, ((2,), (3,)), (0, 0))])
    with pytest.raises(LocalProtocolError, match="has 2 branches"):
        edge().execute([EdgeForward(1, ((2,),), (0,))])
    with pytest.raises(LocalProtocolError, match="without round 0"):
        edge().execute([EdgeDecode(1, 0, 1, b"")])
    with pytest.raises(LocalProtocolError, match="nothing was decoded"):
        edge().execute([EdgeSteer(1, 0, 0)])


def test_constructor_arguments_pickle_and_bad_paths_are_refused() -> None:
    arguments = (str(tiny_folder("qwen2", 1)), INVARIANT)
    assert pickle.loads(pickle.dumps(arguments)) == arguments  # noqa: S301  # our own bytes
    with pytest.raises(ConfigError, match="no such folder"):
        ModelCloudHost("/nowhere", Numerics.FP32)
    with pytest.raises(ConfigError, match="no such folder"):
        ModelEdgeHost("/nowhere", Numerics.FP32)


def test_ranking_where_the_model_is_gives_the_same_frames() -> None:
    spec = arm(codec="top8-bf16-packed")
    there = ModelCloudHost(str(tiny_folder("qwen2", 1)), INVARIANT, rank_on_device=True)
    here = ModelCloudHost(str(tiny_folder("qwen2", 1)), INVARIANT)
    forward = CloudForward((CloudRow(1, (5, 6, 7), 0), CloudRow(2, (9, 8), 0)))
    select = CloudSelect((EncodeItem(1, 0, 0, 8), EncodeItem(2, 0, 8, 24)), ((2, 0),))
    answers = []
    for host in (there, here):
        host.begin_arm(spec)
        answers.append(host.execute([forward, select])[1])
    assert there._ranker is not None
    assert here._ranker is None
    assert answers[0] == answers[1]
