"""Deployment files, held against schemas and against Ray's reader of manifests.

Pods and the volume's claim against Kubernetes' own, the rest of the manifests against KubeRay's
fields (written down in ``kuberay``), compose files against their specification's. No operator and
no Docker is here to start them.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement

from cluster.deploy import Deployment, deployment_files
from cluster.deploy.constraints import installed_constraints
from costeer.errors import ConfigError
from experiments.cli import main
from experiments.dashboards.bundle import write_bundle
from tests.cluster import kuberay

SCHEMAS = Path(__file__).parent / "schemas"


def deployment(**changes: Any) -> Deployment:
    given: dict[str, Any] = {
        "scenario": "demo",
        "shards": 6,
        "replicas": 2,
        "gpus": 1,
        "image": "registry.example/lab",
        "version": "1.2.3",
        "ray_version": "2.60.0",
        "python": "3.11",
        "constraints": "numpy==2.0\n",
    }
    return Deployment(**given | changes)


def manifest(name: str, **changes: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(
        deployment_files(deployment(**changes))[f"kubernetes/{name}.yaml"]
    )
    return loaded


def cluster_specs(**changes: Any) -> list[dict[str, Any]]:
    return [
        manifest("raycluster", **changes)["spec"],
        manifest("rayjob", **changes)["spec"]["rayClusterSpec"],
    ]


class TestKubernetes:
    @pytest.mark.parametrize("gpus", [0, 1])
    def test_every_pod_is_one_to_kubernetes(self, gpus: int) -> None:
        for spec in cluster_specs(gpus=gpus):
            for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
                pod = {"apiVersion": "v1", "kind": "Pod", **group["template"]}
                pod["metadata"]["name"] = "pod"
                kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)

    def test_the_schema_would_complain(self) -> None:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": {"cpu": 1}}
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)

    @pytest.mark.parametrize("name", ["raycluster", "rayjob"])
    @pytest.mark.parametrize("gpus", [0, 1])
    def test_the_operator_knows_every_field(self, name: str, gpus: int) -> None:
        kuberay.check(manifest(name, gpus=gpus))

    @pytest.mark.parametrize(
        ("field", "wrong", "told"),
        [
            ("maxReplica", 1, "'maxReplica' was unexpected"),
            ("replicas", "2", "not of type 'integer'"),
            ("replicas", -1, "less than the minimum"),
            ("rayStartParams", {"num-cpus": 0}, "not of type 'string'"),
            ("groupName", None, "not of type 'string'"),
        ],
    )
    def test_the_operator_would_not_take_others(self, field: str, wrong: object, told: str) -> None:
        made = manifest("rayjob")
        made["spec"]["rayClusterSpec"]["workerGroupSpecs"][0][field] = wrong
        with pytest.raises(jsonschema.ValidationError, match=told):
            kuberay.check(made)

    def test_the_volume_is_a_claim_that_the_pods_name(self) -> None:
        claim = manifest("results-volume")
        kubernetes_validate.validate(claim, kubernetes_validate.latest_version(), strict=True)
        for spec in cluster_specs():
            (volume,) = spec["headGroupSpec"]["template"]["spec"]["volumes"]
            assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]

    @pytest.mark.parametrize("gpus", [0, 2])
    def test_rays_autoscaler_reads_what_was_meant(self, gpus: int) -> None:
        from ray.autoscaler._private.kuberay.autoscaling_config import (
            _derive_autoscaling_config_from_ray_cr,
        )

        config = _derive_autoscaling_config_from_ray_cr(manifest("raycluster", gpus=gpus))
        kinds = config["available_node_types"]
        resources = {name: kind["resources"] for name, kind in kinds.items()}
        assert resources.pop("headgroup") | {"memory": 0} == {"CPU": 0, "memory": 0}
        assert resources["cloud"].get("GPU", 0) == gpus
        assert resources["shards"]["CPU"] * 2 >= 6
        assert {name: kind["max_workers"] for name, kind in kinds.items()} == {
            "headgroup": 0,
            "cloud": 4,
            "shards": 4,
        }

    def test_the_job_runs_the_scenario_on_the_same_cluster(self) -> None:
        job = manifest("rayjob")["spec"]
        assert job["entrypoint"] == "costeer run demo --address auto --out /results/demo"
        assert job["rayClusterSpec"] == manifest("raycluster")["spec"]
        own = manifest("rayjob", scenario="", scenario_file="mine.yaml")["spec"]
        assert own["entrypoint"].startswith("costeer run /app/mine.yaml ")
        assert own["entrypoint"].endswith("/results/mine")


def complaints(compose: dict[str, Any]) -> list[str]:
    """What the schema of compose files says of one; see ``schemas/README.md``."""
    assert isinstance(compose.pop("name", ""), str)
    assert all(isinstance(each, str) for each in compose.pop("include", []))
    schema = json.loads((SCHEMAS / "compose_spec.json").read_text(encoding="utf-8"))
    return [each.message for each in jsonschema.Draft7Validator(schema).iter_errors(compose)]


class TestCompose:
    @pytest.mark.parametrize("gpus", [0, 1])
    def test_it_is_a_compose_file(self, gpus: int) -> None:
        files = deployment_files(deployment(gpus=gpus))
        assert complaints(yaml.safe_load(files["docker-compose.yml"])) == []

    def test_what_watches_it_is_one_too(self, tmp_path: Path) -> None:
        write_bundle(tmp_path)
        made = yaml.safe_load((tmp_path / "docker-compose.yml").read_text(encoding="utf-8"))
        assert complaints(made) == []

    @pytest.mark.parametrize(
        "wrong", [{"imag": "x"}, {"volumes": [1]}, {"deploy": {"resources": {"gpus": 1}}}]
    )
    def test_the_schema_would_complain(self, wrong: dict[str, Any]) -> None:
        assert complaints({"services": {"head": {"image": "x"} | wrong}})

    def test_services_name_what_is_there(self) -> None:
        files = deployment_files(deployment())
        compose = yaml.safe_load(files["docker-compose.yml"])
        services = compose["services"]
        for service in services.values():
            assert service["build"]["dockerfile"] in files
            assert set(service.get("depends_on", ())) <= set(services)
            assert {each.split(":")[0] for each in service["volumes"]} <= set(compose["volumes"])
        assert services["cloud"]["scale"] == 2
        assert services["shards"]["scale"] == 2

    def test_without_gpus_nothing_reserves_one(self) -> None:
        text = deployment_files(deployment(gpus=0))["docker-compose.yml"]
        assert "nvidia" not in text
        assert "cuda" not in text


class TestImages:
    @pytest.mark.parametrize("kind", ["cpu", "cuda"])
    def test_what_is_copied_is_there_or_is_the_wheel(self, kind: str) -> None:
        files = deployment_files(deployment(scenario="", scenario_file="mine.yaml"))
        text = files[f"Dockerfile.{kind}"]
        copied = {
            name
            for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE)
            for name in line.split()[:-1]
        }
        assert copied - set(files) == {"wheels/", "mine.yaml"}
        assert f"-t registry.example/lab:1.2.3-{kind} ." in text

    def test_constraints_are_what_is_installed(self) -> None:
        lines = installed_constraints("costeer-lab", ("eval",)).splitlines()
        pins = {each.name: str(each.specifier) for each in map(Requirement, lines)}
        assert pins["numpy"] == f"=={version('numpy')}"
        assert pins["torch"] == f"=={version('torch').partition('+')[0]}"
        assert "rouge-score" in pins
        assert "ruff" not in pins
        assert "costeer-lab" not in pins
        assert list(pins) == sorted(pins)


@pytest.mark.parametrize("wrong", [{"shards": 0}, {"replicas": 0}, {"gpus": -1}])
def test_numbers_that_no_cluster_has(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least"):
        deployment(**wrong)


class TestTheCommand:
    def test_it_writes_everything(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        own = tmp_path / "mine.yaml"
        assert main(["expand", "tiny"]) == 0
        own.write_text(capsys.readouterr().out)
        out = tmp_path / "out"
        assert main(["deploy", str(out), "--scenario", str(own), "--shards", "3"]) == 0
        assert (out / "mine.yaml").read_text() == own.read_text()
        assert (out / "monitoring" / "docker-compose.yml").is_file()
        assert "costeer run /app/mine.yaml" in (out / "docker-compose.yml").read_text()
        assert "kubectl apply" in capsys.readouterr().out

    def test_a_folder_that_cannot_be_written(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "file").write_text("")
        assert main(["deploy", str(tmp_path / "file")]) == 2
        assert "cannot be written" in capsys.readouterr().err
