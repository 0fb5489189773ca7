"""Which problems there are, and the test that sees each of them appear and go away again.

One list, which `test_problems.py` compares with the code, the docs, the alert rules and the tests.
A name that differs by case (an agent, a file, a process) ends in `…`.
"""

from typing import NamedTuple

AGENT_EDGES = "tests/agent/test_edges.py::"
EDGES = "tests/aggregator/test_edges.py::"
HEALTH = (
    "tests/aggregator/api/test_health.py::test_what_health_finds_by_itself_is_over_with_its_cause"
)
SYSTEM = "tests/system/test_health_edges.py::"
DELIVERIES = "tests/aggregator/archive/test_deliveries.py::"
MACHINES = f"{EDGES}test_what_ingest_notices_of_machines_is_told_for_ten_minutes"
FAILING_DISK = f"{EDGES}test_a_disk_that_refuses_a_write_is_told_until_it_takes_them"
NO_ROOM = f"{EDGES}test_a_disk_at_its_reserve_and_a_reader_that_stands_are_told"
QUARANTINED = f"{EDGES}test_what_went_to_quarantine_is_told_until_it_was_quiet_for_long"
CONSOLIDATE = f"{EDGES}test_what_consolidate_survived_is_told_until_its_next_start"
INDEX = f"{EDGES}test_what_the_index_survived_is_told_until_its_next_start"
INDEX_HOLE = f"{EDGES}test_a_hole_in_the_log_is_told_while_the_index_catches_up"
CLUSTER = f"{EDGES}test_a_cluster_that_does_not_take_events_is_told_until_it_does"
OPENSEARCH_HOLE = f"{EDGES}test_a_hole_and_damage_in_the_log_are_told_by_the_role_opensearch"


class Told(NamedTuple):
    """One problem: of the aggregator as `/health/delivery` tells it, of an agent as its status."""

    role: str
    key: str
    test: str
    """PATH::NAME of the test that sees both edges."""
    until_start: bool = False
    """A fact, not a state: it stands until the process that tells it starts again."""

    @property
    def is_system(self) -> bool:
        """Both edges are seen at the whole system, through its HTTP port."""
        return self.test.startswith("tests/system/")


PROBLEMS = [
    # Health itself, of any role.
    Told("index", "not_started", HEALTH),
    Told("index", "silent", f"{SYSTEM}test_a_process_that_hangs"),
    Told("index", "late", HEALTH),
    # The supervisor.
    Told("supervisor", "process:…", f"{SYSTEM}test_a_process_that_dies"),
    Told(
        "supervisor", "config.reload",
        "tests/aggregator/supervise/test_reload.py::test_a_reload_is_whole_or_not_at_all",
    ),
    # Ingest.
    Told("ingest", "log.closed", f"{EDGES}test_a_log_that_cannot_be_opened_is_told_until_it_can"),
    Told("ingest", "log.failed", FAILING_DISK),
    Told("ingest", "log.full", NO_ROOM),
    Told("ingest", "log.held", NO_ROOM),
    Told(
        "ingest", "log.house",
        f"{EDGES}test_segments_that_cannot_be_released_are_told_until_they_can",
    ),
    Told(
        "ingest", "log.damage",
        f"{EDGES}test_a_damaged_log_is_told_until_ingest_starts_without_finding_any",
        until_start=True,
    ),
    Told(
        "ingest", "ingest.certificate",
        f"{SYSTEM}test_a_certificate_that_does_not_fit_its_key",
    ),
    Told(
        "ingest", "ingest.identity",
        f"{SYSTEM}test_identity_files_that_a_later_release_wrote",
    ),
    Told("ingest", "ingest.grants", FAILING_DISK),
    Told("ingest", "ingest.twins.…", MACHINES),
    Told("ingest", "ingest.cloned.…", MACHINES),
    Told("ingest", "ingest.fork.…", MACHINES),
    Told("ingest", "ingest.missing.…", MACHINES),
    # Consolidate.
    Told("consolidate", "alarm.conflict", QUARANTINED),
    Told("consolidate", "alarm.future", QUARANTINED),
    Told("consolidate", "alarm.outside_grant", QUARANTINED),
    Told(
        "consolidate", "agents.silent",
        "tests/aggregator/consolidate/test_silence.py::"
        "test_silence_is_told_after_five_minutes_and_ends_with_the_next_word",
    ),
    Told(
        "consolidate", "consolidate.disk",
        "tests/aggregator/consolidate/test_faults.py::"
        "test_a_disk_that_fails_stops_judging_and_nothing_is_lost_or_doubled",
    ),
    Told(
        "consolidate", "quarantine.full",
        "tests/aggregator/consolidate/test_faults.py::"
        "test_a_full_quarantine_stops_judging_until_it_may_be_larger",
    ),
    Told("consolidate", "consolidate.damaged", CONSOLIDATE, until_start=True),
    Told("consolidate", "consolidate.unopened", CONSOLIDATE, until_start=True),
    Told("consolidate", "consolidate.found", CONSOLIDATE, until_start=True),
    # Index.
    Told(
        "index", "index.failed",
        "tests/aggregator/index/test_indexer.py::"
        "test_a_day_that_cannot_be_opened_is_told_and_retried",
    ),
    Told(
        "index", "index.stuck",
        f"{EDGES}test_a_log_position_that_cannot_be_read_is_told_until_it_can",
    ),
    Told("index", "index.hole", INDEX_HOLE),
    Told("index", "index.missing", INDEX_HOLE, until_start=True),
    Told("index", "index.damage", INDEX, until_start=True),
    Told("index", "index.begun-anew", INDEX, until_start=True),
    # OpenSearch.
    Told(
        "opensearch", "opensearch.failed",
        "tests/aggregator/opensearch/test_indexer.py::"
        "test_no_cluster_costs_a_sentence_in_health_and_no_event",
    ),
    Told("opensearch", "opensearch.waiting", CLUSTER),
    Told("opensearch", "opensearch.refused", CLUSTER),
    Told(
        "opensearch", "opensearch.template",
        f"{EDGES}test_a_template_of_somebody_else_is_told_until_it_is_ours",
    ),
    Told(
        "opensearch", "opensearch.held",
        f"{EDGES}test_events_that_the_cluster_refuses_in_every_form_are_told_while_they_are_kept",
        until_start=True,
    ),
    Told("opensearch", "opensearch.hole", OPENSEARCH_HOLE),
    Told("opensearch", "opensearch.missing", OPENSEARCH_HOLE, until_start=True),
    Told("opensearch", "opensearch.damage", OPENSEARCH_HOLE, until_start=True),
    # Archive and digests.
    Told(
        "archive", "archive.destination",
        f"{DELIVERIES}test_a_busy_destination_is_tried_again_and_gets_one_object",
    ),
    Told(
        "archive", "archive.backlog",
        f"{DELIVERIES}test_the_log_is_not_read_while_too_much_waits",
    ),
    Told(
        "archive", "archive.foreign",
        f"{DELIVERIES}test_a_key_taken_by_another_is_loud_and_hinders_only_itself",
    ),
    Told(
        "archive", "archive.verdicts",
        "tests/aggregator/archive/test_archiver.py::"
        "test_a_verdict_that_cannot_be_read_is_a_problem_until_it_can",
    ),
    Told(
        "archive", "archive.seal",
        "tests/aggregator/archive/test_archiver.py::"
        "test_when_ingest_takes_no_seal_it_is_a_problem_until_it_does",
    ),
    Told(
        "archive", "archive.trail_frame",
        "tests/aggregator/archive/test_several_trails.py::"
        "test_a_frame_that_is_no_trail_is_told_and_changes_nothing",
    ),
    Told(
        "archive", "archive.retention",
        f"{EDGES}test_objects_that_cannot_be_removed_are_told_until_they_can",
    ),
    Told(
        "archive", "archive.log_gap",
        f"{EDGES}test_a_gap_in_the_log_is_told_by_the_archive_until_its_next_start",
        until_start=True,
    ),
    Told(
        "archive", "digest.destination",
        "tests/aggregator/digest/test_digester.py::"
        "test_a_destination_that_is_away_delays_digests_and_loses_none",
    ),
    # The HTTP port.
    Told(
        "api", "api.audit",
        "tests/aggregator/api/test_own_events.py::"
        "test_what_cannot_be_written_is_not_answered_and_health_and_status_are",
    ),
    Told(
        "api", "http.certificate",
        "tests/aggregator/api/test_tls.py::"
        "test_a_renewed_pair_is_taken_up_and_a_wrong_one_leaves_the_old",
    ),
]  # fmt: skip

AGENT_PROBLEMS = [
    Told(
        "agent", "spool_full",
        "tests/agent/spool/test_writer.py::"
        "test_a_full_spool_makes_its_source_wait_and_drops_nothing",
    ),
    Told(
        "agent", "spool_disk",
        "tests/agent/spool/test_writer.py::"
        "test_a_failing_disk_is_waited_for_and_nothing_is_promised_meanwhile",
    ),
    Told(
        "agent", "set_aside",
        "tests/agent/ship/test_shipper.py::test_a_batch_that_is_never_taken_is_set_aside_and_the_others_go_on",
    ),
    Told(
        "agent", "uplink",
        "tests/agent/ship/test_shipper.py::test_a_refusal_at_the_door_is_told_and_tried_again",
    ),
    Told(
        "agent", "log_full",
        "tests/agent/ship/test_shipper.py::"
        "test_a_full_log_is_waited_for_while_heartbeats_go_on",
    ),
    Told(
        "agent", "config.reload",
        "tests/agent/test_reload.py::test_a_wrong_one_changes_nothing_and_says_where",
    ),
    Told(
        "agent", "status_file",
        f"{AGENT_EDGES}test_a_status_that_cannot_be_written_is_told_until_it_can",
    ),
    Told(
        "agent", "capture.access",
        "tests/agent/capture/test_rotation.py::"
        "test_a_folder_that_cannot_be_read_is_said_and_forgotten_again",
    ),
    Told(
        "agent", "capture.read …",
        f"{AGENT_EDGES}test_a_file_that_cannot_be_read_is_told_until_it_can_or_is_gone",
    ),
    Told(
        "agent", "capture.positions",
        "tests/agent/capture/test_following.py::"
        "test_nothing_is_spooled_while_its_generation_cannot_be_written",
    ),
    Told(
        "agent", "capture.positions.broken",
        f"{AGENT_EDGES}test_positions_that_were_set_aside_are_told_until_the_next_start",
        until_start=True,
    ),
    Told(
        "agent", "identity",
        "tests/agent/enrolment/test_renewal.py::"
        "test_a_certificate_that_ran_out_is_a_problem_with_its_remedy",
    ),
    Told(
        "agent", "identity.renewal",
        f"{AGENT_EDGES}test_a_certificate_that_is_not_renewed_is_told_until_it_is",
    ),
    Told(
        "agent", "s3.…",
        "tests/agent/s3/test_listing.py::"
        "test_a_bucket_that_is_not_there_is_told_and_read_once_it_is",
    ),
    Told("agent", "s3.….objects", "tests/agent/s3/test_listing.py::"
        "test_an_object_that_may_not_be_read_is_named_and_read_once_it_may",
   ),
    Told(
        "agent", "s3.state …",
        f"{AGENT_EDGES}test_a_stream_whose_state_was_set_aside_is_told_until_the_next_start",
        until_start=True,
    ),
]  # fmt: skip
