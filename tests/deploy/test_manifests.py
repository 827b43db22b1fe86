"""Every overlay: valid for Kubernetes, and true to what this project promises of a deployment."""

import copy
import re
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import yaml

from andon.settings import Settings, load_settings
from tests.deploy import known_names
from tests.deploy.rendered import OVERLAYS, Manifest, of_kind, overlay, settings_of, the, workloads
from tests.deploy.schema_check import check
from tests.deploy.tools import ROOT

# What the end of a process takes beside its drain: preStop is counted by itself.
_LAST_WORDS_S = 10
_SERVERS = ("andon-gateway", "andon-worker")

pytestmark = pytest.mark.parametrize("name", OVERLAYS)


def test_every_object_is_one_that_kubernetes_takes(name: str) -> None:
    """Of the kinds that come with Kubernetes and of the custom ones; no field that does not exist."""
    for manifest in overlay(name):
        check(manifest)


def test_the_check_finds_what_is_wrong(name: str) -> None:
    """A misspelt field, a value of another type, and a field of a custom resource that is unknown are found."""
    spoilt = copy.deepcopy(the(overlay(name), "Deployment", "andon-gateway"))
    spoilt["spec"]["template"]["spec"]["terminationGracePeriod"] = 60
    with pytest.raises(jsonschema.ValidationError, match="terminationGracePeriod"):
        check(spoilt)
    spoilt = copy.deepcopy(the(overlay(name), "Deployment", "andon-worker"))
    spoilt["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = 600
    with pytest.raises(jsonschema.ValidationError, match="600"):
        check(spoilt)
    for custom in (m for m in overlay(name) if "." in m["apiVersion"].partition("/")[0].removesuffix(".k8s.io")):
        spoilt = copy.deepcopy(custom)
        spoilt["spec"]["nonsense"] = True
        with pytest.raises(jsonschema.ValidationError, match="nonsense"):
            check(spoilt)


def test_an_update_takes_nothing_away_before_there_is_another(name: str) -> None:
    """No replica is missing at any time, and what is new must have worked for a while."""
    for server in _SERVERS:
        spec = the(overlay(name), "Deployment", server)["spec"]
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert spec["minReadySeconds"] > 0
        (container,) = spec["template"]["spec"]["containers"]
        assert "startupProbe" in container


def test_an_end_is_waited_for_longer_than_the_drain(name: str) -> None:
    """The time until SIGKILL holds preStop, the drain, and what comes after it."""
    for server in _SERVERS:
        deployment = the(overlay(name), "Deployment", server)
        pod = deployment["spec"]["template"]
        (container,) = pod["spec"]["containers"]
        drain_s = float(settings_of(overlay(name), pod)["ANDON_DRAIN_S"])
        before_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["spec"]["terminationGracePeriodSeconds"] >= before_s + drain_s + _LAST_WORDS_S
        assert deployment["spec"].get("progressDeadlineSeconds", 600) > drain_s
    (gateway,) = the(overlay(name), "Deployment", "andon-gateway")["spec"]["template"]["spec"]["containers"]
    assert gateway["lifecycle"]["preStop"]["sleep"]["seconds"] >= 5


def test_probes_ask_what_is_there(name: str) -> None:
    """Gateways by their two endpoints; a worker by its lease; a Redis that is away restarts nobody."""
    (gateway,) = the(overlay(name), "Deployment", "andon-gateway")["spec"]["template"]["spec"]["containers"]
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert gateway["livenessProbe"]["httpGet"]["path"] == "/healthz"
    port = {p["name"]: p["containerPort"] for p in gateway["ports"]}[gateway["readinessProbe"]["httpGet"]["port"]]
    assert gateway["args"][gateway["args"].index("--port") + 1] == str(port)
    (worker,) = the(overlay(name), "Deployment", "andon-worker")["spec"]["template"]["spec"]["containers"]
    assert worker["startupProbe"]["exec"]["command"] == ["/opt/andon/bin/andon", "health", "worker"]
    assert "livenessProbe" not in worker


def test_every_pod_keeps_to_the_restricted_profile_and_a_read_only_root(name: str) -> None:
    """Pod Security Standards, restricted: numeric user, no privilege, no capability, the runtime's seccomp."""
    for _, pod in workloads(overlay(name)):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert all("hostPath" not in volume for volume in spec.get("volumes", []))
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"] + spec.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} <= container["resources"].keys()
            assert "memory" in container["resources"]["limits"]
            assert not container["image"].endswith(":latest")
            assert ":" in container["image"]
    for namespace in of_kind(overlay(name), "Namespace"):
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_secret_is_written_down(name: str) -> None:
    """There is no Secret, no password in a URL, no key of a model server; secrets come by reference."""
    assert not of_kind(overlay(name), "Secret")
    for _, pod in workloads(overlay(name)):
        for variable, value in settings_of(overlay(name), pod).items():
            if not isinstance(value, str):
                assert value.keys() == {"secretKeyRef"}
            elif "://" in value:
                assert re.fullmatch(r"(\$\(\w+\))?", urlsplit(value).password or ""), variable
            else:
                assert not value.startswith("sk-")
                assert variable != "OPENAI_API_KEY" or (name, value) == ("dev", "none-needed-by-the-sim")


def test_a_variable_that_is_put_into_another_one_comes_before_it(name: str) -> None:
    """Kubernetes puts in only what it has already seen."""
    for _, pod in workloads(overlay(name)):
        seen: set[str] = set()
        for variable in pod["spec"]["containers"][0].get("env", []):
            assert set(re.findall(r"\$\((\w+)\)", variable.get("value", ""))) <= seen
            seen.add(variable["name"])


def test_every_setting_that_is_named_exists(name: str) -> None:
    """And nothing but settings: an unknown `ANDON_` variable would stop the start."""
    own = {"REDIS_USER", "REDIS_PASSWORD"}
    assert not known_names.PENDING & known_names.settings(), "these exist now: take them out of PENDING"
    for server in _SERVERS:
        env = settings_of(overlay(name), the(overlay(name), "Deployment", server)["spec"]["template"])
        assert (
            env.keys() <= known_names.settings() | known_names.PENDING | known_names.UPSTREAM | known_names.TRACES | own
        )
        assert "ANDON_REDIS_URL" in env
        # The values are ones that a start takes; what comes from a secret is not known here.
        known = {variable: value for variable, value in env.items() if isinstance(value, str)}
        load_settings({**known, "ANDON_REDIS_URL": "redis://redis:6379/0"})
        # The key of the model is for workers; only in `dev`, where it is none, does it stand in what all share.
        if server == "andon-gateway" and name != "dev":
            assert not env.keys() & known_names.UPSTREAM


def test_no_open_door_but_in_dev(name: str) -> None:
    """A production asks who is calling."""
    env = settings_of(overlay(name), the(overlay(name), "Deployment", "andon-gateway")["spec"]["template"])
    assert (env["ANDON_AUTH"], env.get("ANDON_AUTH_NONE_IS_MEANT")) == (
        ("none", "true") if name == "dev" else ("jwt", None)
    )


def test_every_metric_that_is_named_is_in_the_list(name: str) -> None:
    """In autoscalers and alerts alike; and each autoscaler goes by the metric that it should."""
    named: set[str] = set()
    for manifest in overlay(name):
        if manifest["kind"] in {"HorizontalPodAutoscaler", "ScaledObject", "PrometheusRule"}:
            found = known_names.metrics_in(yaml.safe_dump(manifest["spec"], width=10_000))
            assert found <= known_names.metrics()
            named |= found
    if name != "dev":
        assert {"andon_sockets", "andon_queue_age_seconds", "andon_live_streams"} <= named


def test_every_alert_leads_to_its_lines_in_the_runbook(name: str) -> None:
    """The heading that the link names exists; and no heading is without its alert."""
    headings = re.findall(r"(?m)^## (.+)$", (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8"))
    for manifest in of_kind(overlay(name), "PrometheusRule"):
        rules = [rule for group in manifest["spec"]["groups"] for rule in group["rules"]]
        assert sorted(rule["alert"] for rule in rules) == sorted(headings)
        for rule in rules:
            page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
            assert page.endswith("/docs/runbooks.md")
            assert anchor == rule["alert"].lower()


def test_a_budget_and_an_even_spread_for_each_side(name: str) -> None:
    """A node's drain takes one pod at a time, and no zone and no node holds them all."""
    for server in _SERVERS:
        labels = the(overlay(name), "Deployment", server)["spec"]["template"]["metadata"]["labels"]
        budget = the(overlay(name), "PodDisruptionBudget", server)["spec"]
        assert budget["maxUnavailable"] == 1
        assert budget["selector"]["matchLabels"].items() <= labels.items()
        spread = the(overlay(name), "Deployment", server)["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert all(each["labelSelector"]["matchLabels"].items() <= labels.items() for each in spread)


_FROM_PROMETHEUS = {
    "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
    "ports": [{"protocol": "TCP", "port": "metrics"}],
}


def test_what_is_scraped_is_there_and_the_dashboard_with_it(name: str) -> None:
    """Monitors find pods and their ports; the worker listens where its port says; Grafana finds the board."""
    manifests = overlay(name)
    pods = [pod for _, pod in workloads(manifests)]
    (worker,) = the(manifests, "Deployment", "andon-worker")["spec"]["template"]["spec"]["containers"]
    listens = settings_of(manifests, the(manifests, "Deployment", "andon-worker")["spec"]["template"])
    assert [str(port["containerPort"]) for port in worker["ports"]] == [listens["ANDON_METRICS_PORT"]]
    monitors = of_kind(manifests, "PodMonitor") + of_kind(manifests, "ServiceMonitor")
    assert len(monitors) == (0 if name == "dev" else 2)
    for monitor in monitors:
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        (chosen,) = [pod for pod in pods if wanted <= pod["metadata"]["labels"].items()]
        ports = {port["name"] for port in chosen["spec"]["containers"][0]["ports"]}
        for endpoint in monitor["spec"].get("podMetricsEndpoints", []) + monitor["spec"].get("endpoints", []):
            assert endpoint["port"] in ports
            assert endpoint["path"] == "/metrics"
    boards = [
        list(each["data"])
        for each in of_kind(manifests, "ConfigMap")
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
    ]
    assert boards == ([] if name == "dev" else [["andon.json"]])


def test_no_door_leads_to_the_metrics(name: str) -> None:
    """Nor to the checks: what comes from outside gets no further than the API."""
    paths = [
        path["path"]
        for ingress in of_kind(overlay(name), "Ingress")
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    ] + [
        match["path"]["value"]
        for route in of_kind(overlay(name), "HTTPRoute")
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
    ]
    assert paths == ([] if name == "dev" else ["/v1/"])


def test_the_network_is_closed_but_for_what_is_needed(name: str) -> None:
    """Everything is refused first; to a worker comes Prometheus alone; the cloud's metadata is never reached."""
    policies = of_kind(overlay(name), "NetworkPolicy")
    closed = the(overlay(name), "NetworkPolicy", "andon-closed")["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    worker = the(overlay(name), "Deployment", "andon-worker")["spec"]["template"]["metadata"]["labels"]
    for policy in policies:
        selects = policy["spec"]["podSelector"].get("matchLabels", {})
        if selects and selects.items() <= worker.items():
            for rule in policy["spec"].get("ingress", []):
                assert rule == _FROM_PROMETHEUS
        for rule in policy["spec"].get("egress", []):
            for peer in rule.get("to", []):
                if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0":
                    assert peer["ipBlock"]["except"] == ["169.254.0.0/16"]


def test_every_reference_finds_what_it_names(name: str) -> None:
    """Services find pods and ports, autoscalers and routes what they are for, pods their accounts."""
    manifests = overlay(name)
    pods = [pod for _, pod in workloads(manifests)]
    for service in of_kind(manifests, "Service"):
        (chosen,) = [p for p in pods if service["spec"]["selector"].items() <= p["metadata"]["labels"].items()]
        ports = {port["name"] for port in chosen["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
        assert service["spec"].get("sessionAffinity", "None") == "None"
    for scaler in of_kind(manifests, "HorizontalPodAutoscaler") + of_kind(manifests, "ScaledObject"):
        deployment = the(manifests, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in deployment["spec"], "applying it again would undo what the autoscaler did"
    for backend in _backends(manifests):
        service = the(manifests, "Service", backend["name"])
        (port,) = service["spec"]["ports"]
        assert backend["port"] in (port["port"], {"name": port["name"]})
    for pod in pods:
        if (account := pod["spec"].get("serviceAccountName")) is not None:
            assert the(manifests, "ServiceAccount", account)["automountServiceAccountToken"] is False


def _backends(manifests: tuple[Manifest, ...]) -> list[Any]:
    routes = [rule for route in of_kind(manifests, "HTTPRoute") for rule in route["spec"]["rules"]]
    rules = [rule for ingress in of_kind(manifests, "Ingress") for rule in ingress["spec"]["rules"]]
    return [backend for rule in routes for backend in rule["backendRefs"]] + [
        path["backend"]["service"] for rule in rules for path in rule["http"]["paths"]
    ]


def test_a_door_lets_sockets_live(name: str) -> None:
    """No time-out ends a socket, and none ends a create that is waited for before it has run as long as it may."""
    waited_for_s = Settings().queue_ttl_s + Settings().max_run_s
    doors = of_kind(overlay(name), "Ingress") + of_kind(overlay(name), "HTTPRoute")
    assert len(doors) == (0 if name == "dev" else 1)
    for ingress in of_kind(overlay(name), "Ingress"):
        notes = ingress["metadata"]["annotations"]
        assert float(notes["nginx.org/proxy-read-timeout"].removesuffix("s")) > waited_for_s
        assert float(notes["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > waited_for_s
        assert notes["nginx.org/websocket-services"] == "andon-gateway"
        assert not any("affinity" in note or "sticky" in note for note in notes)
    for route in of_kind(overlay(name), "HTTPRoute"):
        assert [rule["timeouts"] for rule in route["spec"]["rules"]] == [{"request": "0s", "backendRequest": "0s"}]
        (port,) = the(overlay(name), "Service", "andon-gateway")["spec"]["ports"]
        assert port["appProtocol"] == "kubernetes.io/ws"
