"""What a frame costs on the wire: HTTP/2, TLS and TCP/IP around it, acknowledgements back.

A frame of n bytes is cut into HTTP/2 DATA frames, those into TLS records, those into TCP
segments, each layer adding its headers. With the default numbers a frame of 165 B costs
165 + 9 + 22 + 52 = 248 B. Acknowledgements travel the other way and are counted apart; they
are not charged time there, since they are 2 % of the bytes and seldom meet data.

The functions take and return integers only, so that compiled code can call them.
"""

from dataclasses import dataclass, field, fields
from typing import NamedTuple, TypeAlias

from netsim.errors import NetsimError

WireTerms: TypeAlias = tuple[int, int, int, int, int, int, int, int]
"""The sizes of a `WireFormat`, in their order."""


@dataclass(frozen=True, slots=True)
class WireFormat:
    """Header sizes of the layers below a frame, in bytes. A header of 0 B leaves a layer out."""

    segment_payload_bytes: int = 1448
    """Data in one TCP segment: Ethernet's 1500 B less IPv4 (20), TCP (20), timestamps (12)."""
    segment_header_bytes: int = 52
    """TCP/IP header of each segment."""
    record_payload_bytes: int = 16384
    """Largest TLS record (RFC 8446)."""
    record_overhead_bytes: int = 22
    """TLS 1.3: header (5), content type (1), authentication tag (16)."""
    data_frame_payload_bytes: int = 16384
    """Largest HTTP/2 DATA frame (RFC 9113, the default)."""
    data_frame_header_bytes: int = 9
    """HTTP/2 frame header."""
    ack_bytes: int = 52
    """One acknowledgement without data."""
    segments_per_ack: int = 2
    """Delayed acknowledgements: one for so many segments (RFC 9293)."""

    terms: WireTerms = field(init=False, repr=False, compare=False)
    """All of these, as `wire_numbers` takes them."""

    def __post_init__(self) -> None:
        names = [each.name for each in fields(self) if each.init]
        for name in names:
            divisor = name.endswith("payload_bytes") or name == "segments_per_ack"
            least = 1 if divisor else 0
            if getattr(self, name) < least:
                raise NetsimError(
                    f"wire format: {name} = {getattr(self, name)}; it must be at least {least}"
                )
        object.__setattr__(self, "terms", tuple(getattr(self, name) for name in names))


class WireCost(NamedTuple):
    """What one frame costs. A named tuple: one is made for every message."""

    bytes: int
    """Bytes in the frame's own direction, all headers included."""
    packets: int
    """TCP segments in that direction."""
    ack_bytes: int
    """Acknowledgement bytes in the other direction."""


HTTP2_OVER_TLS = WireFormat()
"""One long HTTP/2 connection over TLS 1.3: what the project's frames travel in."""
RAW_TCP = WireFormat(record_overhead_bytes=0, data_frame_header_bytes=0)
"""A bare TCP connection: what the measured rows of the tests used."""

QUIC = WireFormat(
    segment_payload_bytes=1437,
    segment_header_bytes=63,
    record_overhead_bytes=0,
    data_frame_header_bytes=3,
    ack_bytes=65,
)
"""HTTP/3 over QUIC version 1: Ethernet's 1500 B less IPv4 (20), UDP (8), a short header with an
8-byte connection id and a 2-byte packet number (11), the authentication tag (16), and the header of
one STREAM frame (8) a packet; an acknowledgement has an ACK frame (10) instead. RFC 9000, 9114."""


def pieces(size_bytes: int, piece_bytes: int) -> int:
    """How many pieces of at most `piece_bytes` hold `size_bytes`; 0 for nothing."""
    if 0 < size_bytes <= piece_bytes:  # nearly always, and a division takes its time
        return 1
    return (size_bytes + piece_bytes - 1) // piece_bytes


def layered_bytes(size_bytes: int, piece_bytes: int, overhead_bytes: int) -> int:
    """Size after one layer has cut `size_bytes` into pieces and put `overhead_bytes` on each."""
    return size_bytes + pieces(size_bytes, piece_bytes) * overhead_bytes


def wire_numbers(frame_bytes: int, terms: WireTerms) -> tuple[int, int, int]:
    """`WireCost` as plain numbers, for a frame of at least 0 B."""
    segment, header, record, overhead, data, data_header, ack, per_ack = terms
    stream_bytes = layered_bytes(layered_bytes(frame_bytes, data, data_header), record, overhead)
    packets = pieces(stream_bytes, segment)
    return stream_bytes + packets * header, packets, pieces(packets, per_ack) * ack


def wire_cost(frame_bytes: int, wire: WireFormat = HTTP2_OVER_TLS) -> WireCost:
    """What `frame_bytes` cost on the wire; an empty frame costs nothing.

    Raises NetsimError for a negative size.
    """
    if frame_bytes < 0:
        raise NetsimError(f"frame of {frame_bytes} bytes: a size cannot be negative")
    return WireCost(*wire_numbers(frame_bytes, wire.terms))


def merged(
    wire_bytes: int,
    packets: int,
    room_bytes: int,
    waits: bool,
    header_bytes: int,
    payload_bytes: int,
) -> tuple[int, int, int]:
    """What a frame costs that may have to wait: (wire_bytes, packets, room_bytes after it).

    Data that a window holds back stays in one queue and is cut into packets when it leaves: a
    frame that waits shares the last waiting packet, if it fits, and has none of its own. So a
    stream of small frames is not held up frame by frame.

    Args:
        wire_bytes: what it costs by itself.
        packets: likewise.
        room_bytes: what still fits into the packet sent last.
        waits: whether that packet has not left yet.
        header_bytes: of a packet.
        payload_bytes: of a packet.
    """
    stream_bytes = wire_bytes - packets * header_bytes
    if waits and stream_bytes <= room_bytes:
        return stream_bytes, 0, room_bytes - stream_bytes
    return wire_bytes, packets, packets * payload_bytes - stream_bytes
