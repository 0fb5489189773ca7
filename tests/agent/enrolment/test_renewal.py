"""An agent renews its certificate by itself before two thirds of its life, and tells when not."""

import random
from pathlib import Path

import pytest

from opentrail.certificate import facts_of
from opentrail.clock import SystemClock
from opentrail_agent.enrolment.place import IdentityPlace
from opentrail_agent.enrolment.renewal import Renewal
from opentrail_agent.enrolment.request import NewKey, RequestError, make_request
from opentrail_agent.metrics import Metrics
from opentrail_agent.ship.settings import ShipSettings, TlsSettings
from tests.aggregator.identity.enrolments import EnrolmentDesk
from tests.aggregator.ingest.agents import running
from tests.fakes.clock import FakeClock

CLOCK = SystemClock()

pytestmark = pytest.mark.slow


class ShiftedClock(SystemClock):
    """The machine's clock, moved by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    def now_ns(self) -> int:
        return super().now_ns() + int(self.ahead * 1e9)


def renewal(
    state: Path, port: int, clock: SystemClock | FakeClock, *, at: float = 1.0,
    make: object = make_request,
) -> tuple[Renewal, Metrics]:  # fmt: skip
    place = IdentityPlace(state)
    metrics = Metrics(clock)
    tls = TlsSettings(ca=place.authority, certificate=place.pair, key=place.pair)
    settings = ShipSettings(addresses=[f"127.0.0.1:{port}"], tls=tls)

    class Told(random.Random):
        def random(self) -> float:
            return at

    made = Renewal(settings, "web-1", state, clock, metrics, make, Told())  # type: ignore[arg-type]
    return made, metrics


@pytest.mark.parametrize("at", [0.0, 1.0])
async def test_it_is_renewed_between_a_half_and_two_thirds_of_its_life(
    tmp_path: Path, at: float
) -> None:
    desk = EnrolmentDesk(tmp_path / "home", life=3600)
    clock = ShiftedClock()
    async with running(desk.home.path) as ingest:
        issued, _ = desk.enrol("web-1", tmp_path / "state")
        stage, metrics = renewal(tmp_path / "state", ingest.port, clock, at=at)
        place = IdentityPlace(tmp_path / "state")
        await stage.look()
        assert place.facts() == issued.facts, "too early"
        clock.ahead = 3600 * 2 / 3
        old = place.pair.read_text()
        await stage.look()
        assert place.facts().serial != issued.facts.serial
        assert metrics.value("opentrail_agent_renewals_total", outcome="renewed") == 1
        new = place.pair.read_text()
        assert old.partition("PRIVATE KEY")[2] != new.partition("PRIVATE KEY")[2], "a new key"
        assert place.pair.stat().st_mode & 0o777 == 0o600


async def test_without_an_answer_the_old_pair_stays_and_the_reason_is_told(tmp_path: Path) -> None:
    desk = EnrolmentDesk(tmp_path / "home", life=3600)
    clock = ShiftedClock()
    issued, _ = desk.enrol("web-1", tmp_path / "state")
    clock.ahead = 2400
    stage, metrics = renewal(tmp_path / "state", 9, clock)
    assert 1 <= await stage.look() <= 60
    assert "UNAVAILABLE" in metrics.problems()["identity.renewal"]
    assert IdentityPlace(tmp_path / "state").facts() == issued.facts

    def no_library(name: str) -> NewKey:
        raise RequestError("cryptography is not installed here")

    stage, metrics = renewal(tmp_path / "state", 9, clock, make=no_library)
    await stage.look()
    assert "not installed" in metrics.problems()["identity.renewal"]


async def test_a_certificate_that_ran_out_is_a_problem_with_its_remedy(tmp_path: Path) -> None:
    desk = EnrolmentDesk(tmp_path / "home", life=3600)
    clock = ShiftedClock()
    desk.enrol("web-1", tmp_path / "state")
    clock.ahead = 4000
    stage, metrics = renewal(tmp_path / "state", 9, clock)
    await stage.look()
    assert "opentrail-agent enroll" in metrics.problems()["identity"]
    clock.ahead = 0
    await stage.look()
    assert "identity" not in metrics.problems()


def test_the_key_is_made_by_a_process_of_its_own_and_shown_by_nothing() -> None:
    made = make_request("web-1")
    assert "PRIVATE KEY" in made.key
    assert made.key not in repr(made)


def test_a_certificate_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    from cryptography import x509

    desk = EnrolmentDesk(tmp_path / "home", life=7200)
    issued, _ = desk.enrol("web-1", tmp_path / "state")
    wanted = x509.load_pem_x509_certificate(issued.certificate.encode())
    found = facts_of(issued.certificate)
    assert found.serial == f"{wanted.serial_number:x}"
    assert found.not_before == wanted.not_valid_before_utc.timestamp()
    assert found.not_after == wanted.not_valid_after_utc.timestamp()
