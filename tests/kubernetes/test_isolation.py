"""What pods may do, and whom they reach."""

import json

from tests.kubernetes.chart import chart_values
from tests.kubernetes.manifests import PodTemplate, find, manifests
from tests.kubernetes.pods import pod_template, pod_templates, selector


def test_a_policy_opens_the_port_on_which_its_pods_listen(environment: str) -> None:
    listening = 0
    for manifest in manifests(environment):
        if manifest["kind"] != "NetworkPolicy" or not manifest["spec"].get("ingress"):
            continue
        (selected,) = [p for p in pod_templates(environment) if selector(manifest).items() <= p.labels.items()]
        ports = {key for port in selected.spec["containers"][0]["ports"] for key in port.values()}
        assert {port["port"] for rule in manifest["spec"]["ingress"] for port in rule["ports"]} <= ports
        listening += 1
    assert listening == 3


def test_runs_reach_postgres_and_public_addresses_and_nothing_else_inside(environment: str) -> None:
    spec = find(environment, "NetworkPolicy", "convergence-run")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in spec
    anywhere = [rule for rule in spec["egress"] if "to" not in rule]
    assert [rule["ports"] for rule in anywhere] == [
        [{"port": chart_values(environment)["postgresql"]["service"]["port"], "protocol": "TCP"}]
    ]
    blocks = [to["ipBlock"] for rule in spec["egress"] for to in rule.get("to", []) if "ipBlock" in to]
    (public,) = [block for block in blocks if block["cidr"] == "0.0.0.0/0"]
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(public["except"])


def test_every_pod_is_taken_where_only_restricted_ones_are(environment: str, template: PodTemplate) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    namespace = next(manifest for manifest in manifests(environment) if manifest["kind"] == "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert template.spec["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    for container in template.containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
    assert {next(iter(v.keys() - {"name"})) for v in template.spec["volumes"]} <= {"emptyDir", "configMap"}


def test_runs_have_no_right_on_kubernetes() -> None:
    run = pod_template("production", "convergence-run")
    assert run.spec["automountServiceAccountToken"] is False
    account = find("production", "ServiceAccount", run.spec["serviceAccountName"])
    assert account["automountServiceAccountToken"] is False
    others = {
        template.spec["serviceAccountName"] for template in pod_templates("production") if template.name != run.name
    }
    assert others == {chart_values("production")["global"]["serviceAccountName"]}


def test_each_service_account_has_one_of_google_of_its_own(environment: str) -> None:
    accounts = [manifest for manifest in manifests(environment) if manifest["kind"] == "ServiceAccount"]
    project = find(environment, "ConfigMap", "convergence-config")["data"]["GCP_PROJECT_ID"]
    google = [account["metadata"]["annotations"]["iam.gke.io/gcp-service-account"] for account in accounts]
    assert len(set(google)) == len(accounts) == 2
    assert all(name.endswith(f"@{project}.iam.gserviceaccount.com") for name in google)


def test_no_part_of_an_environment_is_in_the_other() -> None:
    text = json.dumps([manifests("staging"), chart_values("staging")])
    production = find("production", "ConfigMap", "convergence-config")["data"]["GCP_PROJECT_ID"]
    assert f'"{production}"' not in text
    assert f"@{production}." not in text
    assert chart_values("production")["postgresql"]["postgresqlHost"] not in text
