"""A model at a server steers as the same model in this process does."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from actors.completions.client import CompletionsClient, Endpoint
from actors.models.loading import load
from actors.models.numerics import Numerics
from costeer.errors import ConfigError
from experiments.planning import plan_arm, plan_workload
from experiments.results import load as load_results
from experiments.scenario import Scenario
from experiments.scenario.models import SHIPPED_MODELS
from tests.actors.completions.server import ModelServer, serving
from tests.experiments import small_runs

FAST = {"retries": 2, "top_logprobs": 20}
ACCEPT = {"max_rounds": 0, "at_cap": "accept"}
TOP = {"select": {"kind": "top_k", "k": 20}, "values": "fp32", "layout": "packed"}


@cache
def server_model() -> Any:
    return load(str(SHIPPED_MODELS / "llm"), Numerics.BATCH_INVARIANT)


def scenario(cloud: dict[str, Any], **changes: Any) -> Scenario:
    return small_runs.scenario(
        **{
            "values": "models",
            "models": {"cloud": cloud, "edge": {"kind": "hf", "path": "pair/slm"}},
            "arms": [
                {"method": "costeer", "codec": TOP, "refine": ACCEPT},
                {"method": "llm_without"},
            ],
            "workload": {"max_new_tokens": 5, "limit": 3},
            "fleet": {
                "devices": 3,
                "arrivals": {"kind": "closed", "think_s": 0.01},
                "classes": [{"share": 1, "link": "cable", "hardware": "laptop-cpu"}],
            },
            **changes,
        }
    )


def test_the_tokens_are_those_of_the_model_itself_and_no_context_goes_out(tmp_path: Path) -> None:
    server = ModelServer(server_model())
    with serving(server) as url:
        served = scenario({"kind": "openai", "url": url, **FAST})
        small_runs.run(served, tmp_path / "served")
    hosted = scenario({"kind": "hf", "path": "pair/llm"})
    small_runs.run(hosted, tmp_path / "hosted")
    tokens = [load_results(tmp_path / each).tokens for each in ("served", "hosted")]
    assert len(tokens[0]) > 20
    assert tokens[0].token.tolist() == tokens[1].token.tolist()
    # What was certified from 20 log-probabilities is the token of the server's whole row.
    assert tokens[0].certified.mean() > 0.5
    workload = plan_workload(served)
    public = [request.public for device in workload.devices for request in device.requests]
    for prompt in server.prompts:
        assert any(tuple(prompt[: len(each)]) == each for each in public)


@pytest.mark.parametrize(
    ("arm", "said"),
    [
        ({"method": "costeer", "codec": TOP}, "asks for up to 4,456 ranks"),
        ({"method": "costeer", "codec": {**TOP, "select": {"kind": "top_k", "k": 21}},
          "refine": ACCEPT}, "up to 21 ranks"),
        ({"method": "costeer", "codec": {**TOP, "select": {"kind": "adaptive"}}}, "adaptive"),
        ({"method": "llm_without", "sampling": {"temperature": 0.7}}, "whole distributions"),
        ({"method": "costeer", "codec": TOP, "refine": ACCEPT,
          "sampling": {"temperature": 0.7, "top_p": 0.9}}, "whole distributions"),
    ],
)  # fmt: skip
def test_an_arm_that_needs_more_than_the_server_tells_is_refused(
    arm: dict[str, Any], said: str
) -> None:
    asked = scenario({"kind": "openai", "url": "http://127.0.0.1:1/v1"}, arms=[arm])
    workload = plan_workload(asked)
    with pytest.raises(ConfigError, match=said):
        plan_arm(asked, workload, asked.arms[0])


class TestTheClient:
    def test_a_busy_server_is_asked_again(self) -> None:
        server = ModelServer(server_model(), failing=2)
        with serving(server) as url:
            client = CompletionsClient(Endpoint(url, retries=2, pause_s=0.0))
            first, second = client.next_tokens([[1, 5, 6], [1, 5]])
        assert first["index"] == 0
        assert second["index"] == 1
        assert server.prompts == [[1, 5, 6], [1, 5]]
        assert client.model == "large"

    def test_one_that_stays_busy_is_named(self) -> None:
        with serving(ModelServer(server_model(), failing=9)) as url:
            client = CompletionsClient(Endpoint(url, retries=1, pause_s=0.0))
            with pytest.raises(ConfigError, match="answered 503"):
                client.next_tokens([[1]])

    def test_nobody_there(self) -> None:
        with pytest.raises(ConfigError, match=r"no answer from http://127\.0\.0\.1:1/v1/models"):
            CompletionsClient(Endpoint("http://127.0.0.1:1/v1", retries=0))

    def test_no_such_model(self) -> None:
        with (
            serving(ModelServer(server_model())) as url,
            pytest.raises(ConfigError, match="has large, not small"),
        ):
            CompletionsClient(Endpoint(url, "small", retries=0))

    def test_the_key_is_read_where_it_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LAB_KEY", "sesame")
        server = ModelServer(server_model())
        with serving(server) as url:
            CompletionsClient(Endpoint(url, key_variable="LAB_KEY")).next_tokens([[1]])
        assert server.keys == {"Bearer sesame"}
