"""The chart's options: LiveKit, Redis, TLS, dashboards, alerts, monitors; and the README's table of values."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from voiceplane_common.models_file import parse_models_file

from scripts.generate_chart_values import page
from tests.support.chart import CHART, NAMESPACE, rendered, try_rendering
from tests.support.control_plane import ControlPlane

# The first one may build helm.
pytestmark = pytest.mark.timeout(3600)

OPEN: dict[str, Any] = {"orchestrator": {"auth": {"allowAnonymous": True}}}
EXTRAS: dict[str, Any] = OPEN | {
    "livekit": {
        "enabled": True,
        "publicUrl": "wss://rooms.example.com",
        "turn": {"domain": "turn.example.com", "tlsSecretName": "turn-tls"},
        "config": {"turn": {"ttl_seconds": 60}, "rtc": {"udp_port": 9000}},
        "service": {"type": "LoadBalancer"},
        "ingress": {"enabled": True, "host": "rooms.example.com", "tlsSecretName": "rooms-tls"},
    },
    "redis": {"enabled": True, "existingSecret": "redis"},
    "metrics": {"dashboards": {"enabled": True}},
    "networkPolicy": {"enabled": True},
}


def named(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    return next(each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, f"vp-voiceplane-{name}"))


def environment(objects: list[dict[str, Any]]) -> dict[str, Any]:
    container = named(objects, "Deployment", "orchestrator")["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def test_livekit_is_off_by_default() -> None:
    objects = rendered(OPEN)
    assert not [
        each
        for each in objects
        if re.search("livekit|redis|dashboard", each["metadata"]["name"]) or each["kind"] == "PrometheusRule"
    ]
    assert not [name for name in environment(objects) if "LIVEKIT" in name]


def test_the_orchestrator_gets_the_livekit_url_and_keys() -> None:
    objects = rendered(EXTRAS)
    variables = environment(objects)
    assert variables["LIVEKIT_URL"] == f"ws://vp-voiceplane-livekit.{NAMESPACE}:7880"
    assert variables["LIVEKIT_API_SECRET"] == {"secretKeyRef": {"name": "vp-voiceplane-livekit", "key": "api-secret"}}
    assert variables["VOICEPLANE_LIVEKIT__PUBLIC_URL"] == "wss://rooms.example.com"
    assert set(named(objects, "Secret", "livekit")["data"]) == {"api-key", "api-secret"}
    config = yaml.safe_load(named(objects, "ConfigMap", "livekit")["data"]["livekit.yaml"])
    assert (config["turn"]["domain"], config["turn"]["ttl_seconds"]) == ("turn.example.com", 60)
    assert (config["rtc"]["tcp_port"], config["rtc"]["udp_port"]) == (7881, 9000)
    assert "keys" not in config


def test_port_443_of_the_service_leads_to_turn_with_its_certificate() -> None:
    objects = rendered(EXTRAS)
    turn = yaml.safe_load(named(objects, "ConfigMap", "livekit")["data"]["livekit.yaml"])["turn"]
    pod = named(objects, "Deployment", "livekit")["spec"]["template"]["spec"]
    inner = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    outer = {port["port"]: inner[port["targetPort"]] for port in named(objects, "Service", "livekit")["spec"]["ports"]}
    assert (outer[443], outer[3478]) == (turn["tls_port"], turn["udp_port"])
    (secret,) = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
    (folder,) = [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "turn"]
    assert secret == "turn-tls"  # noqa: S105  # a name
    assert (turn["cert_file"], turn["key_file"]) == (f"{folder}/tls.crt", f"{folder}/tls.key")
    allowed = {
        port["port"] for rule in named(objects, "NetworkPolicy", "livekit")["spec"]["ingress"] for port in rule["ports"]
    }
    assert {5349, 3478} <= allowed


def test_without_a_turn_domain_there_is_no_turn() -> None:
    objects = rendered(OPEN | {"livekit": {"enabled": True}})
    assert "turn" not in json.dumps(objects)
    result = try_rendering(OPEN | {"livekit": {"enabled": True, "turn": {"domain": "turn.example.com"}}})
    assert "livekit.turn.tlsSecretName" in result.stderr


def test_the_signalling_of_livekit_may_share_the_orchestrators_host() -> None:
    host = {"enabled": True, "host": "voice.example.com", "tlsSecretName": "voice-tls"}
    objects = rendered(
        {"orchestrator": OPEN["orchestrator"] | {"ingress": host}, "livekit": {"enabled": True, "ingress": host}}
    )
    rules = [named(objects, "Ingress", name)["spec"]["rules"][0] for name in ("orchestrator", "livekit")]
    assert [rule["host"] for rule in rules] == ["voice.example.com"] * 2
    assert [rule["http"]["paths"][0]["path"] for rule in rules] == ["/", "/rtc"]


def test_the_values_of_the_tls_page_are_valid() -> None:
    text = (CHART.parents[1] / "docs" / "how-to" / "turn-and-tls.md").read_text(encoding="utf-8")
    (values,) = re.findall(r"^```yaml\n# values.yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    objects = rendered(yaml.safe_load(values))
    assert {each["kind"] for each in objects} >= {"Ingress", "Deployment", "Service"}
    assert environment(objects)["VOICEPLANE_LIVEKIT__PUBLIC_URL"] == "wss://voice.example.com"


def test_an_existing_secret_replaces_generated_keys() -> None:
    objects = rendered(OPEN | {"livekit": {"enabled": True, "existingSecret": "mine"}})
    assert not [each for each in objects if each["kind"] == "Secret"]
    assert environment(objects)["LIVEKIT_API_KEY"] == {"secretKeyRef": {"name": "mine", "key": "api-key"}}


def test_livekit_pods_have_a_restricted_security_context() -> None:
    objects = rendered(EXTRAS)
    for name in ("livekit", "redis"):
        pod = named(objects, "Deployment", name)["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
        assert named(objects, "NetworkPolicy", name)["spec"]["policyTypes"] == ["Ingress"]
    mirrored = rendered(EXTRAS | {"global": {"imageRegistry": "mirror.example.com"}})
    assert named(mirrored, "Deployment", "redis")["spec"]["template"]["spec"]["containers"][0]["image"].startswith(
        "mirror.example.com/redis:"
    )


def env_of(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def test_tls_gives_each_side_its_certificate() -> None:
    objects = rendered(OPEN | {"tls": {"enabled": True}, "pools": {"piper": {"defaultModel": "joe"}}})
    certificates = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "Certificate"}
    for component, prefix in (("operator", "VOICEPLANE_OPERATOR_TLS_"), ("orchestrator", "VOICEPLANE_WORKER_TLS__")):
        pod = named(objects, "Deployment", component)["spec"]["template"]["spec"]
        (volume,) = (each for each in pod["volumes"] if each["name"] == "tls")
        (mount,) = (each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "tls")
        assert certificates["vp-voiceplane-client-tls"]["secretName"] == volume["secret"]["secretName"]
        assert env_of(pod["containers"][0])[f"{prefix}CA_FILE"] == f"{mount['mountPath']}/ca.crt"
    (pool,) = (each for each in objects if each["kind"] == "TTSWorkerPool")
    worker = certificates["vp-voiceplane-worker-tls"]
    assert pool["spec"]["tls"] == {"secretName": worker["secretName"]}
    assert worker["dnsNames"] == ["voiceplane-worker"]
    issuers = {each["metadata"]["name"] for each in objects if each["kind"] == "Issuer"}
    assert {worker["issuerRef"]["name"], certificates["vp-voiceplane-ca"]["issuerRef"]["name"]} == issuers


def test_tls_takes_an_issuer_or_secrets_from_elsewhere() -> None:
    issuer = {"name": "corporate", "kind": "ClusterIssuer"}
    objects = rendered(OPEN | {"tls": {"enabled": True, "issuerRef": issuer}})
    certificates = [each["spec"] for each in objects if each["kind"] == "Certificate"]
    assert [each["issuerRef"] for each in certificates] == [issuer, issuer]
    own = {"enabled": True, "clientSecret": "mine", "workerSecret": "theirs"}
    objects = rendered(OPEN | {"tls": own, "pools": {"piper": {}}})
    assert not [each for each in objects if each["kind"] in {"Certificate", "Issuer"}]
    (pool,) = (each for each in objects if each["kind"] == "TTSWorkerPool")
    assert pool["spec"]["tls"] == {"secretName": "theirs"}


def test_without_tls_there_are_no_certificates() -> None:
    assert "tls" not in str(rendered(OPEN | {"pools": {"piper": {}}})).lower()


def test_keys_may_be_a_file_of_digests_in_a_secret() -> None:
    pod = named(rendered({"orchestrator": {"auth": {"keysSecret": "callers"}}}), "Deployment", "orchestrator")
    spec = pod["spec"]["template"]["spec"]
    container = spec["containers"][0]
    (file,) = (each["value"] for each in container["env"] if each["name"] == "VOICEPLANE_AUTH__KEYS_FILE")
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "keys")
    assert file == f"{mount['mountPath']}/keys.yaml"
    assert {"name": "keys", "secret": {"secretName": "callers"}} in spec["volumes"]
    assert not any(each["name"] == "VOICEPLANE_AUTH__API_KEYS" for each in container["env"])


def test_the_orchestrator_is_monitored_only_where_that_can_work() -> None:
    keyed = {"orchestrator": {"auth": {"apiKeys": ["sesame"]}}}

    def monitors(values: dict[str, Any], **monitor: Any) -> dict[str, Any]:
        objects = rendered(values | {"metrics": {"podMonitor": {"enabled": True, **monitor}}})
        return {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "PodMonitor"}

    assert "vp-voiceplane-orchestrator" not in monitors(keyed)
    assert "vp-voiceplane-orchestrator" in monitors(OPEN)
    found = monitors(keyed, orchestratorKey={"secretName": "scrape"})["vp-voiceplane-orchestrator"]
    (endpoint,) = found["podMetricsEndpoints"]
    assert endpoint["port"] == "http"
    assert endpoint["authorization"] == {"credentials": {"name": "scrape", "key": "api-key"}}


def test_dashboards_and_alerts_are_those_of_the_folders() -> None:
    data = named(rendered(EXTRAS), "ConfigMap", "dashboards")["data"]
    written = {f"voiceplane-{path.name}": json.loads(path.read_text()) for path in (CHART / "dashboards").iterdir()}
    assert {name: json.loads(text) for name, text in data.items()} == written
    assert len(written) == 3
    rules = {"metrics": {"rules": {"enabled": True, "labels": {"release": "prometheus"}}}}
    (rule,) = (each for each in rendered(OPEN | rules) if each["kind"] == "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((CHART / "rules" / "voiceplane.yaml").read_text())
    assert rule["metadata"]["labels"]["release"] == "prometheus"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (OPEN | {"livekit": {"publicUrl": "https://rooms.example.com"}}, "'/livekit/publicUrl'"),
        (OPEN | {"livekit": {"service": {"type": "Magic"}}}, "'/livekit/service/type'"),
        (OPEN | {"livekit": {"turn": {"domain": "turn"}}}, "'/livekit/turn/domain'"),
        (OPEN | {"redis": {"image": {"digest": "abc"}}}, "'/redis/image/digest'"),
        (
            OPEN | {"metrics": {"podMonitor": {"orchestratorKey": {"key": ""}}}},
            "'/metrics/podMonitor/orchestratorKey/key'",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(values: dict[str, Any], named: str) -> None:
    result = try_rendering(values)
    assert result.returncode != 0
    assert named in result.stderr


def test_the_readme_has_the_current_table_of_values() -> None:
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    assert page(readme) == readme, "run python scripts/generate_chart_values.py"
    assert "| `livekit.publicUrl` |" in readme


def test_the_api_server_accepts_the_manifests() -> None:
    with ControlPlane(controllers=True) as plane:
        plane.kubectl("create", "namespace", NAMESPACE)
        plane.define()
        objects = rendered(EXTRAS)
        items = {"apiVersion": "v1", "kind": "List", "items": objects}
        result = plane.try_kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(items))
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("created (server dry run)") == len(objects)


PREFETCH: dict[str, Any] = OPEN | {
    "prefetch": {"enabled": True, "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}]},
    "pools": {
        "gpu": {"image": "worker-csm:1", "cache": {"claimName": "packs"}, "credentials": [{"name": "hub"}]},
        "cpu": {"cache": {"hostPath": "/packs"}},
    },
    "poolLabels": {"gpu": {"tier": "gpu"}},
    "models": {
        "csm": {
            "family": "csm",
            "modelId": "csm-1b",
            "source": {"uri": "hf://sesame/csm-1b", "include": ["*.json"], "secretRef": {"name": "hub"}},
            "poolSelector": {"matchLabels": {"tier": "gpu"}},
        },
        "anna": {
            "family": "csm",
            "lora": {"baseModelRef": {"name": "csm"}, "source": {"uri": "s3://voices/anna", "sha256": "a" * 64}},
        },
        "elsewhere": {"family": "piper", "poolSelector": {"matchLabels": {"tier": "cpu"}}},
        "shipped": {"family": "piper"},
    },
}


def test_a_job_prefetches_the_voices_of_a_pool_to_its_volume() -> None:
    objects = rendered(PREFETCH)
    (job,) = [each for each in objects if each["kind"] == "Job" and "prefetch" in each["metadata"]["name"]]
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["image"], container["command"]) == ("worker-csm:1", ["voiceplane-worker", "--prefetch-only"])
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert variables["HTTPS_PROXY"] == "http://proxy:3128"
    paths = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert paths["cache"] == variables["VOICEPLANE_CACHE_DIR"]
    assert paths["credentials-0"] == f"{variables['VOICEPLANE_WORKER__CREDENTIALS_DIR']}/hub"
    volumes = {each["name"]: each for each in pod["volumes"]}
    assert volumes["cache"]["persistentVolumeClaim"] == {"claimName": "packs"}
    assert volumes["credentials-0"]["secret"]["secretName"] == "hub"  # a name
    assert pod["automountServiceAccountToken"] is False


def test_the_job_reads_the_voices_as_a_worker_does() -> None:
    text = named(rendered(PREFETCH), "ConfigMap", "prefetch-gpu")["data"]["models.yaml"]
    parsed = parse_models_file(yaml.safe_load(text))
    assert parsed.ignored == ()
    requests = {request.model_id: request for request in parsed.requests}
    assert requests.keys() == {"csm-1b", "anna", "shipped"}
    source = requests["csm-1b"].source
    assert (source.uri, source.credentials, list(source.include)) == ("hf://sesame/csm-1b", "hub", ["*.json"])
    assert (requests["anna"].source.uri, requests["anna"].source.sha256) == ("s3://voices/anna", "a" * 64)
    assert not requests["shipped"].HasField("source")


def test_a_prefetch_without_a_volume_is_refused() -> None:
    result = try_rendering(OPEN | {"prefetch": {"enabled": True}, "pools": {"cpu": {}}})
    assert result.returncode != 0
    assert "cache.claimName" in result.stderr
