"""Errors cross processes and say whose fault they are."""

from __future__ import annotations

import pickle

import pytest

from costeer import errors
from costeer.errors import (
    CodecError,
    ConfigError,
    CosteerError,
    FrameError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
)

TREE = [kind for kind in vars(errors).values() if isinstance(kind, type)]


@pytest.mark.parametrize("kind", TREE)
def test_errors_survive_pickling(kind: type[CosteerError]) -> None:
    again = pickle.loads(pickle.dumps(kind("what, where, way out")))  # noqa: S301 - our own bytes
    assert type(again) is kind
    assert str(again) == "what, where, way out"


def test_the_tree_tells_whose_fault_it_is() -> None:
    assert all(issubclass(kind, CosteerError) for kind in TREE)
    for theirs in (FrameError, CodecError):
        assert issubclass(theirs, RemoteProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert issubclass(LocalProtocolError, ProtocolError)
    assert not issubclass(ConfigError, ProtocolError)
