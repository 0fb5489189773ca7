"""The agent is light: on a host that only ships, nothing of the aggregator is needed or loaded."""

import json
import subprocess
import sys

HEAVY = {
    "numpy", "tantivy", "isal", "aiohttp", "boto3", "botocore", "cryptography", "orjson",
    "opensearchpy", "opentrail_aggregator",
}  # fmt: skip

PROGRAM = """
import json, sys, pkgutil, importlib
import opentrail_agent
for module in pkgutil.walk_packages(opentrail_agent.__path__, "opentrail_agent."):
    importlib.import_module(module.name)
print(json.dumps(sorted(sys.modules)))
"""


def loaded(program: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_the_whole_agent_loads_nothing_of_the_aggregator() -> None:
    modules = loaded(PROGRAM)
    assert "opentrail_agent.ship.shipper" in modules
    assert {name.split(".")[0] for name in modules} & HEAVY == set()


def test_help_does_not_load_the_wire() -> None:
    program = (
        "import json, sys\n"
        "from opentrail_agent.__main__ import parser\n"
        "parser().format_help()\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert "grpc" not in loaded(program)
