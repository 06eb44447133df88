"""Times a recorded run anew: the same tokens and payloads under other links, hardware or fleets.

The run's outcomes become a profile beside the new run, and the machines of the `virtual` way (or
the compiled one) carry them out: nothing is computed but time. A device replays the sessions of the
measured device of its own number; where there are more devices or requests than were measured, all
replay blocks that begin at a drawn session.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from actors.models.numerics import Numerics
from actors.values.order import ReplayOrder
from costeer.errors import ConfigError
from experiments.hosting import NO_CLUSTER
from experiments.outcome import RunOutcome, check_out_dir
from experiments.planning.timing import mean_requests_per_device
from experiments.profile.record import record_profile
from experiments.progress import Progress
from experiments.replay.changes import check_same_tokens, recodings_of, widen
from experiments.run import run_scenario
from experiments.scenario import Scenario, load_scenario

PROFILE = "profile.parquet"


def replay_run(
    run_dir: Path, overrides: Sequence[str], out_dir: Path, progress: Progress
) -> RunOutcome:
    """Time a run anew and write the new one.

    Args:
        run_dir: a finished run.
        overrides: ``key=value`` each, as for `costeer run`; `link=`, `hardware=` for all classes,
            `codec=` for all arms that have one.
        out_dir: a new directory.
        progress: told of arms and tokens.

    Raises:
        ConfigError: no such run, one that holds no outcomes, or a change that takes a real run.
    """
    check_out_dir(out_dir)
    file = run_dir / "scenario.yaml"
    if not file.exists():
        raise ConfigError(f"{run_dir}: no scenario.yaml there; give a directory of `costeer run`")
    recorded = load_scenario(str(file))
    asked = load_scenario(str(file), widen(overrides, recorded))
    check_same_tokens(recorded, asked)
    recodings = recodings_of(run_dir, recorded, asked)
    out_dir.mkdir(parents=True, exist_ok=True)
    record_profile(run_dir, out_dir / PROFILE, recodings)
    same = _same_sessions(recorded, asked)
    if not same:
        progress.note("other devices than were recorded: sessions are replayed in drawn blocks")
    if _unsure(recorded):
        progress.note(
            f"the models ran with numerics {recorded.models.numerics.value}: in other batches than"
            " the recorded ones a token may flip; this replay keeps the recorded ones"
        )
    scenario = timed_anew(asked, out_dir / PROFILE, own=same)
    return run_scenario(scenario, out_dir, NO_CLUSTER, progress)


def timed_anew(asked: Scenario, profile: Path, *, own: bool) -> Scenario:
    """Return the scenario that replays a profile instead of computing values."""
    data = asked.model_dump(mode="json")
    data["values"] = "profile"
    order = ReplayOrder.OWN if own else ReplayOrder.DRAWN
    data["profile"] = {"path": str(profile), "order": order.value}
    data["way"] = "virtual" if asked.way == "live" else asked.way
    data["fleet"]["shards"] = 1
    return Scenario.model_validate(data)


def _same_sessions(recorded: Scenario, asked: Scenario) -> bool:
    return recorded.fleet.devices == asked.fleet.devices and mean_requests_per_device(
        recorded
    ) == mean_requests_per_device(asked)


def _unsure(scenario: Scenario) -> bool:
    return scenario.values == "models" and scenario.models.numerics is not Numerics.BATCH_INVARIANT
