"""Sessions that a finished run had, kept in a file, and replayed without models or logits.

A profile is a Parquet file, one row per session and part: a part is one arm of the run that was
measured. Lists in a row hold its tokens, how many MOREs each needed, the size of every payload, and
whether the choice was certified. Its metadata say what it is of (``ProfileOrigin``).

All parts have the same sessions, in the order in which the measured devices had them. A device that
replays a profile begins at a drawn session and takes them one after the other, round and round: its
sessions are a contiguous block, so what follows what is as it was measured, within a session and
from one to the next. A session that is to run on beyond its measured end reads on in the next one.
To time a run anew, a device can replay the sessions of its own number instead (``ReplayOrder``).

Legend: S sessions, R tokens of a part, P payloads of a part.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from actors.values.order import ReplayOrder
from actors.values.profile_file import FORMAT, METADATA, MORE, SCHEMA, ProfileOrigin
from costeer.errors import ConfigError
from netsim.random import Stream, hash_u64, stream_keys, u64

Integers: TypeAlias = npt.NDArray[np.int64]

_MAX_BYTES = 1 << 28
_LONGEST_PROMPT = 10_000_000
_ID_BYTES = 5
"""That an id takes in a frame at most."""


@dataclass(frozen=True, slots=True)
class ProfilePart:
    """What the sessions of one arm said, end to end.

    Args:
        first_row_S1: where each session's tokens begin, and behind the last.
        token_R: ids.
        first_payload_R1: where each token's payloads begin, and behind the last.
        payload_bytes_P: sizes.
        certified_R: whether proven.
        margin_R: in nats.
        right_R: whether what was drafted in each token's place was right; None of an arm that does
            not draft.
        own_R: whether each token was the cloud's own; None of an arm whose steering never pauses.
        sure_R: whether the cloud has to have been sure of it, so that its gate closed where it did;
            None likewise.
        found_R: how many tokens the cloud could have looked up to stand from there on; None where
            nobody says.
        followed_R: how many of these stand there, from the first; None likewise.
    """

    first_row_S1: Integers
    token_R: Integers
    first_payload_R1: Integers
    payload_bytes_P: Integers
    certified_R: npt.NDArray[np.bool_]
    margin_R: npt.NDArray[np.float64]
    right_R: npt.NDArray[np.bool_] | None = None
    own_R: npt.NDArray[np.bool_] | None = None
    sure_R: npt.NDArray[np.bool_] | None = None
    found_R: Integers | None = None
    followed_R: Integers | None = None

    @property
    def rounds_R(self) -> Integers:
        """MOREs of each token."""
        return np.diff(self.first_payload_R1) - 1

    @property
    def total_bytes_R(self) -> Integers:
        """Payload bytes of each token, all its rounds together."""
        return np.add.reduceat(self.payload_bytes_P, self.first_payload_R1[:-1])


class Profile:
    """A profile that has been read and checked."""

    def __init__(self, path: str | Path) -> None:
        """Read a file.

        Raises:
            ConfigError: it cannot be read, is no profile, or its parts contradict each other.
        """
        self.path = Path(path)
        table = self._table()
        self.origin = self._origin(table.schema.metadata or {})
        parts = [
            table.filter(pa.compute.equal(table["part"], number))
            for number in range(len(self.origin.arms))
        ]
        if not parts or not len(parts[0]):
            raise ConfigError(f"profile {path}: holds no sessions; record a run that has some")
        if sum(len(part) for part in parts) != len(table):
            raise self._torn("it has sessions of arms that it does not name")
        self.prompt_ids: list[str] = parts[0]["prompt_id"].to_pylist()
        self.public_S = self._column(parts, "public_tokens")
        self.personal_S = self._column(parts, "personal_tokens")
        self.public_bytes_S = self._column(parts, "public_bytes")
        self.personal_bytes_S = self._column(parts, "personal_bytes")
        self.limit_S = self._column(parts, "limit")
        self._column(parts, "session")
        owners = zip(
            self._column(parts, "device").tolist(),
            self._column(parts, "request").tolist(),
            strict=True,
        )
        self._owned = {owner: index for index, owner in enumerate(owners)}
        if any(part["prompt_id"].to_pylist() != self.prompt_ids for part in parts):
            raise self._torn("its arms have different prompts")
        lowest = min(self.public_S.min(), self.personal_S.min(), self.limit_S.min() - 1)
        if lowest < 0 or max(self.public_S.max(), self.personal_S.max()) > _LONGEST_PROMPT:
            raise self._torn("a prompt's length or a limit makes no sense")
        for tokens_S, bytes_S in (
            (self.public_S, self.public_bytes_S),
            (self.personal_S, self.personal_bytes_S),
        ):
            if ((bytes_S < tokens_S) | (bytes_S > _ID_BYTES * tokens_S)).any():
                raise self._torn("a prompt's size makes no sense")
        self.parts = tuple(map(self._part, parts, self.origin.arms))

    @property
    def sessions(self) -> int:
        """S."""
        return len(self.prompt_ids)

    def session_of(self, order: ReplayOrder, seed: int, device: int, request: int) -> int:
        """Return the session that a device's n-th one replays.

        Args:
            order: by what rule.
            seed: of the run.
            device: its number in the whole fleet.
            request: n, from 0.

        Raises:
            ConfigError: no such session was measured (``own`` alone).
        """
        if order is ReplayOrder.DRAWN:
            return (u64(seed, Stream.PROFILE, device, 0) % self.sessions + request) % self.sessions
        found = self._owned.get((device, request))
        if found is None:
            raise ConfigError(
                f"profile {self.path}: holds no request {request} of device {device}; give the"
                " scenario the devices and requests of the run that was measured, or order: drawn"
            )
        return found

    def sessions_of(
        self,
        order: ReplayOrder,
        seed: int,
        device_N: npt.NDArray[np.integer],
        request_N: npt.NDArray[np.integer],
    ) -> Integers:
        """``session_of`` for many.

        Raises:
            ConfigError: no such session was measured (``own`` alone).
        """
        if order is ReplayOrder.OWN:
            pairs = zip(device_N.tolist(), request_N.tolist(), strict=True)
            return np.array([self.session_of(order, seed, *pair) for pair in pairs], np.int64)
        keys_N = stream_keys(seed, Stream.PROFILE, device_N)
        drawn_N = hash_u64(keys_N, np.zeros_like(keys_N)) % np.uint64(self.sessions)
        found_N: Integers = (drawn_N.astype(np.int64) + request_N) % self.sessions
        return found_N

    def _column(self, parts: Sequence[pa.Table], name: str) -> Integers:
        columns = [np.asarray(part[name], dtype=np.int64) for part in parts]
        if any(not np.array_equal(columns[0], other) for other in columns[1:]):
            raise self._torn(f"its arms differ in {name}")
        return columns[0]

    def _part(self, table: pa.Table, arm: dict[str, Any]) -> ProfilePart:
        def lengths(name: str) -> Integers:
            return np.asarray(pa.compute.list_value_length(table[name]), dtype=np.int64)

        def values(name: str, kind: type) -> Any:  # noqa: ANN401 - a column of any kind
            return np.asarray(pa.compute.list_flatten(table[name]), dtype=kind)

        length_S, rounds_R = lengths("tokens"), values("rounds", np.int64)
        told = [more.name for more in MORE if more.name in table.schema.names]
        told = [name for name in told if lengths(name).any()]
        same = ("rounds", "certified", "margin", *told)
        if any(not np.array_equal(lengths(name), length_S) for name in same):
            raise self._torn("a session has more tokens than outcomes, or fewer")
        more = {
            each.name: values(each.name, np.bool_ if each.type == MORE[0].type else np.int64)
            for each in MORE
            if each.name in told
        }
        own_R, sure_R = more.get("own"), None
        if own_R is not None:
            if not arm.get("gate"):
                raise self._torn("steering pauses in an arm that has no gate")
            sure_R = _sure(own_R, _sums(length_S), int(arm["gate"]["after"]))
        part = ProfilePart(
            first_row_S1=_sums(length_S),
            token_R=values("tokens", np.int64),
            first_payload_R1=_sums(rounds_R + 1),
            payload_bytes_P=values("payload_bytes", np.int64),
            certified_R=values("certified", np.bool_),
            margin_R=values("margin", np.float64),
            right_R=more.get("right"),
            own_R=own_R,
            sure_R=sure_R,
            found_R=more.get("found"),
            followed_R=more.get("followed"),
        )
        payloads_S = np.add.reduceat(rounds_R + 1, part.first_row_S1[:-1])
        if length_S.min() < 1 or not np.array_equal(lengths("payload_bytes"), payloads_S):
            raise self._torn("a session has no tokens, or payloads that no round asked for")
        if (
            min(rounds_R.min(), part.payload_bytes_P.min(), part.token_R.min()) < 0
            or part.token_R.max() >= self.origin.vocab_size
            or (length_S > self.limit_S).any()
            or (
                part.found_R is not None
                and (
                    part.followed_R is None
                    or min(part.followed_R.min(), (part.found_R - part.followed_R).min()) < 0
                )
            )
        ):
            raise self._torn("a token, a round or a size is out of its range")
        ends_R = np.isin(part.token_R, self.origin.eos)
        last_S = part.first_row_S1[1:] - 1
        at_end_S = ends_R[last_S]
        if ends_R.sum() != at_end_S.sum() or (~at_end_S & (length_S != self.limit_S)).any():
            raise self._torn("a session goes on after its end, or ends before its limit")
        return part

    def _torn(self, what: str) -> ConfigError:
        return ConfigError(f"profile {self.path}: {what}; record it again")

    def _table(self) -> pa.Table:
        try:
            size = self.path.stat().st_size
            if size > _MAX_BYTES:
                raise ConfigError(
                    f"profile {self.path}: {size / 2**20:.0f} MiB; at most {_MAX_BYTES >> 20} MiB"
                    " are read into memory, so record a run of fewer sessions"
                )
            table = pq.read_table(self.path, page_checksum_verification=True)
        except FileNotFoundError as error:
            raise ConfigError(
                f"profile {self.path}: no such file; make one with `costeer record-profile`"
            ) from error
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"profile {self.path}: cannot be read ({reason})") from error
        known = SCHEMA
        for more in MORE:
            if more.name in table.schema.names:
                known = known.append(more)
        if table.schema.names != known.names or table.schema.types != known.types:
            raise ConfigError(
                f"profile {self.path}: not a profile; make one with `costeer record-profile`"
            )
        if any(column.null_count for column in table.columns):
            raise self._torn("a value is missing")
        return table

    def _origin(self, metadata: dict[bytes, bytes]) -> ProfileOrigin:
        try:
            told = json.loads(metadata[METADATA])
            if told.pop("format") != FORMAT:
                raise ConfigError(f"profile {self.path}: of another version; record it again")
            told["eos"], told["arms"] = tuple(told["eos"]), tuple(told["arms"])
            return ProfileOrigin(**told)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"profile {self.path}: does not say what it is of; record it again"
            ) from error


def _sums(lengths_N: Integers) -> Integers:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths_N, dtype=np.int64)))


def _sure(
    own_R: npt.NDArray[np.bool_], first_row_S1: Integers, after: int
) -> npt.NDArray[np.bool_]:
    """Return of which tokens a cloud has to be sure, so that its gate closes where it did.

    Of its own ones, and of the ``after`` before the first of a run of them. Of others it may have
    been, to no effect.
    """
    sure_R = own_R.copy()
    begins_R = own_R & ~np.concatenate(([False], own_R[:-1]))
    begins_R[first_row_S1[:-1]] = False
    for ahead in range(1, after + 1):
        at = np.flatnonzero(begins_R) - ahead
        sure_R[at[at >= 0]] = True
    return sure_R
