"""Make a profile out of a finished run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.values.profile import Profile
from actors.values.profile_file import ProfiledSession, ProfileOrigin, write_profile
from costeer.errors import ConfigError
from costeer.methods import CloudRole, Method, Prompt
from costeer.varint import number_bytes
from experiments.planning import plan_workload
from experiments.profile.drafted import check_drafted, drafted, said_by, with_drafts_beside
from experiments.profile.lookups import lookups
from experiments.results.run import Run, load
from experiments.scenario import ArmConfig, load_scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

    from actors.plan import Request
    from experiments.profile.recode import Recoding

_SOURCES = {"models": "measured", "recorded": "measured", "generated": "synthetic"}
"""Values that are worth a profile, and what its sizes are then."""


def record_profile(
    run_dir: Path, path: Path, recodings: Mapping[int, Recoding] | None = None
) -> Profile:
    """Write the profile of a run, read it back, checked, and return it.

    Sessions that failed or were cut off in one arm are left out of all.

    Args:
        run_dir: a finished run of real, recorded or generated values.
        path: where the profile goes.
        recodings: of arms whose payloads are to weigh what another codec makes of them.

    Raises:
        ConfigError: no such run, not finished, of an older version, or of other values.
    """
    recodings = recodings or {}
    run = load(run_dir)
    if not run.complete:
        raise ConfigError(f"{run_dir}: the run was stopped before its end; run it to the end first")
    if "round_payload_bytes" not in run.tokens or run.tokens["round_payload_bytes"].isna().any():
        raise ConfigError(
            f"{run_dir}: its rows do not hold the size of each payload (a run of an older version);"
            " run it again"
        )
    if "fallback" in run.tokens and run.tokens["fallback"].any():
        raise ConfigError(
            f"{run_dir}: {run.tokens['fallback'].sum():,} tokens were chosen without the cloud, and"
            " a profile is of exchanges; record a run whose cloud answers"
        )
    if any(row["kind"] == "replica_fails" for row in run.summary.get("events", ())):
        raise ConfigError(
            f"{run_dir}: a replica failed in it, and answers were sent twice; record a run without"
        )
    scenario = load_scenario(str(run_dir / "scenario.yaml"))
    if scenario.values not in _SOURCES:
        raise ConfigError(
            f"{run_dir}: its values are {scenario.values!r}; a profile is recorded from a run on"
            " models, recorded or generated values"
        )
    workload = plan_workload(scenario)
    requests = {
        (device.device, index): request
        for device in workload.devices
        for index, request in enumerate(device.requests)
    }
    origin = ProfileOrigin(
        run=scenario.name,
        seed=scenario.seed,
        bytes_origin=_SOURCES[scenario.values],
        vocab_size=workload.vocab_size,
        eos=_ends(run),
        cloud=str(run.manifest["cloud_values"]),
        edge=str(run.manifest["edge_values"]),
        arms=tuple(
            _arm(recodings[index].arm if index in recodings else arm)
            for index, arm in enumerate(scenario.arms)
        ),
    )
    said = [said_by(scenario, index) for index in range(len(scenario.arms))]
    whole = _whole(run, len(scenario.arms))
    if not whole:
        raise ConfigError(
            f"{run_dir}: no session ended well in every arm; there is nothing to keep"
        )
    limit = scenario.workload.max_new_tokens
    tokens = run.tokens.sort_values(["arm", "device", "request", "position"], kind="stable")
    rows = dict(tuple(tokens.groupby(["arm", "device", "request"], sort=False)))
    parts = [
        [
            drafted(
                _looked_up(
                    _session(key, rows[plain, *key], requests[key], limit, scenario.arms[arm]),
                    requests[key],
                    scenario.arms[arm].settings,
                    measured=origin.bytes_origin == "measured",
                ),
                None if scenario.arms[arm].speculation is None else rows[arm, *key],
                _theta(scenario.arms[arm]),
            )
            for key in whole
        ]
        for arm, plain in enumerate(said)
    ]
    for arm in range(len(scenario.arms)):
        check_drafted(scenario, arm, tokens[tokens["arm"] == arm])
        parts[arm] = with_drafts_beside(scenario, arm, parts)
    for arm, recoding in recodings.items():
        parts[arm] = [recoding.session(session) for session in parts[arm]]
    write_profile(path, origin, parts)
    return Profile(path)


def _arm(arm: ArmConfig) -> dict[str, Any]:
    written: dict[str, Any] = arm.model_dump(mode="json", exclude={"padding"})
    return written


def _theta(arm: ArmConfig) -> float | None:
    return None if arm.speculation is None else arm.speculation.theta


def _looked_up(
    session: ProfiledSession, request: Request, method: Method, *, measured: bool
) -> ProfiledSession:
    """Return a streamed session with what its cloud could have looked up.

    Texts of generated values mean nothing, and their clouds look nothing up.
    """
    if not measured or method.cloud is not CloudRole.STREAM:
        return session
    prompt = request.public if method.cloud_prompt is Prompt.PUBLIC else request.personal
    found, followed = lookups(prompt, session.tokens)
    return replace(session, found=found, followed=followed)


def _ends(run: Run) -> tuple[int, ...]:
    ended = run.requests[run.requests["reason"] == "eos"]
    return tuple(sorted({int(tokens[-1]) for tokens in ended["tokens"]}))


def _whole(run: Run, arms: int) -> list[tuple[int, int]]:
    """Return (device, request) of what ended well in every arm, in order."""
    well = run.requests[~run.requests["failed"] & ~run.requests["censored"]]
    counts: Mapping[tuple[int, int], int] = well.groupby(["device", "request"]).size().to_dict()
    return sorted((int(one), int(two)) for (one, two), n in counts.items() if n == arms)


def _session(
    key: tuple[int, int], rows: Mapping[str, Any], request: Request, limit: int, arm: ArmConfig
) -> ProfiledSession:
    own = _own(rows) if arm.gate is not None else []
    payloads = _payloads(rows, own)
    return ProfiledSession(
        device=key[0],
        request=key[1],
        prompt_id=request.prompt_id,
        public_tokens=len(request.public),
        personal_tokens=len(request.personal),
        public_bytes=sum(map(number_bytes, request.public)),
        personal_bytes=sum(map(number_bytes, request.personal)),
        limit=limit if request.limit is None else min(limit, request.limit),
        tokens=rows["token"].tolist(),
        rounds=[len(sizes) - 1 for sizes in payloads],
        payload_bytes=[size for sizes in payloads for size in sizes],
        certified=rows["certified"].tolist(),
        margin=[float(margin) for margin in rows["margin"]],
        own=own,
    )


def _own(rows: Mapping[str, Any]) -> list[bool]:
    """Return which tokens were the cloud's own: nothing was looked at to choose them."""
    proved = zip(rows["certified"], rows["margin"], rows["rounds"], strict=True)
    return [not (certified or margin or rounds) for certified, margin, rounds in proved]


def _payloads(rows: Mapping[str, Any], own: list[bool]) -> list[list[int]]:
    """Return the payloads of each token, one of 0 B where it had none.

    Raises:
        ConfigError: they are not those of the tokens' rounds.
    """
    sent = [[int(size) for size in sizes] for sizes in rows["round_payload_bytes"]]
    wanted = [int(rounds) + 1 for rounds in rows["rounds"]]
    alone = own or [not any(sent)] * len(sent)
    for sizes, count, none in zip(sent, wanted, alone, strict=True):
        if sizes and (none or len(sizes) != count):
            raise ConfigError(
                f"device {rows['device'].iloc[0]}, request {rows['request'].iloc[0]}: its payloads"
                " are not those of its tokens (a run of an older version); run it again"
            )
    return [sizes or [0] for sizes in sent]
