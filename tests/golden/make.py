"""Golden runs: the shipped scenario `tiny`, with generated values and on the shipped pair.

Rewrite `tests/golden/tiny.json` after a change that is meant to change results (protocol, costs,
links, corpus, models), and look at the difference before it is committed:

    python -m tests.golden.make

What is stored and why it is the same on every machine. Digests: tokens, bytes and integer times.
Link and arrival draws use the project's own logarithm; costs are products and quotients of
floats, which IEEE 754 rounds alike; payloads are made without zstd, whose output depends on its
version. What does depend on the machine, the last bit of numpy's and torch's transcendental
functions and sums, is rounded to the wire's grid (2^-7 relative, against errors of 2^-50) before a
token or a byte depends on it. Figures of the summary are compared to nine digits, since the order
of a sum is the library's business; scores of texts are among them.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.hosting import open_laboratory
from experiments.planning import plan_workload
from experiments.progress import NoProgress
from experiments.results import load
from experiments.run import run_in
from experiments.scenario import Scenario, load_scenario
from experiments.scenario.models import SHIPPED_MODELS

GOLDEN = Path(__file__).with_name("tiny.json")

FIGURES = (
    "tokens",
    "requests",
    "tokens_per_second",
    "ttft_s",
    "itl_s",
    "e2e_s",
    "payload_bytes_down_per_token",
    "frame_bytes_down_per_token",
    "frame_bytes_up_per_token",
    "wire_bytes_down_per_token",
    "wire_bytes_up_per_token",
    "breakdown_s",
    "quality",
)
"""What is stored of each arm's summary, beside its digests."""


def weights_digest() -> str | None:
    """Fingerprint of the shipped pair's weights; None where it has not been trained."""
    files = [SHIPPED_MODELS / name / "model.safetensors" for name in ("llm", "slm")]
    if not all(file.is_file() for file in files):
        return None
    return sha256(b"".join(sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def scenarios() -> dict[str, Scenario]:
    """The golden runs: `generated`, and `pair` where there are weights."""
    found = {"generated": load_scenario("tiny", ["values=generated", "generated.vocab_size=4096"])}
    if weights_digest() is not None:
        found["pair"] = load_scenario("tiny")
    return found


def run_golden(scenario: Scenario) -> dict[str, Any]:
    """Run in this process; return what is stored of it."""
    workload = plan_workload(scenario)
    with (
        TemporaryDirectory() as folder,
        open_laboratory(scenario, "none") as laboratory,
    ):
        outcome = run_in(laboratory, scenario, workload, Path(folder) / "run", NoProgress())
        tokens = load(outcome.run_dir).requests.groupby("arm")["tokens"]
        texts = {int(str(arm)): [list(map(int, ids)) for ids in each] for arm, each in tokens}
    arms = [arm for arm in outcome.summary["arms"] if arm["link_class"] == "all"]
    return {
        "digest": outcome.summary["digest"],
        "output_digest": outcome.summary["output_digest"],
        "arms": [
            {
                "method": arm["method"],
                "digest": arm["digest"],
                "tokens_by_request": texts[index],
                "summary": {name: arm[name] for name in FIGURES if name in arm},
            }
            for index, arm in enumerate(arms)
        ],
    }


def main() -> None:
    """Write the file."""
    found: dict[str, Any] = {name: run_golden(each) for name, each in scenarios().items()}
    if "pair" in found:
        found["pair"]["weights"] = weights_digest()
    text = json.dumps(found, indent=1)
    # A list of tokens on one line.
    text = re.sub(r"\[[\d,\s]+\]", lambda match: " ".join(match[0].split()), text)
    GOLDEN.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
