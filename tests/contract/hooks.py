"""The hooks of contract.py: names of things that exist, real bytes, the right key, and a count of the responses.

Names that schemathesis generates rarely exist, so that most operations would answer 404 alone. Therefore most names that
are valid by the schema are replaced.
"""

import atexit
import collections
import json
import os
import pathlib
import re
import urllib.parse
import zlib

import schemathesis
from hypothesis import strategies
from schemathesis.generation.meta import TestPhase

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
PREPARED = json.loads(pathlib.Path(os.environ["LECTOR_CONTRACT_PREPARED"]).read_text())
COMPONENT = bytes.fromhex(PREPARED["component"])

# The statuses of each operation.
seen = collections.defaultdict(collections.Counter)
atexit.register(lambda: pathlib.Path(os.environ["LECTOR_CONTRACT_SEEN"]).write_text(json.dumps(seen)))


# One page with one line of text. Without a table of its objects, which readers make for themselves.
PDF = b"""%PDF-1.4
1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj
2 0 obj <</Type /Pages /Kids [3 0 R] /Count 1>> endobj
3 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Contents 4 0 R /Resources <</Font <</F 5 0 R>>>>>> endobj
4 0 obj <</Length 35>> stream
BT /F 12 Tf 20 50 Td (one) Tj ET   
endstream endobj
5 0 obj <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>> endobj
trailer <</Root 1 0 R>>
%%EOF
"""
PNG = (DATA / "line.png").read_bytes()
PDFS = [PDF, PDF, PDF[:200], b"", b"\x00"]
PNGS = [PNG, PNG, PNG[:1000], b"", b"\x00"]

schemathesis.openapi.media_type("application/pdf", strategies.sampled_from(PDFS))
schemathesis.openapi.media_type("image/png", strategies.sampled_from(PNGS))
schemathesis.openapi.media_type("application/octet-stream", strategies.sampled_from([*PDFS, *PNGS]))
for name in ["image/jpeg", "image/tiff", "image/webp", "image/bmp", "image/gif"]:
    schemathesis.openapi.media_type(name, strategies.binary(max_size=64))
schemathesis.openapi.media_type("application/wasm", strategies.sampled_from([COMPONENT, COMPONENT[:1000], b"", b"\x00asm"]))


# Below what the server takes on HTTP/1.
HEAD_CHARS_MAX = 48 << 10
# The names that the document allows, of everything but jobs and files, and those of jobs.
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}|job_[0-9a-f]{32}")
# The ids of files: the document allows any text.
ANY = re.compile(r".+", re.DOTALL)


def chosen(value, of):
    """Returns a number below `of`, always the same for a value."""
    return zlib.crc32(repr(value).encode(errors="replace")) % of


def existing(value, names, valid=NAME, turn=None):
    """Returns one of the names in place of most valid values; with a turn, that of the turn in place of every value."""
    if turn is not None:
        return names[turn % len(names)]
    if not isinstance(value, str) or not valid.fullmatch(value) or chosen(value, 8) == 0:
        return value
    return names[chosen(value, len(names))]


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict):
        return body
    if "component" in body and chosen(body, 4):
        return {**body, "component": COMPONENT}
    operation = context.operation.definition.raw["operationId"]
    if operation.startswith("ocr") and chosen(body, 4):
        many = isinstance(body.get("file"), list)
        return {**body, "file": [PDF, PNG] if many else PDF}
    return body


@schemathesis.hook
def filter_case(context, case):
    """Drops cases that no operation sees, as their head is too large (431), and cases that are invalid as JSON, and valid
    as a form: there, one part and a list of one part are the same, and every part is bytes."""
    if len(urllib.parse.urlencode(case.query or {}, errors="replace")) + len(str(dict(case.headers or {}))) > HEAD_CHARS_MAX:
        return False
    of_documents = case.operation.definition.raw["operationId"] in ("ocrBatch", "ocrBatchByDeployment", "submitJob")
    if not of_documents or not isinstance(case.body, dict) or "file" not in case.body:
        return True
    files = case.body["file"]
    return isinstance(files, list) and not any(isinstance(file, (dict, list, int, float, type(None))) for file in files)


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = case.operation.definition.raw["operationId"]
    deletes = operation == "deleteDeployment"
    deployments = PREPARED["deletable_deployments" if deletes else "deployments"]
    case.headers = case.headers or {}
    of_admin = case.path.startswith("/api/v1/admin/") or operation == "getMetrics"
    case.headers["Authorization"] = f"Bearer {PREPARED['admin' if of_admin else 'key']}"
    if case.meta is not None and case.meta.phase.name == TestPhase.STATEFUL:
        return
    names = {
        "job": PREPARED["deletable_jobs" if operation == "deleteJob" else "jobs"],
        "file": PREPARED["deletable_files" if operation == "deleteFile" else "files"],
        "page": ["1"],
        "name": deployments,
        "tenant": PREPARED["tenants"],
        "id": PREPARED["keys"].get(operation, []),
        "number": ["1", "2"],
        "code": ["internal", "option_invalid"],
    }
    is_sound = case.meta is None or case.meta.generation.mode.is_positive
    # That an operation succeeds at all must not depend on the data of this run: until it has, each call has the next name.
    must_exist = is_sound and not any(status < "3" for status in seen[operation])
    turn = sum(seen[operation].values()) if must_exist else None
    case.path_parameters = {
        name: existing(
            str(value) if isinstance(value, int) else value, names[name], ANY if name == "file" else NAME, turn
        )
        for name, value in (case.path_parameters or {}).items()
    }
    if operation in ("canary", "shadow") and is_sound and chosen(case.body, 4) < 2:
        # One of the two is not live; a canary of a withdrawn one needs `force`.
        case.body = {"revision": 1 + chosen(case.body, 4), "percent": 10}
        if operation == "canary":
            case.body["force"] = True
    if "webhook" in (case.query or {}):
        # Nothing is sent to it: the server refuses addresses that are not public.
        case.query["webhook"] = "http://127.0.0.1:9/"
    # A slow machine must not end a sound request early.
    for container, name in [(case.headers, "Request-Timeout"), (case.query or {}, "timeout")]:
        if is_sound and name in container:
            container[name] = "60"
    tenant = case.headers.get("X-Lector-Tenant")
    if tenant is not None and len(tenant) <= 63 and chosen(tenant, 8):
        case.headers["X-Lector-Tenant"] = PREPARED["tenant"]
    # Path, query and header must name the same deployment.
    one = case.path_parameters.get("name", deployments[0])
    shared = ["echo"] if operation == "checkReadiness" else [one]
    for container, name in [(case.headers, "X-Lector-Deployment"), (case.query or {}, "deployment")]:
        value = container.get(name)
        if isinstance(value, str) and len(value) <= 63 and chosen(value, 8):
            container[name] = shared[0]


@schemathesis.hook
def after_call(context, case, response):
    if response.request.method == case.operation.method.upper():
        seen[case.operation.definition.raw["operationId"]][str(response.status_code)] += 1
