"""The laws of the protocol, on a link that delays, reorders and repeats as hypothesis likes."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from costeer.messages import Frame, FrameKind, Open, Role, encode_frame, encode_open
from costeer.methods import METHODS, method_named
from costeer.patience import Patience
from costeer.refinement import Ladder, RefineConfig
from costeer.serving import EngineLimits
from costeer.session import SessionSpec
from costeer.token_record import STAGES, TokenRecord
from tests.costeer.harness import (
    CALM,
    Case,
    Chaos,
    Death,
    World,
    cases,
    chaoses,
)
from tests.costeer.toy import EOS, FINGERPRINT, PRIVATE, VOCAB, expected
from tests.costeer.uplink import (
    method_sends,
    public_part,
    rebuild_drafting_uplink,
    rebuild_uplink,
)


def check_finished(world: World, case: Case) -> None:
    for spec in case.fleet:
        wanted = expected(spec)
        assert world.tokens(spec.session) == wanted.tokens
        finish = world.finishes[spec.session]
        assert not finish.failed, finish.reason
        assert finish.reason == ("eos" if wanted.tokens[-1] in EOS else "length")
        rounds = tuple(record.rounds for record in world.records[spec.session])
        if spec.speculation is None:
            assert rounds == wanted.rounds
        else:  # a draft's logit, sent out of rank, can only help
            assert all(one <= most for one, most in zip(rounds, wanted.rounds, strict=True))
    world.check_empty()


def check_uplink(spec: SessionSpec, records: list[TokenRecord], sent: list[bytes]) -> None:
    tokens = [record.token for record in records]
    if spec.speculation is not None:
        assert sent == rebuild_drafting_uplink(public_part(spec), tokens, sent)
    else:
        rounds = [record.rounds for record in records]
        assert sent == rebuild_uplink(public_part(spec), tokens, rounds)


@settings(max_examples=150)
@given(cases())
def test_law_7_duplicate_late_and_reordered_frames_change_no_token(case: Case) -> None:
    world = World.of(case)
    world.run()
    check_finished(world, case)


@settings(max_examples=100)
@given(cases(), st.lists(st.integers(1, 200), min_size=1, max_size=8))
def test_law_7_frames_that_are_sent_again_change_no_token(case: Case, waits_ns: list[int]) -> None:
    """However short a device's patience is, as long as it does not give up."""
    patience = Patience((*waits_ns, 10**12), falls_back=True)
    case = replace(case, fleet=tuple(replace(spec, patience=patience) for spec in case.fleet))
    world = World.of(case)
    world.run()
    check_finished(world, case)
    for spec in case.fleet:
        records = world.records[spec.session]
        assert not any(record.fallback for record in records)
        sent = world.uplink[spec.session, 0]
        again = sum(record.repeats for record in records)
        assert len(sent) == len(set(sent)) + again
        if not method_sends(spec.method):
            assert sent == []
        elif not spec.method.leaks_context and spec.speculation is None:
            check_uplink(spec, records, list(dict.fromkeys(sent)))


@settings(max_examples=100)
@given(cases())
def test_law_4_what_goes_up_is_rebuilt_from_public_parts_alone(case: Case) -> None:
    world = World.of(case)
    world.run()
    for spec in case.fleet:
        sent = world.uplink[spec.session, 0]
        if not method_sends(spec.method):
            assert sent == []
            continue
        if spec.method.leaks_context:
            continue  # by definition
        check_uplink(spec, world.records[spec.session], sent)
        assert not world.cloud.seen[spec.session].intersection(PRIVATE)


@settings(max_examples=100)
@given(cases(), st.data())
def test_law_8_a_resumed_session_continues_with_the_tokens_it_would_have_had(
    case: Case, data: st.DataObject
) -> None:
    world = World.of(case)
    deaths = data.draw(
        st.lists(
            st.builds(
                Death,
                st.sampled_from([spec.session for spec in case.fleet]),
                st.integers(0, 400),
                st.integers(0, 200),
            ),
            max_size=4,
        )
    )
    for death in deaths:
        world.kill(death)
    world.run()
    for spec in case.fleet:
        assert world.tokens(spec.session) == expected(spec).tokens
        assert not world.finishes[spec.session].failed
        last = world.specs[spec.session]
        if method_sends(last.method) and not last.method.leaks_context:
            fresh = world.records[spec.session][len(last.chosen) :]
            check_uplink(last, fresh, world.uplink[last.session, last.epoch])
    world.check_empty()


@settings(max_examples=60)
@given(cases(), st.lists(st.integers(0, 400), min_size=1, max_size=2))
def test_law_8_holds_when_it_is_the_cloud_that_dies(case: Case, deaths_ns: list[int]) -> None:
    world = World.of(case)
    for at_ns in deaths_ns:
        world.restart_cloud(at_ns)
    world.run()
    for spec in case.fleet:
        assert world.tokens(spec.session) == expected(spec).tokens
        assert not world.finishes[spec.session].failed
    world.check_empty()


@settings(max_examples=60)
@given(cases(), st.data())
def test_devices_that_never_come_back_hold_nothing_for_ever(
    case: Case, data: st.DataObject
) -> None:
    world = World.of(case)
    dead = data.draw(st.sets(st.sampled_from([spec.session for spec in case.fleet])))
    for session in sorted(dead):
        world.kill(Death(session, data.draw(st.integers(0, 200)), None))
    world.run()
    for spec in case.fleet:
        tokens = world.tokens(spec.session)
        assert tokens == expected(spec).tokens[: len(tokens)]
        if spec.session not in dead:
            assert tokens == expected(spec).tokens
    world.check_empty()


hostile_frames = st.one_of(
    st.binary(max_size=40),
    st.builds(
        lambda kind, session, epoch, position, body: encode_frame(
            Frame(kind, session, epoch, position, 0, b"" if kind in (3, 4) else body)
        ),
        st.sampled_from(FrameKind),
        st.integers(100, 102),
        st.integers(0, 2),
        st.integers(0, 3),
        st.binary(max_size=12),
    ),
    st.builds(
        lambda session, epoch, role, new, chosen, prompt: encode_frame(
            Frame(
                FrameKind.OPEN,
                session,
                epoch,
                0,
                0,
                encode_open(_opening(role, new, tuple(prompt), tuple(chosen))),
            )
        ),
        st.integers(100, 102),
        st.integers(0, 2),
        st.sampled_from(Role),
        st.integers(0, 4) | st.just(2**32 - 1),
        st.lists(st.integers(0, 50), max_size=2),
        st.lists(st.integers(0, 50) | st.just(2**32 - 1), min_size=1, max_size=4),
    ),
)


def _opening(role: Role, new: int, prompt: tuple[int, ...], chosen: tuple[int, ...]) -> Open:
    """An OPEN that can be encoded, whatever the role."""
    return Open(role, new, 7, prompt, chosen, guide=prompt if role is Role.GUIDED else ())


@settings(max_examples=100)
@given(cases(max_sessions=3), st.lists(st.tuples(hostile_frames, st.integers(0, 400)), max_size=12))
def test_hostile_strangers_change_nobody_elses_tokens(
    case: Case, hostile: list[tuple[bytes, int]]
) -> None:
    roomy = replace(case.limits, max_waiting=len(case.fleet) + len(hostile))
    world = World.of(replace(case, limits=roomy))
    for frame, at_ns in hostile:
        world.inject(frame, at_ns)
    world.run()
    check_finished(world, case)


@settings(max_examples=60)
@given(cases(max_sessions=3), chaoses)
def test_tokens_do_not_depend_on_the_link_nor_on_company(case: Case, other: Chaos) -> None:
    world = World.of(replace(case, chaos=other))
    world.run()
    for spec, start_ns in zip(case.fleet, case.starts_ns, strict=True):
        alone = World.of(Case((spec,), (start_ns,), (0,), case.limits, CALM))
        alone.run()
        assert alone.tokens(spec.session) == world.tokens(spec.session)


def test_the_toy_asks_for_more_often_enough_to_mean_something() -> None:
    """The laws above say little if refinement, eos and private contexts hardly ever matter."""
    ladder = Ladder(4, VOCAB, RefineConfig(growth=2, max_rounds=3))
    outcomes = {}
    for name in ("costeer", "llm_without", "slm_with", "slm_without"):
        outcomes[name] = [
            expected(
                SessionSpec(
                    0,
                    method_named(name),
                    (seed, 3),
                    (33, seed, 3),
                    12,
                    EOS,
                    FINGERPRINT,
                    ladder,
                )
            )
            for seed in range(1, 30)
        ]
    rounds = [count for outcome in outcomes["costeer"] for count in outcome.rounds]
    assert set(rounds) == {0, 1, 2, 3}
    assert any(outcome.tokens[-1] in EOS for outcome in outcomes["costeer"])
    assert any(len(outcome.tokens) == 12 for outcome in outcomes["costeer"])
    assert outcomes["costeer"] != outcomes["llm_without"]
    assert outcomes["slm_with"] != outcomes["slm_without"]


def test_every_method_charges_the_stages_that_it_passes() -> None:
    ladder = Ladder(4, VOCAB, RefineConfig(growth=2, max_rounds=3))
    bounds = EngineLimits(2, 4, 1000, 100, 10, 10, 10**9)
    passed: dict[str, set[str]] = {}
    for method in METHODS:
        world = World(ladder, bounds, Chaos(((5,),), (3, 7)))
        spec = SessionSpec(
            1, method, (5, 6, 7, 8, 9), (33, 5, 6, 7, 8, 9), 12, EOS, FINGERPRINT, ladder
        )
        world.start(spec, 0)
        world.run()
        passed[method.name] = {
            stage
            for record in world.records[1]
            for stage, spent_ns in zip(STAGES, record.stages_ns, strict=True)
            if spent_ns
        }
    assert passed["slm_with"] == passed["slm_without"] == {"edge_wait", "steer"}
    streamed = {"uplink", "cloud_compute", "select_encode", "downlink"}
    assert passed["llm_with"] == passed["llm_without"] == streamed
    assert passed["costeer"] >= streamed | {"decode", "steer", "refinement"}
    assert "overhead" not in passed["costeer"]


@settings(max_examples=40)
@given(cases(max_sessions=3), st.integers(2, 500), st.integers(2, 100))
def test_filled_frames_change_sizes_and_nothing_else(case: Case, down: int, up: int) -> None:
    fleet = tuple(replace(spec, bucket_bytes=up) for spec in case.fleet)
    padded = World.of(replace(case, fleet=fleet), bucket_bytes=down)
    padded.run()
    plain = World.of(case)
    plain.run()
    for spec in fleet:
        assert padded.tokens(spec.session) == plain.tokens(spec.session)
    for frames in padded.uplink.values():
        assert all(len(frame) % up == 0 for frame in frames)
