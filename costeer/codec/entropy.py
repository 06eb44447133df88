"""The entropy stage: bytes to fewer bytes, and back within a declared size.

zstd frames are written without magic, checksum and dictionary id (the frame around them has a
checksum of its own) and with their content size, which the reader holds against the limit before
it allocates anything.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Protocol

import zstandard

from costeer.errors import CodecError, ConfigError

_FORMAT = zstandard.FORMAT_ZSTD1_MAGICLESS


class Entropy(Protocol):
    """A reversible stage over a whole body."""

    @property
    def name(self) -> str:
        """Short stable id for tables; empty if the stage does nothing."""

    def bound(self, body_bytes: int) -> int:
        """Largest size of a body of at most `body_bytes` after the stage."""

    def pack(self, body: bytes) -> bytes:
        """The body after the stage."""

    def unpack(self, packed: bytes, max_body_bytes: int) -> bytes:
        """The body again, at most `max_body_bytes`. Raises CodecError."""


class Plain:
    """No entropy stage."""

    name = ""

    def bound(self, body_bytes: int) -> int:
        """The same."""
        return body_bytes

    def pack(self, body: bytes) -> bytes:
        """The same."""
        return body

    def unpack(self, packed: bytes, max_body_bytes: int) -> bytes:
        """The same, if it is not too long."""
        if len(packed) > max_body_bytes:
            raise CodecError(f"payload of {len(packed)} bytes, at most {max_body_bytes} expected")
        return packed


class Zstd:
    """One zstd frame, with a dictionary that both sides hold or without.

    Not to be shared between threads (its contexts are reused).
    """

    def __init__(self, level: int, dictionary: bytes | None = None) -> None:
        self.name = f"zstd{level}"
        trained = None
        if dictionary is not None:
            self.name += f"dict{zlib.crc32(dictionary):08x}"
            trained = zstandard.ZstdCompressionDict(dictionary)
        params = zstandard.ZstdCompressionParameters.from_level(
            level,
            format=_FORMAT,
            write_checksum=False,
            write_content_size=True,
            write_dict_id=False,
        )
        self._compressor = zstandard.ZstdCompressor(dict_data=trained, compression_params=params)
        self._decompressor = zstandard.ZstdDecompressor(dict_data=trained, format=_FORMAT)

    def bound(self, body_bytes: int) -> int:
        """The format's own bound: incompressible input grows by 1/256 and a few headers."""
        return body_bytes + (body_bytes >> 8) + 128

    def pack(self, body: bytes) -> bytes:
        """One frame."""
        return self._compressor.compress(body)

    def unpack(self, packed: bytes, max_body_bytes: int) -> bytes:
        """The content of exactly one frame with a declared size within the limit."""
        if len(packed) > self.bound(max_body_bytes):
            raise CodecError(
                f"payload of {len(packed)} bytes, at most {self.bound(max_body_bytes)} expected"
            )
        try:
            frame = zstandard.get_frame_parameters(packed, format=_FORMAT)
            if not 0 < frame.content_size <= max_body_bytes:
                raise CodecError(
                    f"zstd frame declares {frame.content_size} bytes, "
                    f"at most {max_body_bytes} expected"
                )
            if frame.has_checksum or frame.dict_id:
                raise CodecError("zstd frame has a checksum or dictionary that no encoder writes")
            body = self._decompressor.decompress(packed, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise CodecError(f"payload is not one zstd frame: {error}") from error
        if len(body) != frame.content_size:
            raise CodecError(f"zstd frame holds {len(body)} bytes, declares {frame.content_size}")
        return body


def train_dictionary(bodies: Sequence[bytes], size_bytes: int) -> bytes:
    """A zstd dictionary of at most `size_bytes` for bodies like these.

    Bodies are payloads of the same codec without its entropy stage. Raises ConfigError if they are
    too few to learn from.
    """
    try:
        return zstandard.train_dictionary(size_bytes, list(bodies)).as_bytes()
    except zstandard.ZstdError as error:
        raise ConfigError(
            f"no dictionary of {size_bytes} bytes from {len(bodies)} bodies: {error}; give more"
        ) from error
