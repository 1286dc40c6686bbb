"""The real kubectl against the server; where versions differ in what they ask, an older one as well."""

import asyncio
import json
import textwrap
from typing import Any

from tests.lab.api.conftest import Kubectl

APP = textwrap.dedent(
    """
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: backend, namespace: default}
    spec:
      replicas: 3
      selector: {matchLabels: {app: backend}}
      template:
        metadata: {labels: {app: backend}, annotations: {linkerd.io/inject: enabled}}
        spec:
          containers:
          - name: backend
            image: your-registry/backend:latest
            ports: [{containerPort: 8080}]
    ---
    apiVersion: v1
    kind: Service
    metadata:
      name: backend
      annotations: {mirror.linkerd.io/exported: "true"}
    spec:
      selector: {app: backend}
      ports: [{port: 8080}]
    """
)
CRD = textwrap.dedent(
    """
    apiVersion: apiextensions.k8s.io/v1
    kind: CustomResourceDefinition
    metadata: {name: links.multicluster.linkerd.io}
    spec:
      group: multicluster.linkerd.io
      scope: Namespaced
      names: {kind: Link, plural: links}
      versions:
      - name: v1alpha3
        served: true
        storage: true
        subresources: {status: {}}
        additionalPrinterColumns: [{name: Target, type: string, jsonPath: .spec.target}]
        schema:
          openAPIV3Schema:
            type: object
            properties: {spec: {type: object, properties: {target: {type: string}}}}
    """
)
LINK = "{apiVersion: multicluster.linkerd.io/v1alpha3, kind: Link, metadata: {name: east}, spec: {target: east}}"
CRON_JOB = textwrap.dedent(
    """
    apiVersion: batch/v1
    kind: CronJob
    metadata: {name: often}
    spec:
      schedule: "* * * * *"
      jobTemplate:
        spec:
          ttlSecondsAfterFinished: 5
          template:
            metadata: {labels: {a: b}}
            spec:
              restartPolicy: OnFailure
              nodeSelector: {a: b}
              tolerations: [{key: a, operator: Exists, effect: NoSchedule, tolerationSeconds: 5}]
              securityContext: {runAsUser: 0, fsGroup: 5, runAsNonRoot: false, seccompProfile: {type: RuntimeDefault}}
              automountServiceAccountToken: false
              initContainers: [{name: i, image: i, restartPolicy: Always, startupProbe: {grpc: {port: 5}}}]
              volumes:
              - {name: scratch, emptyDir: {}}
              - {name: memory, emptyDir: {medium: Memory, sizeLimit: 5Mi}}
              - {name: config, configMap: {name: c, items: [{key: a, path: b, mode: 256}], optional: true}}
              - {name: secret, secret: {secretName: s, defaultMode: 256}}
              - name: mixed
                projected:
                  sources:
                  - serviceAccountToken: {audience: x, path: t, expirationSeconds: 700}
                  - configMap: {name: c}
                  - downwardAPI: {items: [{path: p, fieldRef: {fieldPath: metadata.name}}]}
              containers:
              - name: c
                image: i
                args: [a, ""]
                env:
                - {name: A, value: b}
                - {name: F, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
                - {name: C, valueFrom: {configMapKeyRef: {name: c, key: k, optional: true}}}
                - {name: S, valueFrom: {secretKeyRef: {name: s, key: k}}}
                envFrom: [{prefix: P, configMapRef: {name: c}}]
                resources: {limits: {cpu: 100m}, requests: {memory: 5Mi}}
                volumeMounts: [{name: scratch, mountPath: /e, readOnly: true, subPath: s}]
                ports: [{containerPort: 80, name: http}]
                livenessProbe: {httpGet: {path: /x, port: http}, periodSeconds: 4}
                readinessProbe: {tcpSocket: {port: 5}}
                lifecycle: {preStop: {sleep: {seconds: 5}}, postStart: {exec: {command: [q]}}}
                securityContext: {privileged: false, capabilities: {drop: [ALL]}, readOnlyRootFilesystem: true}
    """
)
STATUS = '{"status":{"observedGeneration":2,"replicas":2,"updatedReplicas":2,"readyReplicas":2,"availableReplicas":2,'
STATUS += '"conditions":[{"type":"Available","status":"True"}]}}'

RELEASE = '[{"op":"remove","path":"/metadata/finalizers"}]'


def _row(output: str, name: str) -> list[str]:
    return next(line.split() for line in output.splitlines() if name in line.split())


async def test_applying_twice_then_changed_then_taking_over(any_kubectl: Kubectl) -> None:
    assert "service/backend created" in await any_kubectl("apply", "-f", "-", stdin=APP)
    assert "deployment.apps/backend unchanged" in await any_kubectl("apply", "-f", "-", stdin=APP)
    changed = APP.replace("replicas: 3", "replicas: 2").replace('annotations: {mirror.linkerd.io/exported: "true"}', "")
    assert "service/backend configured" in await any_kubectl("apply", "-f", "-", stdin=changed)
    assert _row(await any_kubectl("get", "deploy"), "backend")[1] == "0/2"
    assert "exported" not in await any_kubectl("get", "svc", "backend", "-o", "jsonpath={.metadata.annotations}")
    await any_kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=APP)
    assert _row(await any_kubectl("get", "deploy"), "backend")[1] == "0/3"


async def test_what_get_prints_can_be_applied_again_as_a_list(any_kubectl: Kubectl) -> None:
    await any_kubectl("apply", "-f", "-", stdin=APP)
    listed = await any_kubectl("get", "deploy,svc", "backend", "-o", "json")
    assert '"kind": "List"' in listed
    assert "deployment.apps/backend configured" in await any_kubectl("apply", "-f", "-", stdin=listed)


async def test_getting_annotating_labelling_scaling_restarting_deleting(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=APP)
    await kubectl("annotate", "svc", "backend", "note=1")
    await kubectl("label", "svc", "backend", "tier=web")
    listed = await kubectl("get", "svc", "-A", "-l", "tier=web", "--show-labels")
    assert _row(listed, "backend")[1:6] == ["backend", "ClusterIP", "10.96.0.11", "<none>", "8080/TCP"]
    await kubectl("scale", "deploy", "backend", "--replicas=5")
    await kubectl("rollout", "restart", "deploy/backend")
    path = "jsonpath={.spec.replicas} {.spec.template.metadata.annotations}"
    shown = await kubectl("get", "deploy", "backend", "-o", path)
    assert shown.startswith("5 ")
    assert "restartedAt" in shown
    await kubectl("delete", "-f", "-", stdin=APP)
    assert "not found" in await kubectl("get", "deploy", "backend", code=1)


async def test_creating_what_kubectl_sends_as_protobuf(kubectl: Kubectl) -> None:
    await kubectl("create", "namespace", "team")
    await kubectl("create", "configmap", "settings", "--from-literal=a=b")
    await kubectl("create", "secret", "generic", "key", "--from-literal=a=b")
    await kubectl("create", "serviceaccount", "robot")
    await kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    await kubectl("create", "deployment", "web", "--image=web", "--replicas=2", "--port=80")
    await kubectl("create", "job", "once", "--image=web", "--", "true")
    await kubectl("create", "cronjob", "often", "--image=web", "--schedule=* * * * *", "--", "true")
    await kubectl("create", "pdb", "web", "--selector=app=web", "--min-available=1")
    await kubectl("create", "service", "nodeport", "web", "--tcp=80:http")
    await kubectl("create", "ingress", "web", "--rule=a.b/c*=web:80,tls=cert", "--class=x")
    await kubectl("create", "priorityclass", "high", "--value=1000", "--preemption-policy=Never")
    await kubectl("create", "quota", "few", "--hard=pods=2,cpu=1", "--scopes=BestEffort")
    await kubectl("create", "clusterrole", "sum", "--aggregation-rule=a=b")
    await kubectl("autoscale", "deployment", "web", "--min=1", "--max=3", "--cpu=50%")
    assert await kubectl("get", "cm,secret", "-o", "jsonpath={.items[*].data}") == '{"a":"b"} {"a":"Yg=="}'
    assert await kubectl("get", "svc", "web", "-o", "jsonpath={.spec.ports[0].targetPort}") == "http"
    path = "jsonpath={.spec.rules[0].http.paths[0].backend.service} {.spec.tls[0].hosts[0]}"
    assert await kubectl("get", "ing", "web", "-o", path) == '{"name":"web","port":{"number":80}} a.b'
    assert await kubectl("get", "quota", "few", "-o", "jsonpath={.spec.hard}") == '{"cpu":"1","pods":"2"}'
    path = "jsonpath={.spec.metrics[0].resource.target.averageUtilization}"
    assert await kubectl("get", "hpa", "web", "-o", path) == "50"
    assert (await kubectl("auth", "can-i", "get", "pods")).strip() == "yes"
    assert _row(await kubectl("get", "ns"), "team")[1] == "Active"


async def test_a_job_of_a_cron_job_has_its_whole_pod(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=CRON_JOB)
    await kubectl("create", "job", "now", "--from=cronjob/often")
    pod = "spec.template.spec"
    whole = json.loads(await kubectl("get", "cronjob", "often", "-o", f"jsonpath={{.spec.jobTemplate.{pod}}}"))
    made = json.loads(await kubectl("get", "job", "now", "-o", f"jsonpath={{.{pod}}}"))
    assert _without(made, whole) == []


def _without(have: Any, wanted: Any, path: str = "") -> list[str]:
    """The paths of what is wanted and missing."""
    if isinstance(wanted, dict) and isinstance(have, dict):
        return [gone for key, item in wanted.items() for gone in _without(have.get(key), item, f"{path}.{key}")]
    if isinstance(wanted, list) and isinstance(have, list) and len(have) == len(wanted):
        pairs = enumerate(zip(have, wanted, strict=True))
        return [gone for index, (one, other) in pairs for gone in _without(one, other, f"{path}[{index}]")]
    return [] if have == wanted else [path]


async def test_a_definition_and_its_objects(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=CRD)
    await kubectl("wait", "--for=condition=established", "crd/links.multicluster.linkerd.io", "--timeout=5s")
    await kubectl("apply", "-f", "-", stdin=LINK)
    assert "unchanged" in await kubectl("apply", "-f", "-", stdin=LINK)
    assert _row(await kubectl("get", "link", "-A"), "default") == ["default", "east", "east"]
    assert "target\t<string>" in await kubectl("explain", "link.spec")
    refused = await kubectl("apply", "-f", "-", stdin=LINK.replace("target:", "tarket:"), code=1)
    assert 'unknown field "spec.tarket"' in refused


async def test_scaling_by_itself_is_said_in_either_version(any_kubectl: Kubectl) -> None:
    await any_kubectl("create", "deployment", "web", "--image=web")
    await any_kubectl("autoscale", "deployment", "web", "--min=1", "--max=3", "--cpu-percent=50")
    path = "jsonpath={.apiVersion} {.spec.metrics[0].resource.target.averageUtilization}"
    assert await any_kubectl("get", "hpa", "web", "-o", path) == "autoscaling/v2 50"
    old = "horizontalpodautoscalers.v1.autoscaling"
    await any_kubectl("patch", old, "web", "--type=merge", "-p", '{"spec":{"targetCPUUtilizationPercentage":70}}')
    path = "jsonpath={.apiVersion} {.spec.targetCPUUtilizationPercentage} {.metadata.generation}"
    assert await any_kubectl("get", old, "web", "-o", path) == "autoscaling/v1 70 2"
    pods = '{"type":"Pods","pods":{"metric":{"name":"m"},"target":{"type":"AverageValue","averageValue":"1"}}}'
    await any_kubectl(
        "patch", "hpa", "web", "--type=json", "-p", f'[{{"op":"add","path":"/spec/metrics/-","value":{pods}}}]'
    )
    await any_kubectl("patch", old, "web", "--type=merge", "-p", '{"spec":{"maxReplicas":5}}')
    path = "jsonpath={.spec.maxReplicas} {.spec.metrics[*].type} {.metadata.annotations}"
    assert (await any_kubectl("get", "hpa", "web", "-o", path)).split() == ["5", "Resource", "Pods"]


async def test_kinds_are_explained(any_kubectl: Kubectl) -> None:
    shown = await any_kubectl("explain", "pods.spec.containers.livenessProbe.httpGet")
    assert "port\t<IntOrString> -required-" in shown
    assert "Path to access on the HTTP server." in shown
    assert "rollingUpdate\t<RollingUpdateDeployment>" in await any_kubectl("explain", "deploy.spec", "--recursive")
    assert "does not exist" in await any_kubectl("explain", "pods.spec.colour", code=1)


async def test_waiting_for_a_rollout_hears_of_it(any_kubectl: Kubectl) -> None:
    await any_kubectl("apply", "-f", "-", stdin=APP)
    await any_kubectl("scale", "deploy", "backend", "--replicas=2")
    watching = await any_kubectl.start("rollout", "status", "deploy/backend", "--timeout=15s")
    waiting = await any_kubectl.start("wait", "--for=condition=Available", "deploy/backend", "--timeout=15s")
    assert watching.stdout is not None
    assert b"Waiting" in await watching.stdout.readline()
    await any_kubectl("patch", "deploy", "backend", "--subresource=status", "--type=merge", "-p", STATUS)
    async with asyncio.timeout(15):
        (shown, _), (met, _) = await asyncio.gather(watching.communicate(), waiting.communicate())
    assert b"successfully rolled out" in shown
    assert b"condition met" in met


async def test_watching_prints_changes_as_they_happen(kubectl: Kubectl) -> None:
    watching = await kubectl.start("get", "configmaps", "--watch")
    try:
        assert watching.stdout is not None
        await kubectl("create", "configmap", "one")
        async with asyncio.timeout(10):
            assert (await watching.stdout.readline()).split()[0] == b"NAME"
            assert (await watching.stdout.readline()).split()[0] == b"one"
        await kubectl("label", "configmap", "one", "a=b")
        async with asyncio.timeout(10):
            assert (await watching.stdout.readline()).split()[0] == b"one"
    finally:
        watching.kill()
        await watching.communicate()


async def test_deleting_waits_for_finalizers(any_kubectl: Kubectl) -> None:
    await any_kubectl("create", "configmap", "held")
    await any_kubectl("patch", "configmap", "held", "-p", '{"metadata":{"finalizers":["x.y/z"]}}')
    deleting = await any_kubectl.start("delete", "configmap", "held")
    assert deleting.stdout is not None
    async with asyncio.timeout(15):
        assert b"deleted" in await deleting.stdout.readline()
        await any_kubectl(
            "patch", "configmap", "held", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]'
        )
        await deleting.communicate()
    assert deleting.returncode == 0
    assert "not found" in await any_kubectl("get", "configmap", "held", code=1)
