"""Every error that the laboratory raises on purpose, in one tree.

``ConfigError`` is the user's input, ``RemoteProtocolError`` is what the peer sent,
``LocalProtocolError`` is our own bug. A command turns the first into one line and exit code 2,
a machine turns the second into an ERROR frame for that session alone, and the third is never
caught. All take one message, so they survive pickling between processes.
"""

from __future__ import annotations


class CosteerError(Exception):
    """Root of the tree."""


class ConfigError(CosteerError):
    """What a person wrote cannot be run: names what, where and the way out."""


class StalledHostError(CosteerError):
    """A host of this laboratory does not come back from what it was asked."""


class ProtocolError(CosteerError):
    """Root of what goes wrong between two parties."""


class RemoteProtocolError(ProtocolError):
    """The peer sent something that the protocol does not allow."""


class FrameError(RemoteProtocolError):
    """Bytes that are not a frame: bad version, length, checksum or encoding."""


class CodecError(RemoteProtocolError):
    """A payload that its codec cannot have produced."""


class LocalProtocolError(ProtocolError):
    """A machine was driven in a way that its rules forbid: a bug in this project."""
