"""Writes the generated files of the client libraries; with `--check`, compares them and changes nothing.

    python3 deploy/clients/generate.py [--check]

The models of both libraries come from the committed OpenAPI document: the schemas that the libraries use, and the options
of the operations. The blocking client for Python comes from the asynchronous one. Needs nothing but Python 3.10.
"""

import json
import keyword
import re
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[1] / "host/src/http/openapi.json"
PYTHON = HERE / "python/src/lector_client"
TYPESCRIPT = HERE / "typescript/src"
COMMAND = "python3 deploy/clients/generate.py"

# The schemas that the libraries return, and with them those that they refer to.
ROOTS = ["Document", "Event", "Job", "JobList", "JobDeletion", "JobEvent", "DeploymentList"]
# Options of requests: the parameters that clients give by name. Others have a place of their own in the libraries.
OPTIONS = {"OcrOptions": "ocr", "BatchOptions": "ocrBatch", "JobOptions": "submitJob"}
NOT_OPTIONS = {
    "format", "formats", "idempotency_key", "prefer", "tenant_header", "deployment_header", "request_timeout",
    "request_id", "traceparent",
}
# Names for parts of the document that have none.
CODE = "#/components/schemas/Problem/properties/code"
BLAME = "#/components/schemas/Problem/properties/blame"


@dataclass
class Type:
    """A type: `kind` is one of `any`, `str`, `int`, `float`, `bool`, `literal`, `list`, `map`, `ref`, `alias`."""

    kind: str
    of: "Type | None" = None
    name: str = ""
    values: list = field(default_factory=list)
    nullable: bool = False


@dataclass
class Member:
    name: str
    type: Type
    required: bool
    text: str


@dataclass
class Class:
    name: str
    text: str
    members: list


@dataclass
class Union:
    name: str
    text: str
    tag: str
    variants: dict


class Models:
    """The classes and unions of the schemas, in the order in which they can be defined."""

    def __init__(self, document):
        self.schemas = document["components"]["schemas"]
        self.parameters = document["components"]["parameters"]
        self.operations = {
            operation["operationId"]: operation
            for item in document["paths"].values()
            for operation in item.values()
            if isinstance(operation, dict)
        }
        self.items, self.known = [], set()
        for root in ROOTS:
            self.named(root)

    def named(self, name):
        if name in self.known:
            return
        self.known.add(name)
        schema = self.schemas[name]
        if "discriminator" in schema:
            self.union(name, schema)
        elif "properties" in schema or "allOf" in schema:
            self.items.append(self.object(name, schema))

    def union(self, name, schema):
        tag, prefix, variants = schema["discriminator"]["propertyName"], name.removesuffix("Event"), {}
        for variant in schema["oneOf"]:
            members = self.members_of(variant, "")
            value = next(member.type.values[0] for member in members if member.name == tag)
            of = prefix + title(value) + "Event"
            self.items.append(Class(of, f"The event `{value}`.", self.members_of(variant, of)))
            variants[value] = of
        self.items.append(Union(name, schema.get("description", ""), tag, variants))

    def object(self, name, schema):
        return Class(name, schema.get("description", ""), self.members_of(schema, name))

    def members_of(self, schema, owner, optional=False):
        """Returns the members of an object with those of the parts that are flattened into it."""
        if "$ref" in schema:
            return self.members_of(self.schemas[last(schema["$ref"])], last(schema["$ref"]), optional)
        members = []
        for part in schema.get("allOf", []):
            members += self.members_of(part, owner, optional)
        for part in schema.get("anyOf", []):
            members += self.members_of(part, owner, True)
        required = set(schema.get("required", []))
        for name, value in schema.get("properties", {}).items():
            type_ = self.type(value, owner + title(name))
            needed = name in required and not optional
            members.append(Member(name, type_, needed, value.get("description", "")))
        return members

    def type(self, schema, name):
        if "$ref" in schema:
            return self.reference(schema["$ref"])
        if "const" in schema:
            return Type("literal", values=[schema["const"]])
        if "enum" in schema:
            return Type("literal", values=schema["enum"])
        if "oneOf" in schema:
            parts = [part for part in schema["oneOf"] if part.get("type") != "null"]
            if len(parts) != 1:
                raise ValueError(f"{name}: a choice of several schemas without a discriminator is not supported")
            return self.nullable(self.type(parts[0], name))
        kinds = schema.get("type", "any")
        if isinstance(kinds, list):
            rest = [kind for kind in kinds if kind != "null"]
            one = self.type({**schema, "type": rest[0]}, name) if len(rest) == 1 else Type("any")
            return self.nullable(one) if "null" in kinds else one
        if kinds == "array":
            return Type("list", of=self.type(schema.get("items", {}), name.removesuffix("s")))
        if kinds == "object":
            if "properties" in schema:
                # A flattened part is met again in each object that contains it.
                if name not in self.known:
                    self.known.add(name)
                    self.items.append(self.object(name, schema))
                return Type("ref", name=name)
            extra = schema.get("additionalProperties")
            return Type("map", of=self.type(extra, name) if isinstance(extra, dict) else Type("any"))
        known = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "any": "any"}
        if kinds not in known or "anyOf" in schema or "allOf" in schema:
            raise ValueError(f"{name}: the schema is not supported: {schema}")
        return Type(known[kinds])

    def reference(self, ref):
        if ref in (CODE, BLAME):
            return Type("alias", name="Code" if ref == CODE else "Blame")
        name = last(ref)
        if name == "Quad":
            return Type("alias", name="Quad")
        if "enum" in self.schemas[name]:
            return Type("literal", values=self.schemas[name]["enum"])
        self.named(name)
        return Type("ref", name=name)

    @staticmethod
    def nullable(type_):
        return Type(type_.kind, type_.of, type_.name, type_.values, True)

    def options(self, operation):
        """Returns the options of an operation as members, and where each is sent."""
        members, places = [], {}
        for reference in self.operations[operation]["parameters"]:
            key = last(reference["$ref"])
            parameter = self.parameters[key]
            if key in NOT_OPTIONS or parameter["in"] == "path":
                continue
            name = parameter["name"] if parameter["in"] == "query" else key
            members.append(Member(name, self.type(parameter["schema"], ""), False, parameter["description"]))
            places[name] = (parameter["in"], parameter["name"])
        return members, places

    def codes(self):
        return [code["const"] for code in self.schemas["Problem"]["properties"]["code"]["oneOf"]]

    def enum(self, parameter):
        return self.parameters[parameter]["schema"]["enum"]

    def blames(self):
        return self.schemas["Problem"]["properties"]["blame"]["enum"]


def last(ref):
    return ref.rsplit("/", 1)[-1]


def title(name):
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[_\-]", name))


def wrapped(text, indent, width=110):
    return textwrap.wrap(" ".join(text.split()), width - indent)


# Python


def py_type(type_):
    text = {
        "any": lambda: "Any",
        "literal": lambda: f"Literal[{', '.join(json.dumps(value) for value in type_.values)}]",
        "list": lambda: f"list[{py_type(type_.of)}]",
        "map": lambda: f"dict[str, {py_type(type_.of)}]",
        "ref": lambda: type_.name,
        "alias": lambda: type_.name,
    }.get(type_.kind, lambda: type_.kind)()
    return f"{text} | None" if type_.nullable else text


def py_read(type_, value):
    """Returns the expression that makes a value of the type from its JSON."""
    if type_.kind == "ref":
        return f"{type_.name}.from_json({value})"
    if type_.kind == "list" and type_.of.kind == "ref":
        return f"[{type_.of.name}.from_json(item) for item in {value}]"
    if type_.kind == "map" and type_.of.kind == "ref":
        return f"{{key: {type_.of.name}.from_json(item) for key, item in {value}.items()}}"
    return value


def py_docstring(text, indent):
    lines = wrapped(text, indent + 6) or [""]
    pad = " " * indent
    if len(lines) == 1:
        return f'{pad}"""{lines[0]}"""\n'
    return f'{pad}"""' + f"\n{pad}".join(lines) + f'\n{pad}"""\n'


def py_class(item):
    out = f"\n\n@dataclass(slots=True, kw_only=True)\nclass {item.name}:\n" + py_docstring(item.text or f"`{item.name}` of the API.", 4)
    out += "\n"
    for member in item.members:
        name = member.name + ("_" if keyword.iskeyword(member.name) else "")
        type_ = member.type if member.required else Models.nullable(member.type)
        default = "" if member.required else " = None"
        out += f"    {name}: {py_type(type_)}{default}\n"
        if member.text:
            out += py_docstring(member.text, 4)
    out += f"\n    @classmethod\n    def from_json(cls, value: Mapping[str, Any]) -> {item.name}:\n"
    out += '        """Returns the object of its JSON; unknown members are ignored."""\n        return cls(\n'
    for member in item.members:
        name = member.name + ("_" if keyword.iskeyword(member.name) else "")
        plain = py_read(member.type, "it") == "it"
        if member.required and not member.type.nullable:
            read = py_read(member.type, f'value["{member.name}"]')
        elif plain:
            read = f'value["{member.name}"]' if member.required else f'value.get("{member.name}")'
        else:
            found = f'(it := value.get("{member.name}"))'
            read = f"None if {found} is None else {py_read(member.type, 'it')}"
        out += f"            {name}={read},\n"
    return out + "        )\n"


def py_union(item):
    variants = list(item.variants.values())
    out = f"\n\n{item.name} = Union[\n" + "".join(f"    {variant},\n" for variant in variants) + "]\n"
    out += py_docstring(item.text, 0)
    out += f"\n_{item.name.upper()}: dict[str, Any] = {{\n"
    out += "".join(f'    "{tag}": {variant},\n' for tag, variant in item.variants.items()) + "}\n"
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", item.name).lower()
    out += f"\n\ndef {name}(value: Mapping[str, Any]) -> {item.name} | None:\n"
    out += f'    """Returns the event of its JSON; `None` for an event that this version does not know."""\n'
    out += f'    variant = _{item.name.upper()}.get(value.get("{item.tag}", ""))\n'
    return out + "    return None if variant is None else variant.from_json(value)\n"


def py_literal(name, values, text):
    lines = "".join(f"    {json.dumps(value)},\n" for value in values)
    return f"\n{name} = Literal[\n{lines}]\n" + py_docstring(text, 0)


def python(models):
    out = f'"""The models and options of the HTTP API. Generated by `{COMMAND}`: do not edit."""\n'
    out += "\n# ruff: noqa\nfrom __future__ import annotations\n"
    out += "\nfrom collections.abc import Mapping\nfrom dataclasses import dataclass\n"
    out += "from typing import Any, Literal, TypedDict, Union\n"
    out += "\nQuad = list[list[float]]\n" + py_docstring(models.schemas["Quad"]["description"], 0)
    out += py_literal("Blame", models.blames(), "The party that can correct the error.")
    out += py_literal("Format", models.enum("format"), "An output format.")
    out += py_literal("JobState", models.enum("job_state"), "The state of a job.")
    out += py_literal("Code", models.codes(), "A problem code; newer servers may send others.")
    for item in models.items:
        out += py_class(item) if isinstance(item, Class) else py_union(item)
    for name, operation in OPTIONS.items():
        members, places = models.options(operation)
        out += f"\n\nclass {name}(TypedDict, total=False):\n" + py_docstring(f"Options of `{operation}`.", 4)
        out += "\n"
        for member in members:
            out += f"    {member.name}: {py_type(member.type)}\n" + py_docstring(member.text, 4)
        out += f"\n\n{upper(name)}: dict[str, tuple[str, str]] = {{\n"
        out += "".join(f'    "{key}": ("{where}", "{wire}"),\n' for key, (where, wire) in places.items()) + "}\n"
        out += py_docstring(f"The place and the name of each of `{name}` in a request.", 0)
    return out


def upper(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


# TypeScript


def ts_type(type_):
    text = {
        "any": lambda: "unknown",
        "str": lambda: "string",
        "int": lambda: "number",
        "float": lambda: "number",
        "bool": lambda: "boolean",
        "literal": lambda: " | ".join(json.dumps(value) for value in type_.values),
        "list": lambda: f"{ts_part(type_.of)}[]",
        "map": lambda: f"Record<string, {ts_type(type_.of)}>",
    }.get(type_.kind, lambda: type_.name)()
    return f"{text} | null" if type_.nullable else text


def ts_part(type_):
    text = ts_type(type_)
    return f"({text})" if "|" in text else text


def ts_comment(text, indent):
    pad = " " * indent
    lines = wrapped(text.replace("*/", "* /"), indent + 7)
    if not lines:
        return ""
    if len(lines) == 1:
        return f"{pad}/** {lines[0]} */\n"
    return f"{pad}/**\n" + "".join(f"{pad} * {line}\n" for line in lines) + f"{pad} */\n"


def ts_interface(name, text, members):
    out = "\n" + ts_comment(text, 0) + f"export interface {name} {{\n"
    for member in members:
        out += ts_comment(member.text, 2)
        out += f"  {member.name}{'' if member.required else '?'}: {ts_type(member.type)};\n"
    return out + "}\n"


def ts_alias(name, values, text, is_open=False):
    lines = [json.dumps(value) for value in values] + (["(string & {})"] if is_open else [])
    return "\n" + ts_comment(text, 0) + f"export type {name} =\n" + "\n".join(f"  | {line}" for line in lines) + ";\n"


def typescript(models):
    out = f"// The models and options of the HTTP API. Generated by `{COMMAND}`: do not edit.\n"
    out += "\n/** Horizontal and vertical position, in pixels of the page image. */\n"
    out += "export type Point = [number, number];\n"
    out += "\n" + ts_comment(models.schemas["Quad"]["description"], 0)
    out += "export type Quad = [Point, Point, Point, Point];\n"
    out += ts_alias("Blame", models.blames(), "The party that can correct the error.")
    out += ts_alias("Format", models.enum("format"), "An output format.")
    out += ts_alias("JobState", models.enum("job_state"), "The state of a job.")
    out += ts_alias("Code", models.codes(), "A problem code; newer servers may send others.", is_open=True)
    for item in models.items:
        if isinstance(item, Class):
            out += ts_interface(item.name, item.text, item.members)
        else:
            union = "\n".join(f"  | {variant}" for variant in item.variants.values())
            out += "\n" + ts_comment(item.text, 0) + f"export type {item.name} =\n{union};\n"
    for name, operation in OPTIONS.items():
        members, places = models.options(operation)
        out += ts_interface(name, f"Options of `{operation}`.", members)
        out += "\n" + ts_comment(f"The place and the name of each of {name} in a request.", 0)
        out += f"export const {upper(name)}: Readonly<Record<string, readonly [string, string]>> = {{\n"
        return_ = "".join(f'  {key}: ["{where}", "{wire}"],\n' for key, (where, wire) in places.items())
        out += return_ + "};\n"
    return out


# The blocking client

BLOCKING = [
    (r"\basync def\b", "def"),
    (r"\bawait ", ""),
    (r"\basync (with|for)\b", r"\1"),
    (r"\bAsyncIterator\b", "Iterator"),
    (r"\bAsyncGenerator\b", "Generator"),
    (r"\bAsync(Client|Jobs|Deployments|Sleep|Transport)\b", r"\1"),
    (r"httpx\.AsyncBaseTransport", "httpx.BaseTransport"),
    (r"httpx\.AsyncClient", "httpx.Client"),
    (r"\b__aenter__\b", "__enter__"),
    (r"\b__aexit__\b", "__exit__"),
    (r"\baclose\b", "close"),
    (r"\baread\b", "read"),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"^import asyncio\n", ""),
    (r"\ban asynchronous\b", "a blocking"),
    (r"\basyncio\.run\(main\(\)\)", "main()"),
]


def blocking(text):
    """Returns the blocking form of the asynchronous client."""
    for pattern, replacement in BLOCKING:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    first, rest = text.split("\n", 1)
    return f"# Generated from `_async.py` by `{COMMAND}`: do not edit.\n{first}\n{rest}"


def main():
    models = Models(json.loads(DOCUMENT.read_text()))
    files = {
        PYTHON / "models.py": python(models),
        PYTHON / "_sync.py": blocking((PYTHON / "_async.py").read_text()),
        TYPESCRIPT / "models.ts": typescript(models),
    }
    old = [path for path, text in files.items() if not path.is_file() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in old:
            print(f"{path.relative_to(HERE.parents[1])} is not current: run `{COMMAND}`")
        sys.exit(1 if old else 0)
    for path in old:
        path.write_text(files[path])
        print(f"written: {path.relative_to(HERE.parents[1])}")


if __name__ == "__main__":
    main()
