"""A manifest says `complete` only when every agent that could still bring events has reported."""

from pathlib import Path
from typing import Any

from tests.aggregator.archive.rig import ACCOUNT, NOON, Rig, event


def grants(*items: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "grants": [
            {"agent": agent, "accounts": [account], "regions": [region]}
            for agent, account, region in items
        ]
    }


def only(rig: Rig) -> Any:
    (manifest,) = rig.manifests()
    return manifest


def test_complete_when_the_agent_had_reported_past_the_hour(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.grant_all()
    rig.log.send([event(1, NOON)])
    rig.pass_time(3650)
    rig.log.heartbeat("web-1")
    rig.pass_time(300)
    manifest = only(rig)
    assert (manifest.complete, manifest.missing) == (True, [])
    (agent,) = manifest.agents
    assert (agent.agent, agent.begins_at, agent.consolidated_through) == ("web-1", 1, 1)
    assert agent.reported_until == "2026-09-21T13:00:50Z"


def test_an_agent_that_did_not_report_past_the_hour_is_named(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.grant_all()
    rig.log.send([event(1, NOON)])
    rig.log.send([event(2, NOON)], agent="web-2")
    rig.pass_time(3650)
    rig.log.heartbeat("web-1")
    rig.pass_time(300)
    manifest = only(rig)
    assert (manifest.complete, manifest.missing) == (False, ["web-2"])
    assert (manifest.objects[0].complete, manifest.objects[0].missing) == (False, ["web-2"])


def test_a_heartbeat_that_overtakes_its_batches_does_not_count_yet(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.grant_all()
    rig.log.send([event(1, NOON)])
    rig.pass_time(3650)
    rig.log.heartbeat("web-1", sequence=2)
    rig.pass_time(300)
    assert only(rig).missing == ["web-1"]


def test_only_agents_granted_the_account_and_region_are_waited_for(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.append_control(
        "settings",
        grants(
            ("web-1", ACCOUNT, "eu-*"), ("db-1", "999999999999", "*"), ("us-1", ACCOUNT, "us-*")
        ),
    )
    rig.log.send([event(1, NOON)])
    rig.pass_time(3650)
    rig.log.heartbeat("web-1")
    rig.pass_time(300)
    assert only(rig).complete


def test_in_the_global_region_every_agent_of_the_account_is_waited_for(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    both = grants(("web-1", ACCOUNT, "eu-*"), ("us-1", ACCOUNT, "us-*"))
    rig.log.append_control("settings", both)
    rig.log.send([event(1, NOON, region="us-east-1")], agent="us-1")
    rig.pass_time(3650)
    rig.log.heartbeat("us-1")
    rig.pass_time(300)
    assert only(rig).missing == ["web-1"]


def test_an_agent_granted_by_name_and_never_heard_of_is_missing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.log.append_control("settings", grants(("web-1", "*", "*"), ("web-9", ACCOUNT, "*")))
    rig.log.send([event(1, NOON)])
    rig.pass_time(3650)
    rig.log.heartbeat("web-1")
    rig.pass_time(300)
    assert only(rig).missing == ["web-9"]


def test_a_retired_agent_is_not_waited_for(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.grant_all()
    rig.log.send([event(1, NOON)])
    rig.log.send([event(2, NOON)], agent="web-2")
    rig.pass_time(3650)
    rig.log.append_control("agent-retired", {"agent": "web-2"})
    rig.log.heartbeat("web-1")
    rig.pass_time(300)
    assert only(rig).complete


def test_an_import_is_waited_for_only_while_it_runs(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.grant_all()
    rig.log.send([event(1, NOON)])
    rig.pass_time(3000)
    rig.log.send([event(2, NOON + 7200 - 86400)], agent="import-1", kind="import")
    rig.pass_time(650)
    rig.log.heartbeat("web-1")
    rig.pass_time(200)
    assert only(rig).missing == ["import-1"]
    rig.log.append_control("import-ended", {"agent": "import-1", "epoch": "e" * 32})
    rig.pass_time(60)
    assert rig.manifests()[-1].missing == []


def test_what_lies_before_an_epochs_first_batch_is_in_the_manifest(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.grant_all()
    rig.log.sequence["web-1"] = 41
    rig.log.send([event(1, NOON)])
    rig.pass_time(2 * 3600)
    assert [agent.begins_at for agent in only(rig).agents] == [42]


def test_events_from_inside_the_aggregator_wait_for_nobody(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.grant_all()
    rig.log.send([event(1, NOON)], agent="opentrail/own")
    rig.pass_time(2 * 3600)
    assert only(rig).complete


def test_what_is_known_of_agents_survives_a_restart(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.grant_all()
    rig.log.send([event(1, NOON)])
    rig.log.send([event(2, NOON)], agent="web-2")
    rig.pass_time(60)
    rig.archiver.close()
    rig.start()
    rig.pass_time(3600)
    rig.log.heartbeat("web-1")
    rig.archiver.close()
    rig.start()
    rig.pass_time(300)
    assert only(rig).missing == ["web-2"]
