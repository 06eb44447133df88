"""Profiles: what is written reads back, what is torn is said, blocks are contiguous."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fleet.outcomes import Outcomes
from actors.plan import session_id
from actors.values.order import ReplayOrder
from actors.values.profile import Profile
from actors.values.profile_file import ProfiledSession
from actors.values.replayed import ReplayCloudHost, Replayed, ReplayEdgeHost, ReplaySpec
from costeer.certificate import Choice
from costeer.errors import ConfigError, LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudSelect,
    EdgeChoose,
    EdgeDecode,
    EdgeSteer,
    EncodeItem,
    Release,
    Selected,
)
from costeer.methods import method_named
from tests.actors.profiles import EOS, VOCAB, profile, sessions, written
from tests.actors.value_sessions import arm


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "profile.parquet"


def test_what_is_written_reads_back(path: Path) -> None:
    read, part = profile(path), profile(path).parts[0]
    assert read.sessions == 4
    assert read.origin.arms == ({"method": "costeer"},)
    assert read.public_S.tolist() == [5, 6, 7, 8]
    assert part.first_row_S1.tolist() == [0, 4, 6, 15, 18]
    assert part.token_R[:6].tolist() == [10, 11, 12, EOS, 13, EOS]
    assert part.rounds_R[:6].tolist() == [0, 1, 2, 0, 0, 1]
    first = [[1], [11, 12], [21, 22, 23], [31], [1001], [1011, 1012]]
    assert part.payload_bytes_P[:10].tolist() == [size for sizes in first for size in sizes]
    assert part.total_bytes_R[:6].tolist() == [sum(sizes) for sizes in first]


def test_what_contradicts_itself_is_refused(path: Path) -> None:
    whole = sessions()

    def complaint(first: ProfiledSession) -> str:
        with pytest.raises(ConfigError) as caught:
            Profile(written(path, [[first, *whole[1:]]]))
        assert str(path) in str(caught.value)
        return str(caught.value)

    assert "fewer" in complaint(replace(whole[0], certified=[True]))
    assert "no round asked for" in complaint(replace(whole[0], payload_bytes=[1] * 20))
    assert "out of its range" in complaint(replace(whole[0], tokens=[10, 11, VOCAB, EOS]))
    assert "out of its range" in complaint(replace(whole[0], limit=3))
    assert "after its end" in complaint(replace(whole[0], tokens=[10, EOS, 12, EOS]))
    assert "before its limit" in complaint(replace(whole[0], tokens=[10, 11, 12, 13]))
    assert "makes no sense" in complaint(replace(whole[0], public_tokens=-1))


def test_a_profile_of_nothing_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="no sessions"):
        Profile(written(path, [sessions()], arms=()))


def test_arms_have_the_same_sessions(path: Path) -> None:
    arms = ({"method": "costeer"}, {"method": "llm_without"})
    assert len(Profile(written(path, [sessions(), sessions()], arms)).parts) == 2
    other = [replace(sessions()[0], public_tokens=77), *sessions()[1:]]
    with pytest.raises(ConfigError, match="arms differ in public_tokens"):
        Profile(written(path, [sessions(), other], arms))
    with pytest.raises(ConfigError, match="arms that it does not name"):
        Profile(written(path, [sessions(), sessions()], arms[:1]))


def test_what_is_no_profile_is_said(path: Path) -> None:
    with pytest.raises(ConfigError, match="record-profile"):
        Profile(path)
    path.write_bytes(b"PAR1 no PAR1")
    with pytest.raises(ConfigError, match="cannot be read"):
        Profile(path)
    whole = written(path).read_bytes()
    middle = len(whole) // 4
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(ConfigError):
        Profile(path)


# --------------------------------------------------------------------------- which sessions


@settings(max_examples=30)
@given(st.integers(0, 2**63 - 1), st.lists(st.integers(0, 999_999), min_size=1, max_size=20))
def test_many_are_picked_as_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, seed: int, devices: list[int]
) -> None:
    read = profile(tmp_path_factory.mktemp("profile") / "p.parquet")
    device_N, request_N = np.array(devices), np.arange(len(devices)) * 37
    drawn = ReplayOrder.DRAWN
    asked = zip(devices, request_N.tolist(), strict=True)
    one_by_one = [read.session_of(drawn, seed, *pair) for pair in asked]
    assert read.sessions_of(drawn, seed, device_N, request_N).tolist() == one_by_one
    blocks = [read.session_of(drawn, seed, devices[0], request) for request in range(9)]
    assert blocks == [(blocks[0] + request) % read.sessions for request in range(9)]


def test_a_device_s_own_sessions(path: Path) -> None:
    read = profile(path)
    own = ReplayOrder.OWN
    assert read.sessions_of(own, 5, np.array([1, 0]), np.array([1, 0])).tolist() == [3, 0]
    with pytest.raises(ConfigError, match="no request 0 of device 2"):
        read.session_of(own, 5, 2, 0)


def test_offsets_are_spread_evenly(path: Path) -> None:
    read = profile(path)
    device_N = np.arange(40_000)
    drawn_N = read.sessions_of(ReplayOrder.DRAWN, 3, device_N, np.zeros_like(device_N))
    counts = np.bincount(drawn_N, minlength=4)
    # Four equal shares of 40,000: a standard deviation of 87; five of them.
    assert np.abs(counts - 10_000).max() < 440


# --------------------------------------------------------------------------- outcomes and hosts


def test_a_session_ends_where_the_measured_one_does_or_reads_on(path: Path) -> None:
    part = profile(path).parts[0]
    picked, limits = np.array([1, 3, 2]), np.array([9, 9, 4])
    ended = Outcomes.replayed(part, picked, limits, to_the_limit=False)
    assert ended.lengths.tolist() == [2, 3, 4]
    on = Outcomes.replayed(part, picked, limits, to_the_limit=True)
    assert on.lengths.tolist() == [9, 9, 4]
    first = int(on.first_rows[1])
    read = [on[first + index] for index in range(9)]
    # The last session, and round again to the first ones.
    assert [row.token for row in read] == [23, 24, EOS, 10, 11, 12, EOS, 13, EOS]
    assert read[2].payload_bytes == (3021, 3022, 3023)
    assert read[3].payload_bytes == (1,)
    assert on.most_rounds == 3


def test_hosts_say_what_outcomes_say(path: Path) -> None:
    read = profile(path)
    steered = arm()
    spec = ReplaySpec(str(path), ReplayOrder.DRAWN, ((steered, Replayed((0,))),))
    cloud, edge = ReplayCloudHost(spec), ReplayEdgeHost(spec)
    assert cloud.begin_arm(steered) == edge.begin_arm(steered) == VOCAB
    by_itself = replace(steered, method=method_named("slm_with"))
    alone = ReplayEdgeHost(ReplaySpec(str(path), ReplayOrder.DRAWN, ((by_itself, Replayed((0,))),)))
    alone.begin_arm(by_itself)
    for device, request in ((0, 0), (1, 0), (1, 1), (7, 2)):
        name = session_id(device, request)
        picked = read.sessions_of(
            ReplayOrder.DRAWN, steered.seed, np.array([device]), np.array([request])
        )
        outcomes = Outcomes.replayed(read.parts[0], picked, np.array([9]), to_the_limit=True)
        assert cloud.execute([CloudForward(())]) == [None]
        for position in range(9):
            row = outcomes[int(outcomes.first_rows[0]) + position]
            for round_, size in enumerate(row.payload_bytes):
                item = EncodeItem(name, position, 8 * round_, 8 * round_ + 8)
                (selected,) = cloud.execute([CloudSelect((item,), ())])
                assert selected == Selected((bytes(size),), ())
                choice = edge.execute(
                    [EdgeDecode(name, position, round_, b""), EdgeSteer(name, position, round_)]
                )[1]
                assert isinstance(choice, Choice)
                last = round_ + 1 == len(row.payload_bytes)
                assert (choice.token, choice.final) == (row.token, last)
                assert choice.certified == (row.certified and last)
            chosen = cloud.execute([CloudSelect((), ((name, position),))])
            assert chosen == [Selected((), (row.token,))]
            (said,) = alone.execute([EdgeChoose(name, position)])
            assert isinstance(said, Choice)
            assert said.token == row.token
            with pytest.raises(LocalProtocolError, match="says nothing of drafts"):
                edge.execute([EdgeChoose(name, position)])
        assert cloud.execute([Release(name)]) == [None]


def test_what_no_profile_holds_is_not_made_up(path: Path) -> None:
    profile(path)
    steered = arm()
    cloud = ReplayCloudHost(ReplaySpec(str(path), ReplayOrder.DRAWN, ((steered, Replayed((0,))),)))
    with pytest.raises(LocalProtocolError, match="before begin_arm"):
        cloud.execute([CloudSelect((), ((0, 0),))])
    with pytest.raises(LocalProtocolError, match="no part"):
        cloud.begin_arm(replace(steered, seed=steered.seed + 1))
    cloud.begin_arm(steered)
    again = CloudSelect((EncodeItem(0, 0, 8, 16),), ())
    for _ in range(3):  # no token of the profile has more rounds
        with suppress(LocalProtocolError):
            cloud.execute([again])
    with pytest.raises(LocalProtocolError, match="no round 3"):
        cloud.execute([again])
