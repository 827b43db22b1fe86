"""docker-compose.yml: valid for Docker Compose itself, and true to what this project promises of a deployment."""

import re
import tomllib
from typing import Any

import pytest
import yaml

from andon.settings import Settings, load_settings
from tests.deploy import known_names
from tests.deploy.compose_file import compose, seconds
from tests.deploy.dockerfile import stages
from tests.deploy.rendered import overlay, settings_of, the
from tests.deploy.tools import ROOT

_ALL = ("cluster", "observe")
_OURS = ("gateway-1", "gateway-2", "worker-1", "worker-2", "sim")
# What the end of a process takes beside its drain.
_LAST_WORDS_S = 10


def services(*profiles: str, **env: str) -> dict[str, Any]:
    """Return the services with these profiles."""
    found: dict[str, Any] = compose(*profiles, **env)["services"]
    return found


@pytest.mark.parametrize("profiles", [(), ("cluster",), ("observe",), _ALL])
def test_compose_takes_it(profiles: tuple[str, ...]) -> None:
    """Schema, anchors, references between services, configs, networks and volumes: judged by Compose's own code."""
    started = set(services(*profiles))
    assert {"redis", "nginx", *_OURS} <= started
    assert ("redis-cluster-made" in started) is ("cluster" in profiles)
    assert ({"prometheus", "grafana"} <= started) is ("observe" in profiles)


def test_compose_is_really_asked() -> None:
    """A file that it would not take is found here, too."""
    with pytest.raises(AssertionError, match="invalid"):
        compose(ANDON_DOOR="127.0.0.1:eighty")


def test_one_image_runs_everything_of_ours() -> None:
    """By its entrypoint and its health check, which no service replaces."""
    for name in _OURS:
        service = services()[name]
        assert service["image"] == "andon:local"
        assert service["build"]["target"] == list(stages())[-1]
        assert service["entrypoint"] is None
        assert "healthcheck" not in service
        assert service["command"][0] == name.partition("-")[0]


def test_an_end_is_waited_for_longer_than_the_drain() -> None:
    """`stop_grace_period` holds the drain and what comes after it; nginx waits longer than it lets connections end."""
    for name in _OURS[:4]:
        service = services()[name]
        drain_s = float(service["environment"]["ANDON_DRAIN_S"])
        assert seconds(service["stop_grace_period"]) >= drain_s + _LAST_WORDS_S
    config = (ROOT / "docker-compose.nginx.conf").read_text(encoding="utf-8")
    waits = re.search(r"worker_shutdown_timeout (\d+)s;", config)
    assert waits is not None
    assert seconds(services()["nginx"]["stop_grace_period"]) > float(waits[1])


def test_nobody_has_more_rights_than_needed() -> None:
    """No capabilities, no new privileges, limits on all; what runs by default is read-only, and not root."""
    for name, service in services(*_ALL).items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert "privileged" not in service
        if name not in {"prometheus", "grafana"}:  # their images are not made for it; they are for looking only
            assert service["read_only"] is True, name
            user = service.get("user", stages()["run"].last("USER") if name in _OURS else "")
            assert re.fullmatch(r"[1-9]\d*:\d+", user), name


def test_nothing_listens_beyond_this_machine_by_default() -> None:
    """The door and the consoles are on loopback; Redis and the gateways are not published at all."""
    published = {name: s["ports"] for name, s in services(*_ALL).items() if "ports" in s}
    assert published.keys() == {"nginx", "prometheus", "grafana"}
    assert all(port["host_ip"] == "127.0.0.1" for ports in published.values() for port in ports)


def test_redis_and_the_gateways_have_no_way_out() -> None:
    """Only workers reach the model, and workers and gateways alone reach Redis."""
    networks = compose(*_ALL)["networks"]
    assert networks["back"]["internal"]
    assert networks["front"]["internal"]
    assert services()["redis"]["networks"].keys() == {"back"}
    assert services()["gateway-1"]["networks"].keys() == {"front", "back"}
    assert services()["worker-1"]["networks"].keys() == {"back", "out"}
    assert "back" not in services()["nginx"]["networks"]


def test_who_needs_another_waits_for_its_health() -> None:
    """And nginx, which reads addresses once, starts anew with a gateway that was made anew."""
    for name in _OURS[:4]:
        after = services("cluster")[name]["depends_on"]
        assert after["redis"]["condition"] == "service_healthy"
        assert after["redis-cluster-made"] == {"condition": "service_completed_successfully", "required": False}
    assert services()["nginx"]["depends_on"] == {
        name: {"condition": "service_healthy", "required": True, "restart": True} for name in ("gateway-1", "gateway-2")
    }
    for name, service in services(*_ALL).items():
        for other in service.get("depends_on", {}):
            well = services(*_ALL)[other].get("healthcheck", {})
            assert other in _OURS or "test" in well or other == "redis-cluster-made", (name, other)


@pytest.mark.parametrize("name", _OURS[:4])
def test_every_setting_exists_and_is_taken(name: str) -> None:
    """A gateway and a worker would start with this environment."""
    env = services()[name]["environment"]
    assert {variable for variable in env if variable.startswith("ANDON_")} <= known_names.settings()
    assert env.keys() - known_names.settings() - known_names.TRACES <= (
        known_names.UPSTREAM if name.startswith("worker") else set()
    )
    load_settings(env)


def test_what_env_example_offers_reaches_the_services() -> None:
    """Each line, uncommented, is a variable that the compose file reads, and does something."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    offered = dict(re.findall(r"(?m)^# ([A-Z_]+)=(.*)$", text))
    assert offered
    plain = compose(*_ALL)
    read = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    assert offered.keys() == read
    for variable, value in offered.items():
        other = re.sub(r"\d$", lambda digit: str((int(digit[0]) + 1) % 10), value)
        changed = compose(*_ALL, **{variable: other if other != value else f"{value}.other"})
        assert changed != plain, variable


def test_redis_never_evicts_and_keeps_what_it_acknowledged() -> None:
    """The one, and each node of the cluster."""
    for name, service in services("cluster").items():
        if service["command"] and service["command"][0] == "redis-server":
            flags = dict(zip(service["command"][1::2], service["command"][2::2], strict=True))
            assert flags["--appendonly"] == "yes"
            assert flags["--maxmemory-policy"] == "noeviction"
            assert any(volume["target"] == "/data" for volume in service["volumes"]), name


def test_the_cluster_s_slots_are_given_whole() -> None:
    """All 16,384, each once, to the three nodes that the address in .env.example names."""
    script = services("cluster")["redis-cluster-made"]["command"][-1]
    ranges = re.findall(r"give (redis-cluster-\d) (\d+) (\d+)", script)
    slots = [slot for _, first, last in ranges for slot in range(int(first), int(last) + 1)]
    assert slots == list(range(16384))
    address = re.search(r"redis\+cluster://(.*)", (ROOT / ".env.example").read_text(encoding="utf-8"))
    assert address is not None
    assert [f"{node}:6379" for node, *_ in ranges] == address[1].split(",")


def test_prometheus_asks_every_gateway_and_worker_and_grafana_asks_prometheus() -> None:
    """What is provisioned names services and ports that are there."""
    configs = compose("observe")["configs"]
    jobs = yaml.safe_load(configs["prometheus"]["content"])["scrape_configs"]
    gateways, workers = (job["static_configs"][0]["targets"] for job in jobs)
    assert gateways == ["gateway-1:21100", "gateway-2:21100"]
    ports = {name: services()[name]["environment"]["ANDON_METRICS_PORT"] for name in ("worker-1", "worker-2")}
    assert workers == [f"{name}:{port}" for name, port in ports.items()]
    assert services("observe")["prometheus"]["networks"].keys() & services()["worker-1"]["networks"].keys()
    (source,) = yaml.safe_load(configs["grafana-datasource"]["content"])["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load(configs["grafana-dashboards"]["content"])["providers"]
    mounted = {volume["target"]: volume["source"] for volume in services("observe")["grafana"]["volumes"]}
    assert mounted[provider["options"]["path"]] == str(ROOT / "k8s" / "components" / "monitoring" / "dashboards")


def test_the_door_waits_as_long_as_a_create_may_take() -> None:
    """Queue and run, and a little; a frame or body that a gateway would take gets there."""
    config = (ROOT / "docker-compose.nginx.conf").read_text(encoding="utf-8")
    reads, body = re.search(r"proxy_read_timeout (\d+)s;", config), re.search(r"client_max_body_size (\d+)m;", config)
    assert reads is not None
    assert body is not None
    assert float(reads[1]) > Settings().queue_ttl_s + Settings().max_run_s
    assert int(body[1]) * 1024 * 1024 > Settings().max_frame_bytes
    assert not re.search(r"ip_hash|hash |sticky|least_conn", config)


def test_one_version_everywhere() -> None:
    """The package's, the image's and the manifests'."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"VERSION={version}" in stages()["run"].all("ARG")
    pod = the(overlay("production"), "Deployment", "andon-worker")["spec"]["template"]
    assert pod["spec"]["containers"][0]["image"].endswith(f":{version}")
    assert settings_of(overlay("production"), pod)
