from __future__ import annotations

from dataclasses import replace

import pytest

from actors.values.null import NullCloudHost, NullConfig, NullEdgeHost
from costeer.certificate import Choice
from costeer.errors import ConfigError
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
from tests.actors.value_sessions import arm

CONFIG = NullConfig(payload_bytes=10, vocab_size=50, first_token=7, period=3)


def test_the_cloud_s_values_are_constants() -> None:
    host = NullCloudHost(CONFIG)
    assert host.begin_arm(arm()) == 50
    items = (EncodeItem(1, 0, 0, 8), EncodeItem(2, 9, 0, 8))
    assert host.execute(
        [
            CloudForward((CloudRow(1, (1,), 0),)),
            CloudSelect(items, ((3, 0), (4, 4))),
            Release(1),
        ]
    ) == [None, Selected((bytes(10), bytes(10)), (7, 8)), None]


def test_the_device_s_choices_depend_on_the_position_alone() -> None:
    host = NullEdgeHost(CONFIG)
    assert host.begin_arm(arm()) == 50
    assert host.execute(
        [
            EdgeForward(1, ((1,),), (0,)),
            EdgeDecode(1, 0, 0, b"anything"),
            EdgeSteer(1, 5, 0),
            Release(1),
        ]
    ) == [None, None, Choice(9, certified=True, margin=1.0), None]
    host.begin_arm(arm("slm_with"))
    assert host.execute([EdgeChoose(2, 3)]) == [Choice(7, certified=True, margin=1.0)]


def test_drafts_are_right_as_often_as_is_asked_for() -> None:
    for acceptance in (0.0, 0.7, 1.0):
        host = NullEdgeHost(replace(CONFIG, acceptance=acceptance))
        host.begin_arm(arm())
        asked = range(2_000)
        drafts = host.execute([EdgeChoose(1, position) for position in asked])
        chosen = host.execute([EdgeSteer(1, position, 0) for position in asked])
        right = sum(one == other for one, other in zip(drafts, chosen, strict=True))
        assert right / len(asked) == pytest.approx(acceptance, abs=0.05)


@pytest.mark.parametrize(
    "wrong", [{"payload_bytes": -1}, {"period": 0}, {"first_token": -1}, {"vocab_size": 100}]
)
def test_impossible_constants_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="null values"):
        NullConfig(**wrong)
