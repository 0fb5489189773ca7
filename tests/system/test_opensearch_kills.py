"""kill -9 of OpenSearch and of each of our processes, under load: nothing lost, nothing doubled.

The events are indexed on a real OpenSearch of this test's own, which is killed as a power cut would
and started again on the same data. The seed is printed: OPENTRAIL_SEED=… gives the same moments.
"""

import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.real.opensearch import OpenSearchNode
from tests.real.opensearch_install import MissingToolError, install

from .oracle import judge
from .processes import Installation, wait_for
from .producer import Load, Producer
from .test_kills import UP_AGAIN_SECONDS, role, seed

KILLS, OF_OPENSEARCH = 30, 3
RATE = 50


def started_node(folder: Path) -> OpenSearchNode:
    try:
        home, java = install()
    except MissingToolError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no real OpenSearch, this test is NOT run; missing: {error}")
    folder.mkdir()
    node = OpenSearchNode(home, java, folder)
    node.start()
    return node


@pytest.mark.long
def test_thirty_kills_of_opensearch_and_ours_lose_and_double_nothing(tmp_path: Path) -> None:
    chosen = seed()
    draw = random.Random(chosen)
    node = started_node(tmp_path / "opensearch")
    environment = {
        "OPENTRAIL_INDEX_ENGINE": "opensearch", "OPENTRAIL_OPENSEARCH_URL": node.url,
        "OPENTRAIL_OPENSEARCH_REPLICAS": "0", "OPENTRAIL_OPENSEARCH_TIMEOUT": "10s",
    }  # fmt: skip
    victims = ["opensearch"] * OF_OPENSEARCH + ["ours"] * (KILLS - OF_OPENSEARCH)
    draw.shuffle(victims)
    producer = Producer(tmp_path / "source", chosen)
    producer.write(200)
    installation = Installation(tmp_path / "ours")
    killed: Counter[str] = Counter()
    try:
        installation.start(producer.pattern, environment=environment)
        with Load(producer, RATE):
            coming_back: threading.Thread | None = None
            for victim in victims:
                time.sleep(draw.uniform(0, 1.5))
                if victim == "opensearch":
                    if coming_back is not None:
                        coming_back.join()
                    node.kill()
                    killed["OpenSearch"] += 1
                    # Ours go on dying while it is away.
                    coming_back = threading.Thread(target=node.start)
                    coming_back.start()
                    continue
                process = draw.choice(installation.processes())
                killed[role(process)] += 1
                process.kill()
                if process.pid == installation.up_pid:
                    wait_for("the others end", lambda: not installation.processes(), 2.0, 0.02)
                    installation.start(producer.pattern, environment=environment, wait=False)
            if coming_back is not None:
                coming_back.join()
        print("killed:", dict(killed))
        assert sum(killed.values()) == KILLS
        installation.wait_until_ready(UP_AGAIN_SECONDS)
        judge(installation, producer, at_least=1000, repeats=True)
        _, found = node.ask("GET", "/opentrail-events-*/_count")
        assert found["count"] >= 1000, "the events are in some other index"
    finally:
        installation.destroy()
        node.stop()
