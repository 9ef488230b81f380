"""The files that set up a cluster, against the schemas of Ray and of Kubernetes, and against this program."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import click
import kubernetes_validate
import pytest
from jsonschema import ValidationError
from pydantic import BaseModel, ConfigDict
from ray.autoscaler._private.kuberay import autoscaling_config
from ray.autoscaler._private.util import prepare_config, validate_config
from ruamel.yaml import YAML

from sweep.commands.group import cli
from sweep.plan.sweepfile import load

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "cluster" / "deploy"
KUBERNETES = "1.37"
ENGINES = 4
"""To a node."""


class Strict(BaseModel):
    """A part of KubeRay's API (ray.io/v1), as its reference has it: what is used of it here, and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True)


class HeadGroup(Strict):
    rayStartParams: dict[str, str]  # noqa: N815 - KubeRay's name, like those below
    template: dict[str, Any]


class WorkerGroup(HeadGroup):
    groupName: str  # noqa: N815
    replicas: int
    minReplicas: int  # noqa: N815
    maxReplicas: int  # noqa: N815


class AuthOptions(Strict):
    mode: Literal["disabled", "token"]


class RayCluster(Strict):
    rayVersion: str  # noqa: N815
    authOptions: AuthOptions  # noqa: N815
    headGroupSpec: HeadGroup  # noqa: N815
    workerGroupSpecs: list[WorkerGroup]  # noqa: N815


class RayJobSpec(Strict):
    entrypoint: str
    shutdownAfterJobFinishes: bool  # noqa: N815
    ttlSecondsAfterFinished: int  # noqa: N815
    rayClusterSpec: RayCluster  # noqa: N815


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]  # noqa: N815
    kind: Literal["RayJob"]
    metadata: dict[str, str]
    spec: RayJobSpec


def documents(name: str) -> list[Any]:
    return list(YAML(typ="safe").load_all(DEPLOY / name))


@pytest.fixture
def ray_up() -> Any:
    (document,) = documents("ray-up.yaml")
    return document


@pytest.fixture
def job() -> RayJob:
    return RayJob.model_validate(documents("rayjob.yaml")[-1])


def pods(job: RayJob) -> list[dict[str, Any]]:
    cluster = job.spec.rayClusterSpec
    return [group.template for group in (cluster.headGroupSpec, *cluster.workerGroupSpecs)]


def check(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def as_object(template: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": template}


def test_ray_up_takes_its_file(ray_up: Any) -> None:
    validate_config(prepare_config(ray_up))
    with pytest.raises(ValidationError, match="volumes"):
        validate_config(prepare_config(ray_up | {"docker": ray_up["docker"] | {"volumes": []}}))


def test_kubernetes_takes_the_volumes_and_the_pods_of_the_job(job: RayJob) -> None:
    *volumes, _ = documents("rayjob.yaml")
    for document in (*volumes, *map(as_object, pods(job))):
        check(document)
    wrong = deepcopy(pods(job)[0])
    wrong["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="volumeMount"):
        check(as_object(wrong))


def test_every_volume_that_is_mounted_is_there(job: RayJob) -> None:
    claims = {document["metadata"]["name"] for document in documents("rayjob.yaml")[:-1]}
    for pod in pods(job):
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        (container,) = pod["spec"]["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
        claimed = {
            v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v
        }
        assert claimed <= claims


def test_each_node_has_the_gpus_of_four_engines(job: RayJob, ray_up: Any) -> None:
    needed = ENGINES * load(str(ROOT / "configs" / "gemma4.yaml")).engine.owned
    # As Ray reads the job where it scales a cluster.
    cluster = {
        "metadata": {"name": "x", "namespace": "y"},
        "spec": documents("rayjob.yaml")[-1]["spec"]["rayClusterSpec"],
    }
    nodes = autoscaling_config._derive_autoscaling_config_from_ray_cr(cluster)["available_node_types"]
    assert {name: node["resources"]["GPU"] for name, node in nodes.items()} == {
        "headgroup": 0,
        "eight-gpus": needed,
    }
    starts = [
        line for when in ("head", "worker") for line in ray_up[f"{when}_start_ray_commands"] if "start" in line
    ]
    assert [f"--num-gpus={needed:g}" in line for line in starts] == [True, True]


def test_no_secret_is_in_the_files(job: RayJob, ray_up: Any) -> None:
    for pod in pods(job):
        (container,) = pod["spec"]["containers"]
        assert [(entry["name"], entry.keys() - {"name"}) for entry in container["env"]] == [
            ("HF_TOKEN", {"valueFrom"})
        ]
    mounted = set(ray_up["file_mounts"].values())
    assert mounted == {"~/.cache/huggingface/token", "~/.ray/auth_token"}
    assert not any(re.search(r"\bhf_\w{8,}", file.read_text()) for file in DEPLOY.iterdir())


def test_the_image_is_made_of_the_lock_and_of_what_is_here(job: RayJob) -> None:
    recipe = (DEPLOY / "Dockerfile").read_text()
    for sources in re.findall(r"^COPY (.*) \S+$", recipe, re.MULTILINE):
        assert [source for source in sources.split() if not (ROOT / source).exists()] == []
    lock = (ROOT / "locks" / "gpu.txt").read_text()
    assert "--require-hashes --requirement /opt/sweep/gpu.txt" in recipe
    (version,) = re.findall(r"^ray==(\S+)", lock, re.MULTILINE)
    assert job.spec.rayClusterSpec.rayVersion == version
    images = {container["image"] for pod in pods(job) for container in pod["spec"]["containers"]}
    (tag,) = re.findall(r"docker build .* -t (\S+)", recipe)
    assert images == {tag, documents("ray-up.yaml")[0]["docker"]["image"]}


@pytest.mark.parametrize("file", sorted(DEPLOY.glob("*.yaml")), ids=lambda file: str(file.name))
def test_the_sweep_commands_in_a_file_are_ones_that_the_program_has(file: Path) -> None:
    lines = re.findall(r"^(?:#|  entrypoint:)\s+sweep (\S.*)$", file.read_text(), re.MULTILINE)
    assert lines
    for line in lines:
        name, *words = line.split()
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, line
        command.make_context(name, words)
