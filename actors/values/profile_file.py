"""The file of a profile: its columns, what it is of, and how it is written.

Parquet, a row per session and part. Columns of ``MORE`` are there where an arm has something to
say in them, so that files of earlier versions stay readable.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FORMAT = 1
METADATA = b"costeer_profile"
SCHEMA = pa.schema(
    [
        ("part", pa.int32()),
        ("session", pa.int32()),
        ("device", pa.int32()),
        ("request", pa.int32()),
        ("prompt_id", pa.string()),
        ("public_tokens", pa.int32()),
        ("personal_tokens", pa.int32()),
        ("public_bytes", pa.int32()),
        ("personal_bytes", pa.int32()),
        ("limit", pa.int32()),
        ("tokens", pa.list_(pa.int32())),
        ("rounds", pa.list_(pa.int16())),
        ("payload_bytes", pa.list_(pa.int32())),
        ("certified", pa.list_(pa.bool_())),
        ("margin", pa.list_(pa.float32())),
    ]
)
MORE = (
    pa.field("right", pa.list_(pa.bool_())),
    pa.field("own", pa.list_(pa.bool_())),
    pa.field("found", pa.list_(pa.int16())),
    pa.field("followed", pa.list_(pa.int16())),
)
"""Columns more, each where an arm has something to say in it."""


@dataclass(frozen=True, slots=True)
class ProfileOrigin:
    """What a profile is of.

    Args:
        run: name of the scenario that was run.
        seed: of that run.
        bytes_origin: where its sizes are from: ``measured`` (a model's logits, really encoded) or
            ``synthetic`` (generated logits, really encoded).
        vocab_size: V of its logits.
        eos: ids that ended its sessions.
        cloud: what computed the large model's values.
        edge: what computed the small model's.
        arms: the arm of each part, as a scenario writes it.
    """

    run: str
    seed: int
    bytes_origin: str
    vocab_size: int
    eos: tuple[int, ...]
    cloud: str
    edge: str
    arms: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ProfiledSession:
    """One session of one part.

    Args:
        device: that had it.
        request: which of that device's requests it was.
        prompt_id: id of its prompt's row.
        public_tokens: length of the prompt without the private context.
        personal_tokens: with it.
        public_bytes: of the public prompt's ids in an OPEN frame.
        personal_bytes: the same of the whole prompt; no id of it is kept.
        limit: the most tokens that it was allowed.
        tokens: what was chosen.
        rounds: MOREs of each token.
        payload_bytes: sizes of the payloads, token after token, round after round; of one token
            there are one more than rounds. One of 0 B a token where nothing is steered.
        certified: whether each token was proven to be the full-vocabulary one.
        margin: nats between the best and the second-best candidate, of each.
        right: whether what the device drafted in each token's place was that token, of an arm that
            drafts.
        own: whether each token was the cloud's own, unsteered, of an arm whose steering pauses.
        found: how many tokens the cloud could have looked up to stand from each position on, of an
            arm that streams.
        followed: how many of these stand there, from the first.
    """

    device: int
    request: int
    prompt_id: str
    public_tokens: int
    personal_tokens: int
    public_bytes: int
    personal_bytes: int
    limit: int
    tokens: Sequence[int]
    rounds: Sequence[int]
    payload_bytes: Sequence[int]
    certified: Sequence[bool]
    margin: Sequence[float]
    right: Sequence[bool] = ()
    own: Sequence[bool] = ()
    found: Sequence[int] = ()
    followed: Sequence[int] = ()


def write_profile(
    path: Path, origin: ProfileOrigin, parts: Sequence[Sequence[ProfiledSession]]
) -> None:
    """Write a profile, whole or not at all.

    Args:
        path: of the file.
        origin: what it is of.
        parts: per arm its sessions; every part has the same ones.
    """
    rows: list[dict[str, Any]] = [
        {"part": part, "session": number, **asdict(session)}
        for part, sessions in enumerate(parts)
        for number, session in enumerate(sessions)
    ]
    told = json.dumps({"format": FORMAT, **asdict(origin)}).encode()
    schema = SCHEMA
    for more in MORE:
        if any(row[more.name] for row in rows):
            schema = schema.append(more)
    table = pa.Table.from_pylist(rows, schema=schema)
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(
        table.replace_schema_metadata({METADATA: told}),
        partial,
        compression="zstd",
        compression_level=19,
        write_page_checksum=True,
    )
    partial.replace(path)
