"""`costeer deploy`: images, Kubernetes manifests and docker-compose for a scenario."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import AddCommand, count


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("deploy", "write what puts a scenario on Kubernetes or docker-compose")
    parser.add_argument("dir", metavar="DIR", type=Path, help="where to write it")
    parser.add_argument(
        "--scenario", metavar="SCENARIO", default="demo", help="shipped name or YAML path"
    )
    parser.add_argument(
        "--gpus",
        metavar="N",
        type=_whole,
        default=1,
        help="GPUs of each copy of the large model; 0: it runs on CPUs (default: 1)",
    )
    parser.add_argument("--shards", metavar="N", type=count, help="replace the scenario's shards")
    parser.add_argument("--image", metavar="NAME", default="costeer-lab", help="of the containers")
    parser.add_argument("--namespace", metavar="NAME", default="default", help="in Kubernetes")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Write the files; say what comes next."""
    from importlib.metadata import version
    from platform import python_version_tuple

    from cluster.deploy import Deployment, deployment_files
    from cluster.deploy.constraints import installed_constraints
    from costeer.errors import ConfigError
    from experiments.dashboards.bundle import write_bundle
    from experiments.scenario import load_scenario, shipped_scenarios

    scenario = load_scenario(arguments.scenario)
    shipped = arguments.scenario in shipped_scenarios()
    deployment = Deployment(
        scenario=arguments.scenario if shipped else "",
        scenario_file="" if shipped else Path(arguments.scenario).name,
        shards=arguments.shards or scenario.fleet.shards,
        replicas=scenario.cloud.replicas,
        gpus=arguments.gpus,
        image=arguments.image,
        version=version("costeer-lab"),
        ray_version=version("ray"),
        python=".".join(python_version_tuple()[:2]),
        constraints=installed_constraints("costeer-lab", ("eval",)),
        namespace=arguments.namespace,
    )
    files = deployment_files(deployment)
    if not shipped:
        files[deployment.scenario_file] = Path(arguments.scenario).read_text(encoding="utf-8")
    try:
        for name, text in files.items():
            path = arguments.dir / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(path)
        print(*write_bundle(arguments.dir / "monitoring"), sep="\n")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"{arguments.dir}: cannot be written ({reason}); choose another"
        ) from error
    compose = f"docker compose -f {arguments.dir}/docker-compose.yml"
    apply = f"kubectl apply -f {arguments.dir}/kubernetes"
    print(
        f"\nwheel:       pip wheel --no-deps --wheel-dir {arguments.dir}/wheels SOURCE"
        f"\ncompose:     export RAY_AUTH_TOKEN=$(openssl rand -hex 32)"
        f"\n             {compose} up --build --detach"
        f"\n             {compose} run --service-ports run"
        f"\nkubernetes:  {apply}/results-volume.yaml"
        f"\n             {apply}/rayjob.yaml"
    )
    return 0


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)
