"""What an agent sees of ingest: acknowledged is on disk, and every other answer says what to do."""

from pathlib import Path

from opentrail.v1.ingest_pb2 import Refusal

from .agents import HandAgent, batches, payload, running


async def test_a_batch_is_acknowledged_when_it_is_in_the_log(tmp_path: Path) -> None:
    async with running(tmp_path) as ingest, HandAgent(tmp_path, ingest.port) as agent:
        welcome = await agent.hello()
        assert (welcome.protocol, welcome.acknowledged_through) == (1, 0)
        assert len(welcome.log_id) == 32
        await agent.send(1, payload())
        assert await agent.answer() == 1
        assert batches(tmp_path) == [("web-1", 1)]
        await agent.send(3, payload())
        refusal = await agent.answer()
        assert (refusal.code, refusal.expected) == (Refusal.GAP, 2)
