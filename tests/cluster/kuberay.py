"""What KubeRay's operator takes: the fields of ``ray.io/v1``, for manifests to be held against.

Written by hand after KubeRay's API reference and the types behind it, for the parts that a manifest
of ours may use. Kubernetes drops fields that a resource definition does not have, in silence unless
it is asked to be strict, so here every unknown one is refused. Pods are left to Kubernetes' own
schema; rules that the operator itself checks are not here.
"""

from __future__ import annotations

from typing import Any

import jsonschema

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
INT32: Schema = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
COUNT: Schema = INT32 | {"minimum": 0}
WORDS: Schema = {"type": "object", "additionalProperties": TEXT}
POD: Schema = {"type": "object"}
"""See ``kubernetes_validate``."""


def fields(required: tuple[str, ...] = (), **known: Schema) -> Schema:
    """Return an object of these fields and no others."""
    return {
        "type": "object",
        "properties": known,
        "required": list(required),
        "additionalProperties": False,
    }


def list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


AUTOSCALER = fields(
    image=TEXT,
    imagePullPolicy={"enum": ["Always", "IfNotPresent", "Never"]},
    resources=POD,
    env=list_of(POD),
    envFrom=list_of(POD),
    volumeMounts=list_of(POD),
    securityContext=POD,
    idleTimeoutSeconds=COUNT,
    upscalingMode={"enum": ["Conservative", "Default", "Aggressive"]},
    version={"enum": ["v1", "v2"]},
)
HEAD_GROUP = fields(
    ("template",),
    serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]},
    headService=POD,
    enableIngress=FLAG,
    rayStartParams=WORDS,
    template=POD,
)
WORKER_GROUP = fields(
    ("groupName", "minReplicas", "maxReplicas", "template"),
    groupName=TEXT,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    numOfHosts=COUNT,
    idleTimeoutSeconds=COUNT,
    suspend=FLAG,
    rayStartParams=WORDS,
    template=POD,
    scaleStrategy=fields(workersToDelete=list_of(TEXT)),
)
CLUSTER = fields(
    ("headGroupSpec",),
    rayVersion=TEXT,
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=AUTOSCALER,
    headServiceAnnotations=WORDS,
    suspend=FLAG,
    managedBy=TEXT,
    headGroupSpec=HEAD_GROUP,
    workerGroupSpecs=list_of(WORKER_GROUP),
)
JOB = fields(
    entrypoint=TEXT,
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    entrypointResources=TEXT,
    runtimeEnvYAML=TEXT,
    jobId=TEXT,
    metadata=WORDS,
    clusterSelector=WORDS,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    submitterPodTemplate=POD,
    submitterConfig=fields(backoffLimit=COUNT),
    activeDeadlineSeconds=COUNT,
    backoffLimit=COUNT,
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    suspend=FLAG,
    managedBy=TEXT,
    rayClusterSpec=CLUSTER,
)
KINDS = {"RayCluster": CLUSTER, "RayJob": JOB}


def check(manifest: dict[str, Any]) -> None:
    """Hold a manifest against what the operator takes.

    Raises:
        jsonschema.ValidationError: something else.
    """
    kind = manifest["kind"]
    whole = fields(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": "ray.io/v1"},
        kind={"const": kind},
        metadata=fields(("name",), name=TEXT, namespace=TEXT, labels=WORDS, annotations=WORDS),
        spec=KINDS[kind],
    )
    jsonschema.validate(manifest, whole)
