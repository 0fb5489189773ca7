"""`make sbom`: the bill of materials of both roles, CycloneDX 1.6 as JSON.

    python -m packages.supply.bill [FILE]

The same tree gives the same bytes: the serial number is made from the content, and no time is
written.  Tools that only build and test are in it, with the scope `excluded`, which is CycloneDX's
word for what is not shipped.
"""

import argparse
import json
import sys
import uuid
from pathlib import Path
from typing import Any

from packages.supply.pinned import (
    AGENT,
    ROOT,
    Pinned,
    SupplyError,
    direct_needs,
    read_pinned,
    version_of_opentrail,
)

SPECIFICATION = "1.6"
OUT = ROOT / "build" / "opentrail.cdx.json"
# What a bill's number is derived under; any constant will do.
NAMESPACE = uuid.UUID("6f70656e-7472-5169-8c00-0062696c6c00")


def bill() -> dict[str, Any]:
    """The whole document."""
    pinned = read_pinned()
    version = version_of_opentrail()
    own = f"pkg:pypi/opentrail@{version}"
    content: dict[str, Any] = {
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": "opentrail",
                "version": version,
                "purl": own,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            },
        },
        "components": [_component(each) for each in pinned.values()],
        "dependencies": [
            {"ref": own, "dependsOn": [pinned[name].purl for name in direct_needs()]},
            *(
                {"ref": each.purl, "dependsOn": [pinned[name].purl for name in each.needs]}
                for each in pinned.values()
            ),
        ],
    }
    number = uuid.uuid5(NAMESPACE, json.dumps(content, sort_keys=True))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{number}",
        "version": 1,
        **content,
    }


def _component(each: Pinned) -> dict[str, Any]:
    # Optional: the extras, that is what only the aggregator is made of.
    scope = "required" if AGENT in each.roles else "optional" if each.roles else "excluded"
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": each.purl,
        "name": each.name,
        "version": each.version,
        "scope": scope,
        "purl": each.purl,
    }
    if each.license:
        component["licenses"] = [{"license": {"name": each.license}}]
    if each.roles:
        component["properties"] = [
            {"name": "opentrail:role", "value": role} for role in sorted(each.roles)
        ]
    return component


def main() -> int:
    parser = argparse.ArgumentParser(description="write the bill of materials (CycloneDX)")
    parser.add_argument("file", type=Path, nargs="?", default=OUT)
    options = parser.parse_args()
    try:
        document = bill()
    except SupplyError as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(json.dumps(document, indent=1) + "\n")
    shipped = sum(each["scope"] != "excluded" for each in document["components"])
    tools = len(document["components"]) - shipped
    print(f"{options.file}: {shipped} components shipped, {tools} that only build and test")
    return 0


if __name__ == "__main__":
    sys.exit(main())
