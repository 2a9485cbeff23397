"""Checks deploy/compose.yaml with a strict parser of the Compose specification: `cargo xtask test --only deploy` runs this.

    compose.py FILE [PROMTOOL]

PROMTOOL checks the configuration of Prometheus in it, with the rule files that are mounted."""

import pathlib
import re
import subprocess
import sys
import tempfile

import yaml
from compose_spec import PyCompose


def fail(message):
    sys.exit(f"error: {message}")


def interpolated(text):
    """Returns the text as Compose reads it in an empty environment. Every variable must have a default."""
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)
    if "$" in text:
        fail(f"a variable without a default: {text[text.index('$') :][:40]}")
    return text


def mounts(folder, service):
    """Returns the files of the repository that a service mounts: path in the container to path here."""
    found = {}
    for volume in service.get("volumes", []):
        source, target, *_ = volume.split(":")
        if source.startswith("."):
            found[target] = folder / source
            if not found[target].is_file():
                fail(f"{source} is mounted, and does not exist")
    return found


def check_prometheus(promtool, text, files):
    """Runs promtool on the configuration, with its rule files at their places here."""
    for target, path in files.items():
        text = text.replace(target, str(path.resolve()))
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(text)
        file.flush()
        checked = subprocess.run([promtool, "check", "config", file.name], capture_output=True, text=True)
    if checked.returncode != 0:
        fail(f"the configuration of Prometheus: {checked.stdout}{checked.stderr}")
    if "0 rule files found" in checked.stdout or "rule files found" not in checked.stdout:
        fail(f"Prometheus loads no rules: {checked.stdout}")


def main():
    file, promtool = pathlib.Path(sys.argv[1]), (sys.argv[2:] or [None])[0]
    text = interpolated(re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE))
    try:
        PyCompose.from_yaml(text).validate()
    except ValueError as error:
        fail(error)
    document = yaml.safe_load(text)
    services, configs = document["services"], document["configs"]
    named = {service: mounts(file.parent, one) for service, one in services.items()}
    for name, service in services.items():
        for port in service.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                fail(f"{name} is open to other machines: {port}")
        for config in service.get("configs", []):
            yaml.safe_load(configs[config["source"]]["content"])
        for other in service.get("depends_on", []):
            if other not in services:
                fail(f"{name} depends on {other}, which is not there")
    if services["lector"].get("profiles"):
        fail("the server starts only with a profile")
    if promtool:
        check_prometheus(promtool, configs["prometheus"]["content"], named["prometheus"])
    else:
        print("SKIPPED: the configuration of Prometheus: promtool is missing")
    print(f"compose.yaml: {', '.join(services)}")


main()
