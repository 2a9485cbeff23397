#!/usr/bin/env python3
"""Checks a running server against its OpenAPI document with schemathesis.

Usage: contract.py SERVER --component FILE [--examples N] [--seed N] [--report FILE]

SERVER is the address of a server without keys whose data may be changed and deleted, for example http://127.0.0.1:8080.
The script creates keys, a tenant and deployments of the component, so that requests find something. Then schemathesis
calls every operation with valid and invalid data, alone and in sequences; each response must have a documented status,
content type, header and shape, and no request may cause a server error. The exit status is 0 without findings, 1 with
findings, and 2 if the check could not run.

The packages of requirements.txt must be installed: python3 -m venv DIR && DIR/bin/pip install -r requirements.txt
"""

import argparse
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

FOLDER = pathlib.Path(__file__).resolve().parent

# Operations that schemathesis cannot call, with the reason.
EXCLUDED = {
    "streamAuditEvents": "the response does not end",
    "streamAllAuditEvents": "the response does not end",
}

# Checks that do not apply, with the reason.
CHECKS_EXCLUDED = {
    # A body that is valid by its schema can still be refused: a component that is no WebAssembly, a file that is no PDF,
    # a cursor of another list.
    "positive_data_acceptance": "bytes of documents and components are outside the schema",
    # The document allows requests without a key, for a server without keys. `tests/access.rs` of the gateway tries every
    # route without a key.
    "ignored_auth": "a server may have no keys",
}

# Operations that cannot succeed on this server, with the reason. Any other operation that never succeeds is a fault of
# this script: its responses would not be checked.
NEVER_SUCCEED = {
    "getOpenApi": "schemathesis reads it at the start, and does not call it again",
}

TENANT = "contract"
DEPLOYMENTS = ["first", "second"]
DELETABLE_DEPLOYMENTS = ["spare-1", "spare-2", "spare-3"]
TENANTS = ["spare-1", "spare-2", "spare-3", "spare-4"]
KEYS = 8
# Operations that end a key. Each has keys of its own: what another one has ended cannot be revoked or rotated.
OF_KEYS = ["revokeKey", "rotateKey", "revokeAnyKey", "rotateAnyKey"]
JOBS = 2
DELETABLE_JOBS = 8
FILES = 2
DELETABLE_FILES = 8


def fail(message):
    print(f"contract.py: {message}", file=sys.stderr)
    sys.exit(2)


def required_version():
    for line in (FOLDER / "requirements.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        if name.strip() == "schemathesis":
            return version.strip()
    fail("requirements.txt does not name schemathesis")


def check_installed():
    required = required_version()
    try:
        found = importlib.metadata.version("schemathesis")
    except importlib.metadata.PackageNotFoundError:
        fail(f"schemathesis {required} is not installed for {sys.executable}: install {FOLDER}/requirements.txt")
    if found != required:
        fail(f"schemathesis is {found}, and {FOLDER}/requirements.txt names {required}: install that version")


class Server:
    """A client of the server, with an administrator's key once there is one."""

    def __init__(self, address):
        self.address = address
        self.key = None
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method, path, body=None, content_type="application/json", tenant=None, headers=None):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}{path}", data=body, method=method)
        request.add_header("Content-Type", content_type)
        if self.key:
            request.add_header("Authorization", f"Bearer {self.key}")
        if tenant:
            request.add_header("X-Lector-Tenant", tenant)
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with self.opener.open(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            fail(f"{method} {path}: {error.status} {error.read().decode(errors='replace')}")
        except (OSError, ValueError) as error:
            fail(f"{method} {path}: {error}")


def prepare(server, component):
    """Creates what the requests find. Returns it, for hooks.py."""
    admin = server.call("POST", "/api/v1/admin/keys", {"admin": True, "label": "contract"})
    server.key = admin["key"]
    for tenant in [TENANT, *TENANTS]:
        server.call("PUT", f"/api/v1/admin/tenants/{tenant}", {})
    own = server.call("POST", "/api/v1/admin/keys", {"tenant": TENANT, "label": "contract"})
    keys = {
        operation: [
            server.call("POST", "/api/v1/admin/keys", {"tenant": TENANT, "label": f"{operation} {number}"})["record"]["id"]
            for number in range(KEYS)
        ]
        for operation in OF_KEYS
    }
    for name in [*DEPLOYMENTS, *DELETABLE_DEPLOYMENTS]:
        path = f"/api/v1/deployments/{name}"
        server.call("PUT", path, component, "application/wasm", TENANT)
        server.call("PUT", path, {"settings": {"greeting": "second"}, "promote": True}, tenant=TENANT)
    # Of the tenant's default deployment. Each has ended when the answer comes.
    document = (FOLDER.parent / "data/line.png").read_bytes()
    jobs = [
        server.call("POST", "/api/v1/jobs", document, "image/png", TENANT, {"Prefer": "wait=60"})["id"]
        for _ in range(JOBS + DELETABLE_JOBS)
    ]
    files = [
        server.call("POST", "/api/v1/files", document, "image/png", TENANT)["id"]
        for _ in range(FILES + DELETABLE_FILES)
    ]
    return {
        "files": files[:FILES],
        "deletable_files": files[FILES:],
        "jobs": jobs[:JOBS],
        "deletable_jobs": jobs[JOBS:],
        "admin": admin["key"],
        "key": own["key"],
        "component": component.hex(),
        "tenant": TENANT,
        "deployments": DEPLOYMENTS,
        "deletable_deployments": DELETABLE_DEPLOYMENTS,
        "tenants": TENANTS,
        "keys": keys,
    }


def configuration():
    """Returns the configuration of schemathesis."""
    excluded = ", ".join(f'"{name}"' for name in sorted(EXCLUDED))
    return f"""
hooks = "hooks"
request-timeout = 60

[[operations]]
include-operation-id = [{excluded}]
enabled = false

[[operations]]
# With `follow` the response does not end.
include-operation-id = "listLogLines"
parameters = {{ "query.follow" = "false" }}
"""


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("server")
    arguments.add_argument("--component", required=True, type=pathlib.Path, help="a component that needs no model")
    arguments.add_argument("--examples", type=int, default=25, help="most cases of an operation and phase")
    arguments.add_argument("--seed", type=int, help="seed of other data than the same in every run")
    arguments.add_argument("--report", help="file for a JUnit report")
    given = arguments.parse_args()
    check_installed()
    server = Server(given.server.rstrip("/"))
    document = server.call("GET", "/openapi.json")
    described = {operation["operationId"] for item in document["paths"].values() for operation in item.values()}
    unknown = sorted((EXCLUDED.keys() | NEVER_SUCCEED.keys()) - described)
    if unknown:
        fail(f"the document does not describe {', '.join(unknown)}: correct EXCLUDED or NEVER_SUCCEED")
    prepared = prepare(server, given.component.read_bytes())
    print(f"{len(described)} operations, without {', '.join(f'{name} ({why})' for name, why in sorted(EXCLUDED.items()))}")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        seen = folder / "seen.json"
        (folder / "prepared.json").write_text(json.dumps(prepared))
        (folder / "schemathesis.toml").write_text(configuration())
        command = [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml"),
            "run", f"{server.address}/openapi.json",
            "--checks", "all",
            "--exclude-checks", ",".join(sorted(CHECKS_EXCLUDED)),
            "--phases", "examples,coverage,fuzzing,stateful",
            "--max-examples", str(given.examples),
            *(["--generation-deterministic"] if given.seed is None else ["--seed", str(given.seed)]),
            "--suppress-health-check", "all",
            "--warnings", "off",
            "--continue-on-failure",
            "--workers", "1",
        ]  # fmt: skip
        if given.report:
            command += ["--report", "junit", "--report-junit-path", given.report]
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")]))
        environment.update(LECTOR_CONTRACT_PREPARED=str(folder / "prepared.json"), LECTOR_CONTRACT_SEEN=str(seen))
        status = subprocess.run(command, check=False, env=environment).returncode
        if status not in (0, 1):
            fail(f"schemathesis ended with {status}")
        statuses = json.loads(seen.read_text())
    calls = sum(sum(counts.values()) for counts in statuses.values())
    never = {name for name in described - EXCLUDED.keys() if not any(s < "3" for s in statuses.get(name, {}))}
    print(f"{calls} responses checked; {len(described) - len(EXCLUDED) - len(never)} operations succeeded at least once")
    for name in sorted(never - NEVER_SUCCEED.keys()):
        print(f"{name} never succeeded: {statuses.get(name, {})}", file=sys.stderr)
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    main()
