"""An agent killed between keeping a batch and noting how far it read: no refusal counts twice."""

from pathlib import Path

import pytest

from .oracle import equations
from .processes import Installation, wait_for

LINES = 40
DEATHS = 3


@pytest.mark.slow
def test_what_an_agent_refused_before_it_was_killed_is_in_quarantine_once(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "source.json"
    written = [f"no event {number}" for number in range(LINES)]
    file.write_text("".join(line + "\n" for line in written))
    # Durable in the spool, and dead before a position is written: read again at each start.
    installation.start(
        str(file), environment={"OPENTRAIL_CRASH_AT": "agent.spool.synced"}, wait=False
    )
    wait_for("the agent has died", lambda: installation.deaths() >= DEATHS, 60)
    installation.destroy()
    installation.start(str(file))
    wait_for(
        "what was read again has come", lambda: installation.status()["duplicates"] >= LINES, 30
    )
    last = "the last one"
    with file.open("a") as more:
        more.write(last + "\n")
    wait_for(
        "the quarantine has the last one",
        lambda: installation.status()["quarantined"] >= LINES + 1,
        30,
    )
    found = sorted(item["bytes"] for item in installation.quarantine_items())
    assert found == sorted(line.encode() for line in [*written, last])
    status = installation.status(recount=True)
    assert status["quarantined"] == LINES + 1
    assert equations(status) == []
