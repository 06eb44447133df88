"""A bare protocol between two hosts, in rounds: what the machines and drivers ask of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.values.port import ArmSpec, CloudHost, EdgeHost
from costeer.certificate import Choice
from costeer.codec import CodecConfig, build_codec
from costeer.errors import CodecError
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
    Selected,
)
from costeer.methods import method_named
from costeer.refinement import Ladder, RefineConfig
from costeer.sampling import Sampling

Batches = Callable[[list[Any]], list[list[Any]]]
"""Cuts a queue of operations into calls."""


def arm(
    method: str = "costeer",
    *,
    codec: str = "top8-bf16-naive",
    strength: float = 1.7833,
    sampling: Sampling | None = None,
    seed: int = 7,
) -> ArmSpec:
    config = CodecConfig.model_validate(codec)
    return ArmSpec(method_named(method), strength, config, sampling or Sampling(), seed)


@dataclass
class Text:
    """One session's prompts and what became of it."""

    session: int
    public: tuple[int, ...]
    personal: tuple[int, ...]
    choices: list[Choice] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)


def one_batch(ops: list[Any]) -> list[list[Any]]:
    return [ops]


def ask(host: CloudHost | EdgeHost, ops: Sequence[Any], batches: Batches) -> list[Any]:
    values: list[Any] = []
    for batch in batches(list(ops)):
        found = host.execute(batch)
        assert len(found) == len(batch)
        values += found
    return values


def decode_steered(
    cloud: CloudHost,
    edge: EdgeHost,
    spec: ArmSpec,
    texts: list[Text],
    tokens: int,
    batches: Batches = one_batch,
) -> None:
    """Generate ``tokens`` per session, with MORE rounds until certified."""
    vocab = cloud.begin_arm(spec)
    assert edge.begin_arm(spec) == vocab
    ladder = Ladder(build_codec(spec.codec, vocab).first_k, vocab, RefineConfig())
    for position in range(tokens):
        new = {
            text.session: (text.public, text.personal)
            if position == 0
            else ((text.choices[-1].token,),) * 2
            for text in texts
        }
        ask(
            edge,
            [EdgeForward(s.session, new[s.session], _starts(s, position)) for s in texts],
            batches,
        )
        for group in batches(list(texts)):
            rows = tuple(
                CloudRow(s.session, new[s.session][0], _starts(s, position)[0]) for s in group
            )
            cloud.execute([CloudForward(rows)])
        waiting, round_ = list(texts), 0
        while waiting:
            first, last = ladder.ranks(round_)
            for group in batches(list(waiting)):
                items = tuple(EncodeItem(s.session, position, first, last) for s in group)
                (selected,) = cloud.execute([CloudSelect(items, ())])
                assert isinstance(selected, Selected)
                for text, payload in zip(group, selected.payloads, strict=True):
                    text.payloads.append(payload)
            ops = [EdgeDecode(s.session, position, round_, s.payloads[-1]) for s in waiting]
            ops_then = [EdgeSteer(s.session, position, round_) for s in waiting]
            ask(edge, ops, batches)
            choices = ask(edge, ops_then, batches)
            again = []
            for text, choice in zip(waiting, choices, strict=True):
                assert isinstance(choice, Choice), choice
                if not choice.certified and ladder.has(round_ + 1):
                    again.append(text)
                else:
                    text.choices.append(choice)
                    text.rounds.append(round_)
            waiting, round_ = again, round_ + 1
    cloud.execute([Release(text.session) for text in texts])
    edge.execute([Release(text.session) for text in texts])


def decode_streamed(
    cloud: CloudHost, spec: ArmSpec, texts: list[Text], tokens: int, batches: Batches = one_batch
) -> list[list[int]]:
    """Generate ``tokens`` per session at the cloud."""
    cloud.begin_arm(spec)
    out: dict[int, list[int]] = {text.session: [] for text in texts}
    for position in range(tokens):
        for group in batches(list(texts)):
            rows = tuple(
                CloudRow(
                    s.session,
                    s.public if position == 0 else (out[s.session][-1],),
                    _starts(s, position)[0],
                )
                for s in group
            )
            asked = tuple((s.session, position) for s in group)
            _, selected = cloud.execute([CloudForward(rows), CloudSelect((), asked)])
            assert isinstance(selected, Selected)
            for text, token in zip(group, selected.tokens, strict=True):
                out[text.session].append(token)
    cloud.execute([Release(text.session) for text in texts])
    return list(out.values())


def decode_alone(
    edge: EdgeHost, spec: ArmSpec, texts: list[Text], tokens: int, batches: Batches = one_batch
) -> None:
    """Generate ``tokens`` per session at the device, one queue per position."""
    edge.begin_arm(spec)
    for position in range(tokens):
        ops: list[Any] = []
        for text in texts:
            run = text.personal if position == 0 else (text.choices[-1].token,)
            start = 0 if position == 0 else len(text.personal) + position - 1
            ops.append(EdgeForward(text.session, (run,), (start,)))
            ops.append(EdgeChoose(text.session, position))
        values = ask(edge, ops, batches)
        for text, choice in zip(texts, values[1::2], strict=True):
            assert isinstance(choice, Choice)
            text.choices.append(choice)
    edge.execute([Release(text.session) for text in texts])


def check_broken_payloads(edge: EdgeHost, good: bytes, forwards: Sequence[EdgeForward]) -> None:
    """A payload that cannot be decoded is its own session's error and nobody else's."""
    first, second = forwards[0].session, forwards[1].session
    values = edge.execute(
        [
            *forwards[:2],
            EdgeDecode(first, 0, 0, b"\xff" + good),
            EdgeDecode(second, 0, 0, good),
            EdgeSteer(first, 0, 0),
            EdgeSteer(second, 0, 0),
            # A later round does not make it good again.
            EdgeDecode(first, 0, 1, good),
            EdgeSteer(first, 0, 1),
        ]
    )
    assert values[:4] == [None] * 4
    assert isinstance(values[4], CodecError)
    assert isinstance(values[5], Choice)
    assert isinstance(values[7], CodecError)
    # The next position starts anew.
    *_, choice = edge.execute([EdgeDecode(first, 1, 0, good), EdgeSteer(first, 1, 0)])
    assert isinstance(choice, Choice)


def _starts(text: Text, position: int) -> tuple[int, int]:
    if position == 0:
        return 0, 0
    return len(text.public) + position - 1, len(text.personal) + position - 1
