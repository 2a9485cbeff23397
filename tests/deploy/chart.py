"""Renders the Helm chart with Helm's own library and validates every object: `cargo xtask test --only deploy` runs this.

    chart.py CHART [PROMTOOL]

Fails with the file of values, the object and the reason. PROMTOOL checks the alert rules of the rendered PrometheusRule."""

import importlib.util
import pathlib
import subprocess
import sys
import tempfile

import helm_python as helm
import kubernetes_validate
import yaml

# The oldest version that Chart.yaml permits, and the newest that the validator knows.
VERSIONS = ["1.25", "1.37"]
OPERATOR = "monitoring.coreos.com/v1"

# Values that the chart must refuse, and a part of the reason.
REFUSED = [
    ({"replicas": 2}, "cannot share one store"),
    ({"autoscaling": {"enabled": True}}, "cannot share one store"),
    ({"replicas": 2, "data": {"enabled": False}}, "would make a key of its own"),
    ({"seed": {"existingClaim": "backup"}}, "set data.enabled=false"),
    ({"auth": {"open": True}, "data": {"enabled": False}, "seed": {"existingClaim": "b"}}, "set one of them"),
    ({"auth": {"open": True}, "networkPolicy": {"enabled": False}}, "needs networkPolicy.enabled=true"),
    ({"tls": {"clientCa": True}}, "tls.clientCa needs tls.existingSecret"),
    ({"replica": 2}, "replica"),
    ({"data": {"size": "many"}}, "size"),
]


def fail(message):
    sys.exit(f"error: {message}")


def rendered(chart, values):
    """Returns the objects that the chart makes of these values."""
    files = chart.render(values, name="demo", namespace="prod")
    objects = []
    for name, text in files.items():
        if not name.endswith(".txt"):
            objects += [one for one in yaml.safe_load_all(text) if one is not None]
    return objects


def dropped(given, kept, at=""):
    """Yields the members of `given` that a model did not keep: it does not have them."""
    if isinstance(given, dict):
        for name, value in given.items():
            if name not in kept:
                yield f"{at}.{name}"
            else:
                yield from dropped(value, kept[name], f"{at}.{name}")
    elif isinstance(given, list):
        for index, (one, other) in enumerate(zip(given, kept)):
            yield from dropped(one, other, f"{at}[{index}]")


def of_operator(one):
    """Checks an object of the Prometheus operator against the types of that project."""
    from cloudcoil.models.prometheus_operator import v1

    model = getattr(v1, one["kind"], None)
    if model is None:
        fail(f"the Prometheus operator has no {one['kind']}")
    kept = model.model_validate(one).model_dump(mode="json", by_alias=True, exclude_unset=True)
    # Alert rules are free text of another program; promtool checks them.
    unknown = [path for path in dropped(one, kept) if not path.startswith(".spec.groups")]
    if unknown:
        fail(f"{one['kind']} has no {', '.join(unknown)}")


def selects(selector, labels):
    return all(labels.get(name) == value for name, value in selector.items())


def check_together(source, objects):
    """Checks what no schema of one object says: names and labels that must fit together."""
    by_kind = {}
    for one in objects:
        by_kind.setdefault(one["kind"], []).append(one)
    (deployment,) = by_kind["Deployment"]
    pod = deployment["spec"]["template"]
    labels = pod["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [service["spec"]["selector"] for service in by_kind["Service"]]
    selectors += [policy["spec"]["podSelector"]["matchLabels"] for policy in by_kind.get("NetworkPolicy", [])]
    selectors += [budget["spec"]["selector"]["matchLabels"] for budget in by_kind.get("PodDisruptionBudget", [])]
    for selector in selectors:
        if not selector or not selects(selector, labels):
            fail(f"{source}: {selector} does not select the pods ({labels})")
    ports = {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}
    for service in by_kind["Service"]:
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in ports:
                fail(f"{source}: no container has the port {port['targetPort']}")
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    containers = pod["spec"]["containers"] + pod["spec"].get("initContainers", [])
    for container in containers:
        for mount in container["volumeMounts"]:
            if mount["name"] not in volumes:
                fail(f"{source}: there is no volume {mount['name']}")
        context = container["securityContext"]
        if not context["readOnlyRootFilesystem"] or context["allowPrivilegeEscalation"]:
            fail(f"{source}: {container['name']} may change its image, or get rights")
        if context["capabilities"] != {"drop": ["ALL"]}:
            fail(f"{source}: {container['name']} has capabilities")
    for monitor in by_kind.get("ServiceMonitor", []):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        found = [one for one in by_kind["Service"] if selects(wanted, one["metadata"]["labels"])]
        if [one["metadata"]["name"] for one in found] != ["demo-lector-metrics"]:
            fail(f"{source}: the ServiceMonitor selects {[one['metadata']['name'] for one in found]}")
    for scaler in by_kind.get("HorizontalPodAutoscaler", []):
        if scaler["spec"]["scaleTargetRef"]["name"] != deployment["metadata"]["name"]:
            fail(f"{source}: the autoscaler scales another deployment")
        if "replicas" in deployment["spec"]:
            fail(f"{source}: the deployment and the autoscaler both set the number of pods")


def check_rules(promtool, source, objects):
    for one in objects:
        if one["kind"] == "PrometheusRule":
            with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
                yaml.safe_dump(one["spec"], file)
                file.flush()
                checked = subprocess.run([promtool, "check", "rules", file.name], capture_output=True, text=True)
            if checked.returncode != 0:
                fail(f"{source}: {checked.stdout}{checked.stderr}")


def main():
    folder, promtool = pathlib.Path(sys.argv[1]), (sys.argv[2:] or [None])[0]
    findings = helm.lint(str(folder))
    # Severity 1 is advice: an icon.
    problems = [one for one in findings["messages"] if one["severity"] > 1] + findings["errors"]
    if problems:
        fail(f"helm lint: {problems}")
    operator = importlib.util.find_spec("cloudcoil") is not None
    kinds, skipped = set(), set()
    with helm.Chart.load(str(folder)) as chart:
        sources = [None, *sorted((folder / "ci").glob("*.yaml"))]
        for source in sources:
            values = yaml.safe_load(source.read_text()) if source else {}
            name = source.name if source else "values.yaml"
            objects = rendered(chart, values)
            for one in objects:
                kinds.add(one["kind"])
                if one["apiVersion"] != OPERATOR:
                    for version in VERSIONS:
                        try:
                            kubernetes_validate.validate(one, version, strict=True)
                        except kubernetes_validate.ValidationError as error:
                            fail(f"{name}: {one['kind']}: {error.message} at {list(error.path)} (Kubernetes {version})")
                elif operator:
                    of_operator(one)
                else:
                    skipped.add(one["kind"])
            check_together(name, objects)
            if promtool:
                check_rules(promtool, name, objects)
        for values, reason in REFUSED:
            try:
                chart.validate_schema(values)
                rendered(chart, values)
            except helm.HelmError as error:
                if reason not in str(error):
                    fail(f"{values} is refused for another reason: {error}")
            else:
                fail(f"{values} is not refused")
    print(f"Helm {helm.helm_sdk_version()}, {len(sources)} files of values, {len(REFUSED)} refused: {', '.join(sorted(kinds))}")
    for kind in sorted(skipped):
        print(f"SKIPPED: the fields of {kind}: there are no types of the Prometheus operator")
    if not promtool:
        print("SKIPPED: the expressions of the alert rules: promtool is missing")


main()
