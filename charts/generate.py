"""Makes charts/opentrail/values.schema.json and README.md, so that neither can tell another story.

    python charts/generate.py [--check]

The schema is read off values.yaml (a value's type is its default's) and off the product's own
settings classes: what the product cannot be told, the chart cannot be told either.  `SHAPES` says
what a default does not show.  The README's table is the comments that begin with `# --`.
"""

import dataclasses
import json
import re
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from opentrail.settings import Bytes, Seconds
from opentrail_agent.config import AgentSettings
from opentrail_aggregator.config import AggregatorSettings

CHART = Path(__file__).resolve().parent / "opentrail"
Schema = dict[str, Any]

# What the chart decides itself.
AGGREGATOR_OWN = {
    "home", "grpc.listen", "grpc.certificate", "grpc.key", "grpc.authority", "http.listen",
    "http.tls", "http.allow_plaintext",
    "opensearch.authority", "opensearch.password_file", "opensearch.header_file",
}  # fmt: skip
AGENT_OWN = {
    "name", "state", "ship.addresses", "ship.allow_plaintext", "ship.tls", "spool.directory",
}  # fmt: skip

TEXT: Schema = {"type": "string"}
QUANTITY: Schema = {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?([EPTGMk]i?|m)?$"}
NAME: Schema = {"type": "string", "pattern": "^$|^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"}
TEXTS: Schema = {"type": "array", "items": TEXT}
PORT: Schema = {"type": "integer", "minimum": 1, "maximum": 65535}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
ANY: Schema = {"type": "object"}  # An object of Kubernetes, which checks it itself.


def closed(required: list[str], **properties: Schema) -> Schema:
    return {
        "type": "object", "additionalProperties": False, "required": required,
        "properties": properties,
    }  # fmt: skip


def each(items: Schema) -> Schema:
    return {"type": "array", "items": items}


ENV = each(closed(["name"], name=TEXT, value=TEXT, valueFrom=ANY))
# Pod Security "restricted" allows these volumes and no others; hostPath above all is not here.
VOLUMES = each(
    closed(["name"], name=NAME, **dict.fromkeys(
        ["configMap", "secret", "emptyDir", "persistentVolumeClaim", "projected", "csi",
         "ephemeral", "downwardAPI"], ANY,
    ))
)  # fmt: skip
MOUNTS = each(
    closed(["name", "mountPath"], name=NAME, mountPath=TEXT, subPath=TEXT,
           readOnly={"type": "boolean"})
)  # fmt: skip
CONTAINER_PORT = closed(["containerPort"], name=TEXT, containerPort=PORT, protocol=TEXT)
RECEIVER = closed(
    ["name", "image"], name={**NAME, "minLength": 1, "not": {"const": "agent"}}, image=TEXT,
    args=TEXTS, env=ENV, ports=each(CONTAINER_PORT), resources=ANY,
)  # fmt: skip
AMOUNTS: Schema = {
    "type": "object", "additionalProperties": {"anyOf": [QUANTITY, {"type": "number"}]},
}  # fmt: skip
RESOURCES = closed([], requests=AMOUNTS, limits=AMOUNTS)
FOLDER: Schema = {"type": "string", "pattern": "^/[^/].*$"}
DURATION: Schema = {"type": "string", "pattern": "^[0-9]+h$"}

# Path (or its last part, after `*.`) -> schema, where a default does not say it all.
SHAPES: dict[str, Schema] = {
    "aggregator.replicas": {"const": 1},
    "*.commonLabels": LABELS, "*.labels": LABELS,
    "aggregator.http.port": PORT,
    "*.interval": {"type": "string", "pattern": "^[0-9]+(s|m)$"},
    "*.httpFrom": each(ANY), "*.annotations": LABELS, "*.podAnnotations": LABELS,
    "*.nodeSelector": LABELS, "*.affinity": ANY, "*.seLinuxOptions": LABELS,
    "*.tolerations": each(ANY), "*.topologySpreadConstraints": each(ANY), "*.egress": each(ANY),
    "*.agentsFrom": each(ANY), "*.ingressFrom": each(ANY),
    "*.imagePullSecrets": each(closed(["name"], name=NAME)),
    "*.extraEnv": ENV, "*.extraVolumes": VOLUMES, "*.extraVolumeMounts": MOUNTS,
    "*.resources": RESOURCES, "*.receivers": each(RECEIVER),
    "*.servicePorts": each(closed(["name", "port"], name=TEXT, port=PORT, targetPort={},
                                  protocol=TEXT)),
    "*.aggregatorAddresses": each({"type": "string", "pattern": "^.+:[0-9]{1,5}$"}),
    "*.extraHosts": TEXTS, "*.loadBalancerSourceRanges": TEXTS,
    "*.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "*.digest": {"type": "string", "pattern": "^$|^sha256:[0-9a-f]{64}$"},
    "aggregator.service.type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    "aggregator.service.port": PORT, "*.kind": {"enum": ["Issuer", "ClusterIssuer"]},
    "*.size": QUANTITY, "agents.storage.state": QUANTITY, "agents.storage.sources": QUANTITY,
    "*.duration": DURATION, "*.renewBefore": DURATION,
    "agents.replicas": {"type": "integer", "minimum": 1, "maximum": 100},
    "*.drainSeconds": {"type": "integer", "minimum": 0, "maximum": 600},
    "*.terminationGracePeriodSeconds": {"type": "integer", "minimum": 15, "maximum": 3600},
    "*.maxUnavailable": {"anyOf": [{"type": "integer", "minimum": 1},
                                   {"type": "string", "pattern": "^[0-9]+%$"}]},
    "hosts.paths": each(FOLDER), "hosts.stateDirectory": FOLDER,
    "hosts.runAsUser": {"type": "integer", "minimum": 0, "maximum": 2147483647},
    "hosts.supplementalGroups": each({"type": "integer", "minimum": 0}),
    "*.existingSecret": NAME, "*.keySecret": NAME, "*.existingClaim": NAME,
    "fullnameOverride": {**NAME, "maxLength": 40}, "nameOverride": {**NAME, "maxLength": 40},
}  # fmt: skip


def of_type(hint: Any, own: set[str], path: str) -> Schema:
    """The schema of a settings class's field."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return of_settings(hint, own, f"{path}.")
    if hint is Seconds or hint is Bytes:
        return {"type": ["string", "number"]}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = [each for each in arguments if each is not type(None)]
        return of_type(inner, own, path)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (tuple, list, frozenset):
        return each(of_type(arguments[0], own, path))
    if origin is dict:
        return {"type": "object", "additionalProperties": of_type(arguments[1], own, path)}
    simple = {str: "string", Path: "string", bool: "boolean", int: "integer", float: "number"}
    return {"type": simple[hint]}


def of_settings(cls: type, own: set[str], path: str = "") -> Schema:
    """The schema of a settings class without what the chart decides itself."""
    properties: Schema = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        here = f"{path}{name}"
        if here in own:
            continue
        schema = of_type(hint, own, here)
        if get_origin(hint) is Annotated:
            schema = {"description": get_args(hint)[1], **schema}
        properties[name] = schema
    return {"type": "object", "additionalProperties": False, "properties": properties}


def of_value(value: Any, path: str) -> Schema:
    """The schema of a chart value, from its default."""
    if path == "aggregator.config":
        return of_settings(AggregatorSettings, AGGREGATOR_OWN)
    if path in ("agents.config", "hosts.config"):
        return of_settings(AgentSettings, AGENT_OWN)
    for key in (path, "*." + path.rpartition(".")[2]):
        if key in SHAPES:
            return SHAPES[key]
    if isinstance(value, dict) and value:
        properties = {
            name: of_value(inner, f"{path}.{name}".lstrip(".")) for name, inner in value.items()
        }
        return {"type": "object", "additionalProperties": False, "properties": properties}
    if value in ({}, []) or value is None:
        raise SystemExit(f"{path}: an empty default says nothing: give its shape in SHAPES")
    simple = {bool: "boolean", int: "integer", str: "string", float: "number"}
    if type(value) is list:
        raise SystemExit(f"{path}: a list: give its shape in SHAPES")
    return {"type": simple[type(value)]}


def schema(values: Schema) -> str:
    top = of_value(values, "")
    top["properties"]["global"] = ANY  # Helm itself hands this to a chart that is a dependency.
    whole = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "opentrail", **top}
    return json.dumps(whole, indent=1) + "\n"


def rows(text: str) -> list[tuple[str, str, str]]:
    """(path, default, meaning) of every `# --` comment, in order."""
    found: list[tuple[str, str, str]] = []
    values = yaml.safe_load(text)
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if match := re.match(r"\s*# (--)?\s*(.*)", line):
            comment = [match[2]] if match[1] else [*comment, match[2]] if comment else []
            continue
        if match := re.match(r"( *)([A-Za-z0-9]+):", line):
            depth = len(match[1])
            path = [*(each for each in path if each[0] < depth), (depth, match[2])]
            if comment:
                keys = [name for _, name in path]
                value: Any = values
                for key in keys:
                    value = value[key]
                found.append((".".join(keys), json.dumps(value), " ".join(comment)))
        comment = []
    return found


def readme(text: str) -> str:
    table = ["| value | default | what it is |", "|---|---|---|"]
    for path, default, meaning in rows(text):
        table.append(f"| `{path}` | `{default}` | {meaning.replace('|', '&#124;')} |")
    template = (CHART.parent / "README.template.md").read_text()
    return template.replace("<!-- values -->", "\n".join(table))


def main() -> int:
    text = (CHART / "values.yaml").read_text()
    made = {"values.schema.json": schema(yaml.safe_load(text)), "README.md": readme(text)}
    stale = [
        name
        for name, content in made.items()
        if not (CHART / name).exists() or (CHART / name).read_text() != content
    ]
    if "--check" in sys.argv:
        for name in stale:
            print(f"{CHART / name} is out of date: run `make chart`", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (CHART / name).write_text(made[name])
        print(f"wrote {CHART / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
