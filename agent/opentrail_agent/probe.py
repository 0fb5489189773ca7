"""Whether the agent on this machine is alive and connected, for probes.

    python -m opentrail_agent.probe live|ready STATE

The agent opens no port: it writes STATE/status.json at least every ten seconds. Live: that file is
not older than three of those. Ready: an aggregator has welcomed the agent besides. Ends with 0 or,
saying why, with 1. It does not look into the spool: `opentrail-agent spool status` does.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from opentrail.clock import Clock, SystemClock

FRESH_SECONDS = 30.0
QUESTIONS = ("live", "ready")


def main(arguments: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """0 if the answer is yes."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) != 2 or given[0] not in QUESTIONS:
        print("usage: python -m opentrail_agent.probe live|ready STATE", file=sys.stderr)
        return 2
    trouble = trouble_of(given[0], Path(given[1]) / "status.json", clock or SystemClock())
    if trouble:
        print(f"{given[0]}: {trouble}", file=sys.stderr)
        return 1
    return 0


def trouble_of(question: str, path: Path, clock: Clock) -> str:
    """Why the answer is no; empty for yes."""
    try:
        status = json.loads(path.read_bytes())
        age = (clock.now_ns() - int(status["at_ns"])) / 1e9
        is_connected = bool(status["figures"].get("opentrail_agent_connected"))
    except FileNotFoundError:
        return f"{path} is not there: no agent has run with this state yet"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{path} cannot be read: {error}"
    if age > FRESH_SECONDS:
        return f"{path} is {age:.0f} s old, at most {FRESH_SECONDS:.0f} s are normal: it hangs"
    if question == "ready" and not is_connected:
        problems = "; ".join(each["text"] for each in status.get("problems", []))
        return f"not connected to an aggregator{': ' if problems else ''}{problems}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
