"""Makes model.json and the tables of docs/cloudtrail-api.md from the service model of botocore.

python -m tests.aggregator.cloudtrail.generate          writes both
"""

import json
from pathlib import Path
from typing import Any

import botocore.session

from opentrail_aggregator.cloudtrail.operations import SUPPORTED, UNSUPPORTED

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / "aggregator/opentrail_aggregator/cloudtrail/model.json"
PAGE = ROOT / "docs/cloudtrail-api.md"
BEGIN, END = "<!-- operations: begin -->\n", "<!-- operations: end -->\n"
SERVICES = ("cloudtrail", "cloudtrail-data")
_KEPT = ("required", "min", "max", "pattern", "enum")


def models() -> dict[str, Any]:
    session = botocore.session.get_session()
    return {name: session.get_service_model(name) for name in SERVICES}


def model_json() -> str:
    operations: dict[str, Any] = {}
    shapes: dict[str, Any] = {}

    def take(shape: Any) -> str:
        if shape.name not in shapes:
            kept: dict[str, Any] = {"type": shape.type_name}
            shapes[shape.name] = kept
            kept.update({name: shape.metadata[name] for name in _KEPT if name in shape.metadata})
            if shape.type_name == "structure":
                kept["members"] = {name: take(each) for name, each in shape.members.items()}
            elif shape.type_name == "list":
                kept["member"] = take(shape.member)
        return str(shape.name)

    for model in models().values():
        for name in model.operation_names:
            if name in SUPPORTED:
                found = model.operation_model(name)
                operations[name] = {
                    "input": take(found.input_shape),
                    "errors": sorted(each.name for each in found.error_shapes),
                }
    content = {"operations": operations, "shapes": shapes}
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def tables() -> str:
    lines = []
    for service, model in models().items():
        lines += [f"### {service}\n", "| operation | here | |", "|---|---|---|"]
        for name in sorted(model.operation_names):
            if name in SUPPORTED:
                lines.append(f"| {name} | supported | {SUPPORTED[name].note} |")
            else:
                lines.append(f"| {name} | unsupported | {UNSUPPORTED[name]} |")
        lines.append("")
    return "\n".join(lines) + "\n"


def page() -> str:
    """The page with its tables made anew."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + BEGIN + tables() + END + rest.partition(END)[2]


if __name__ == "__main__":
    MODEL.write_text(model_json())
    PAGE.write_text(page())
