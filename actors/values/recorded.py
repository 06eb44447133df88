"""Rows of logits and Δ that real models gave once, kept in a file, and served again.

A recording is a Parquet file, one row a token: the session's number, its prompt's id and lengths,
the position, the token chosen, the cloud's logits on the bf16 grid and Δ in float32, each split
into byte planes and through zstd. Its metadata say what was recorded (``Origin``).

Served again, a session of a run reads the recorded session that ``recorded_session`` names; where
it runs longer it begins again at the recording's first position. Rows do not depend on what is
chosen (teacher forcing): a codec that is exact follows the recorded text, a lossy one is compared
step by step on the same rows, which is what a dense shadow counts.

Legend: V vocabulary, S recorded sessions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from actors.plan import device_and_request
from costeer.codec.values import Bf16
from costeer.errors import ConfigError
from netsim.random import Stream

F32 = npt.NDArray[np.float32]

FORMAT = 1
_METADATA = b"costeer_recording"
_LEVEL = 3
_MAX_BYTES = 1 << 32
_SCHEMA = pa.schema(
    [
        ("session", pa.int32()),
        ("prompt_id", pa.string()),
        ("public_tokens", pa.int32()),
        ("personal_tokens", pa.int32()),
        ("position", pa.int32()),
        ("token", pa.int32()),
        ("logits", pa.binary()),
        ("delta", pa.binary()),
    ]
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a recording is of.

    Args:
        cloud: the large model.
        edge: the small model.
        vocab_size: V.
        strength: c that the recorded tokens were chosen with.
        seed: of the recorded run.
    """

    cloud: str
    edge: str
    vocab_size: int
    strength: float
    seed: int


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """One token; rows are packed by ``pack_logits`` and ``pack_delta``."""

    session: int
    prompt_id: str
    public_tokens: int
    personal_tokens: int
    position: int
    token: int
    logits: bytes
    delta: bytes


@dataclass(frozen=True, slots=True)
class RecordedSession:
    """What a run needs to know of a session before it asks for rows."""

    prompt_id: str
    public_tokens: int
    personal_tokens: int
    tokens: tuple[int, ...]


def pack_logits(logits_V: F32) -> bytes:
    """Compress a row, rounded to bf16 (a row on that grid stays as it is)."""
    words_V = (Bf16().fit(logits_V).round(logits_V).view(np.uint32) >> 16).astype("<u2")
    return _pack(words_V.view(np.uint8).reshape(-1, 2))


def pack_delta(delta_V: npt.NDArray[np.floating]) -> bytes:
    """Compress Δ, rounded to float32."""
    return _pack(delta_V.astype("<f4").view(np.uint8).reshape(-1, 4))


def write_recording(path: Path, origin: Origin, steps: Iterable[RecordedStep]) -> None:
    """Write a recording; sessions and positions in any order."""
    ordered = sorted(steps, key=lambda step: (step.session, step.position))
    columns = {name: [getattr(step, name) for step in ordered] for name in _SCHEMA.names}
    told = json.dumps({"format": FORMAT, **asdict(origin)}).encode()
    table = pa.table(columns, schema=_SCHEMA).replace_schema_metadata({_METADATA: told})
    part = path.with_name(f"{path.name}.part")
    pq.write_table(table, part, compression="none", write_page_checksum=True)
    part.replace(path)


class Recording:
    """A recording that has been read: its index in columns, its rows still compressed."""

    def __init__(self, path: str | Path) -> None:
        """Read and check a file.

        Raises:
            ConfigError: it cannot be read, is no recording, or its parts contradict each other.
        """
        self.path = Path(path)
        table = self._table()
        self.origin = self._origin(table.schema.metadata or {})
        session_N = np.asarray(table["session"])
        position_N = np.asarray(table["position"])
        if not len(session_N):
            raise ConfigError(f"recording {path}: holds no tokens; record some")
        starts_S = np.flatnonzero(np.diff(session_N, prepend=session_N[0] - 1))
        lengths_S = np.diff(starts_S, append=len(session_N))
        counted_N = np.arange(len(session_N)) - np.repeat(starts_S, lengths_S)
        if (position_N != counted_N).any() or (
            session_N[starts_S] != np.arange(len(starts_S))
        ).any():
            raise ConfigError(f"recording {path}: sessions or positions are missing; record again")
        self._starts_S, self._lengths_S = starts_S, lengths_S
        self._columns = table

    @property
    def sessions(self) -> int:
        """How many sessions were recorded."""
        return len(self._starts_S)

    def session(self, index: int) -> RecordedSession:
        """Return what is known of a session beside its rows."""
        start, length = int(self._starts_S[index]), int(self._lengths_S[index])
        table = self._columns
        return RecordedSession(
            table["prompt_id"][start].as_py(),
            table["public_tokens"][start].as_py(),
            table["personal_tokens"][start].as_py(),
            tuple(table["token"].slice(start, length).to_pylist()),
        )

    def steps(self, most: int) -> list[tuple[int, int]]:
        """Return (session, position) of whole sessions from the first, about ``most`` steps."""
        found: list[tuple[int, int]] = []
        for index, length in enumerate(self._lengths_S.tolist()):
            if len(found) >= most:
                break
            found += [(index, position) for position in range(length)]
        return found

    def logits(self, index: int, position: int) -> F32:
        """Return the cloud's row; positions beyond the end begin again."""
        octets = self._row("logits", index, position, 2)
        words_V = octets.view("<u2").astype(np.uint32).ravel()
        row_V: F32 = (words_V << 16).view(np.float32)
        return row_V

    def delta(self, index: int, position: int) -> F32:
        """Return Δ; positions beyond the end begin again."""
        row_V: F32 = self._row("delta", index, position, 4).view("<f4").ravel()
        return row_V

    def _row(
        self, column: str, index: int, position: int, word_bytes: int
    ) -> npt.NDArray[np.uint8]:
        at = int(self._starts_S[index]) + position % int(self._lengths_S[index])
        size = self.origin.vocab_size * word_bytes
        packed = self._columns[column][at].as_py()
        try:
            plain = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
        except zstandard.ZstdError as error:
            raise ConfigError(f"recording {self.path}: row {at} of {column}: {error}") from error
        if len(plain) != size:
            raise ConfigError(
                f"recording {self.path}: row {at} of {column} has {len(plain)} bytes, not {size}"
            )
        planes = np.frombuffer(plain, np.uint8).reshape(word_bytes, -1)
        return np.ascontiguousarray(planes.T)

    def _table(self) -> pa.Table:
        try:
            size = self.path.stat().st_size
            if size > _MAX_BYTES:
                raise ConfigError(
                    f"recording {self.path}: {size / 2**30:.1f} GiB; at most 4 GiB are read into"
                    " memory, so record fewer sessions"
                )
            table = pq.read_table(self.path, page_checksum_verification=True)
        except FileNotFoundError as error:
            raise ConfigError(
                f"recording {self.path}: no such file; make one with `costeer record-logits`"
            ) from error
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"recording {self.path}: cannot be read ({reason})") from error
        if table.schema.names != _SCHEMA.names or table.schema.types != _SCHEMA.types:
            raise ConfigError(
                f"recording {self.path}: not a recording; make one with `costeer record-logits`"
            )
        return table

    def _origin(self, metadata: dict[bytes, bytes]) -> Origin:
        try:
            told = json.loads(metadata[_METADATA])
            if told.pop("format") != FORMAT:
                raise ConfigError(f"recording {self.path}: of another version; record again")
            return Origin(**told)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"recording {self.path}: does not say what it is of; record again"
            ) from error


def recorded_session(device: int, request: int, count: int) -> int:
    """Return which of ``count`` recorded sessions a run's session reads.

    Device d's n-th session reads (d + n) modulo count: devices begin with different ones.
    """
    return (device + request) % count


class RecordedRows:
    """A recording as a source of rows.

    Args:
        path: of the recording.
        seed: of the run; a recording has no use for it.
    """

    def __init__(self, path: str, seed: int) -> None:  # noqa: ARG002 - the seam
        self._recording = Recording(path)

    @property
    def vocab_size(self) -> int:
        """V."""
        return self._recording.origin.vocab_size

    def logits(self, session: int, position: int, stream: Stream = Stream.LOGITS) -> F32:
        """Return the cloud's row.

        Raises:
            ConfigError: the small model's own rows are asked for; Δ alone is recorded.
        """
        if stream is not Stream.LOGITS:
            raise ConfigError(
                "recorded values hold no logits of the small model alone; leave out slm_* arms"
            )
        return self._recording.logits(self._index(session), position)

    def delta(self, session: int, position: int) -> F32:
        """Return Δ."""
        return self._recording.delta(self._index(session), position)

    def _index(self, session: int) -> int:
        return recorded_session(*device_and_request(session), self._recording.sessions)


def _pack(octets_VB: npt.NDArray[np.uint8]) -> bytes:
    """Byte planes through zstd: high bytes are alike, low bytes are noise."""
    return zstandard.ZstdCompressor(level=_LEVEL).compress(octets_VB.T.tobytes())
