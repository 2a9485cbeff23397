#!/usr/bin/env python3
"""Checks a running server against its OpenAPI document with schemathesis.

Usage: contract.py SERVER [--key KEY] [--examples N] [--seed N] [--report FILE]

SERVER is the address of a server whose data may be changed and deleted, for example http://127.0.0.1:8080. Every
operation is called with valid and invalid data, alone and in sequences; each response must have a documented status,
content type, header and shape. The exit status is 0 without findings, 1 with findings, and 2 if the check could not run.

The packages of requirements.txt must be installed: python3 -m venv DIR && DIR/bin/pip install -r requirements.txt
"""

import argparse
import importlib.metadata
import json
import pathlib
import subprocess
import sys
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
    # The server without keys accepts requests without credentials.
    "ignored_auth": "the run may be against a server without keys",
}


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


def operations(server):
    """Returns the ids of the operations of the server's OpenAPI document."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{server}/openapi.json", timeout=10) as answer:
            document = json.load(answer)
    except (OSError, ValueError) as error:
        fail(f"{server}/openapi.json cannot be read: {error}")
    return {
        operation["operationId"] for item in document["paths"].values() for operation in item.values()
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("server")
    arguments.add_argument("--key", help="an administrator's key")
    arguments.add_argument("--examples", type=int, default=25, help="most cases of an operation and phase")
    arguments.add_argument("--seed", type=int, default=1, help="seed of the generated data")
    arguments.add_argument("--report", help="file for a JUnit report")
    given = arguments.parse_args()
    server = given.server.rstrip("/")
    check_installed()
    described = operations(server)
    unknown = sorted(EXCLUDED.keys() - described)
    if unknown:
        fail(f"the document does not describe {', '.join(unknown)}: correct EXCLUDED")
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{server}/openapi.json",
        "--checks", "all",
        "--exclude-checks", ",".join(sorted(CHECKS_EXCLUDED)),
        "--phases", "examples,coverage,fuzzing,stateful",
        "--max-examples", str(given.examples),
        "--seed", str(given.seed),
        "--generation-database", "none",
        "--request-timeout", "60",
        "--suppress-health-check", "all",
        "--continue-on-failure",
        "--workers", "1",
    ]  # fmt: skip
    for operation in sorted(EXCLUDED):
        command += ["--exclude-operation-id", operation]
    if given.key:
        command += ["--header", f"Authorization: Bearer {given.key}"]
    if given.report:
        command += ["--report", "junit", "--report-junit-path", given.report]
    print(f"{len(described)} operations, without {', '.join(f'{name} ({why})' for name, why in sorted(EXCLUDED.items()))}")
    finished = subprocess.run(command, check=False)
    sys.exit(finished.returncode if finished.returncode in (0, 1) else 2)


if __name__ == "__main__":
    main()
