"""Everything that a reader does who follows the tutorial and that is not in its blocks, each with its reason."""

import re
from collections.abc import Mapping

EAST, WEST = "cluster-east", "cluster-west"

CONTEXT_OF_COMMENT = re.compile(rf"^#.*?\b({EAST}|{WEST})\b")
"""`# On cluster-east` stands before commands for that cluster: a reader goes there by `kubectl config use-context`."""

INTERACTIVE = re.compile(r"-it\b.* -- sh$")
"""The lines that follow in the same block are typed into that shell, on a terminal, which is then left with `exit`."""

LEFT_WITH_CONTROL_C = re.compile(r"^curl -v telnet://")
"""A telnet session has no end of its own: a reader who has seen `Connected to` presses Ctrl-C."""
SEEN_BEFORE_CONTROL_C = "Connected to"

CONTEXT_OF_BLOCK: Mapping[str, str] = {
    "kubectl apply -f gateway-nodeport.yaml": EAST,
    "linkerd multicluster link --cluster-name cluster-east --gateway-address=<node-ip>:30443": EAST,
}
"""Neither block names a cluster. The second says whose gateway it is: a Link to cluster-east is made there."""

WAITS: Mapping[str, str] = {
    "kubectl get svc -A | grep cluster-east": "{again}",
    "linkerd viz stat deploy/frontend --to svc/backend-cluster-east": "linkerd viz check",
    "kubectl exec -it deploy/frontend -- sh": "kubectl rollout status deploy/frontend --timeout 60s",
    "kubectl exec -n linkerd-multicluster deploy/linkerd-gateway -c linkerd-proxy -- /linkerd-await --shutdown": (
        "kubectl -n linkerd-multicluster rollout status deploy/linkerd-gateway --timeout 90s"
    ),
}
"""Before these a reader waits: what was just applied must run before it can be used, and a service appears in the other
cluster a moment after it was exported (`{again}`: looks again until it is there)."""
AGAIN = "{again}"


PREPARED: Mapping[str, tuple[str, ...]] = {
    "Exporting Services Across Clusters": (
        f"kubectl --context {WEST} get namespace linkerd-viz >/dev/null 2>&1 || "
        f"linkerd --context {WEST} viz install | kubectl --context {WEST} apply -f -",
    ),
}
"""Before these sections. The tutorial uses `linkerd viz` on cluster-west and does not say that it must be installed."""

QUERY = (
    f"kubectl --context {WEST} -n linkerd-viz exec deploy/prometheus -c prometheus -- "
    "curl -sS --data-urlencode {query} http://localhost:9090/api/v1/query"
)
"""What is said in PromQL is asked in Prometheus, one query at a time."""

PLACEHOLDERS: Mapping[str, str] = {
    "node-ip": (
        f"kubectl --context {EAST} get nodes -o "
        """jsonpath='{.items[0].status.addresses[?(@.type=="InternalIP")].address}'"""
    ),
    "cluster-east-gateway-ip": (
        f"kubectl --context {EAST} -n linkerd-multicluster get svc linkerd-gateway -o "
        "jsonpath='{.status.loadBalancer.ingress[0].ip}'"
    ),
}
"""What stands in `<>` is looked up with these."""

BACK_TO_THE_LOAD_BALANCER = (
    f"kubectl config use-context {EAST}",
    "linkerd multicluster install | kubectl apply -f -",
    "linkerd multicluster link --cluster-name cluster-east > link-east.yaml",
    f"kubectl --context {WEST} apply -f link-east.yaml",
    f"kubectl config use-context {WEST}",
)
"""A reader has either a NodePort or a load balancer. What follows speaks of the latter, so this goes back to it."""

# The images of `your-registry/`, `curlimages/curl` and `pause` are not substituted: in the lab their names stand for
# programs of this machine (docs/lab.md, "Images").


def context(text: str) -> str:
    """The cluster that a comment, or a command that stands for its block, names."""
    if found := CONTEXT_OF_COMMENT.match(text):
        return found[1]
    return CONTEXT_OF_BLOCK.get(text, "")


def placeholders(text: str) -> list[str]:
    """The words in `<>`."""
    return re.findall(r"<([a-z][a-z-]+)>", text)
