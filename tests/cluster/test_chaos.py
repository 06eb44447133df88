"""What dies in the laboratory changes nothing of what it says: the short form of `make chaos`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray

ROOT = Path(__file__).parents[2]
LOST_MESSAGES = json.dumps(
    {
        "CoreWorkerService.grpc_client.PushTask": {
            "num_failures": 4,
            "req_failure_prob": 10,
            "resp_failure_prob": 10,
        }
    }
)
"""For Ray's own fault injection: requests and replies that never come, in per cent."""
LATE_MESSAGES = "CoreWorkerService.grpc_server.PushTask=0:5000"
"""Likewise: requests that are taken late, in microseconds."""


def test_kills_and_lost_and_late_messages_change_no_digest() -> None:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "RAY_"}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "RAY_testing_rpc_failure": LOST_MESSAGES,
        "RAY_testing_asio_delay_us": LATE_MESSAGES,
    }
    targets = ["cloud", "shard", "raylet", "messages"]
    arguments = ["--points", "4", "--tokens", "5", "--targets", ",".join(targets)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.chaos", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["target"] for line in lines] == targets, done.stderr[-2000:]
    assert all(line["same"] for line in lines)
    assert all(line["recovery_s"] for line in lines[:3])
    assert done.returncode == 0
