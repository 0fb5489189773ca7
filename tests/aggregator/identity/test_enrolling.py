"""A join token lets in whom it is for, as often and as long as it says, and nobody else."""

import json
from pathlib import Path

import pytest
from cryptography import x509

from opentrail.errors import DamagedError, NewerFormatError, UsageError
from opentrail_agent.enrolment.request import NewKey, make_request
from opentrail_aggregator.access.scope import Scope
from opentrail_aggregator.identity.enrolling import RenewalRefusedError
from opentrail_aggregator.identity.kept import read_entries
from opentrail_aggregator.identity.tokens import TokenRefusedError
from tests.fakes.clock import FakeClock

from .enrolments import EnrolmentDesk


@pytest.fixture(scope="module")
def made() -> NewKey:
    return make_request("web-1")


@pytest.fixture
def desk(tmp_path: Path) -> EnrolmentDesk:
    return EnrolmentDesk(tmp_path / "home", FakeClock())


def clock_of(desk: EnrolmentDesk) -> FakeClock:
    assert isinstance(desk.clock, FakeClock)
    return desk.clock


def test_a_certificate_names_the_agent_is_for_clients_only_and_short(
    desk: EnrolmentDesk, made: NewKey
) -> None:
    _, issued = desk.enrolling.enrol(desk.token(), "web-1", made.request)
    found = x509.load_pem_x509_certificate(issued.certificate.encode())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [each.value for each in names] == ["opentrail://agent/web-1"]
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert issued.facts.life <= 86400 + 300


def test_a_token_is_counted_and_an_answer_that_was_lost_costs_no_second_use(
    desk: EnrolmentDesk, made: NewKey
) -> None:
    token = desk.token("*", uses=2)
    first = desk.enrolling.enrol(token, "web-1", made.request)[1]
    again = desk.enrolling.enrol(token, "web-1", made.request)[1]
    assert first.facts.serial != again.facts.serial
    desk.enrolling.enrol(token, "web-2", make_request("web-2").request)
    with pytest.raises(TokenRefusedError, match="used up"):
        desk.enrolling.enrol(token, "web-3", make_request("web-3").request)


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("db-1", lambda token: token, "for agents named web-"),
        ("web-1", lambda token: token.replace(token.split(".")[2], "A" * 32), "not known here"),
        ("web-1", lambda token: token.replace(token.split(".")[1], "0" * 10), "not known here"),
        ("web-1", lambda token: "otj1.x", "no join token"),
    ],
)
def test_a_token_for_others_or_a_guessed_one_is_refused(
    desk: EnrolmentDesk, made: NewKey, name: str, spoil: object, says: str
) -> None:
    token = desk.token()
    with pytest.raises(TokenRefusedError, match=says) as refused:
        desk.enrolling.enrol(spoil(token), name, made.request)  # type: ignore[operator]
    assert token.split(".")[2] not in str(refused.value)
    assert desk.tokens.list()[0].used == 0


def test_a_token_runs_out_and_can_be_revoked(desk: EnrolmentDesk, made: NewKey) -> None:
    short, revoked = desk.token(life_seconds=60), desk.token()
    desk.tokens.revoke(revoked.split(".")[1])
    clock_of(desk).advance(61)
    for token, says in ((short, "expired"), (revoked, "revoked")):
        with pytest.raises(TokenRefusedError, match=says):
            desk.enrolling.enrol(token, "web-1", made.request)


def test_a_name_that_is_in_use_is_not_given_away_by_another_token(
    desk: EnrolmentDesk, made: NewKey
) -> None:
    desk.enrolling.enrol(desk.token(), "web-1", made.request)
    thief = make_request("web-1").request
    token = desk.token()
    with pytest.raises(TokenRefusedError, match="is enrolled"):
        desk.enrolling.enrol(token, "web-1", thief)
    used = {each.id: each.used for each in desk.tokens.list()}
    assert used[token.split(".")[1]] == 0, "a refusal costs no use"
    desk.enrolling.enrol(desk.token(replaces=True), "web-1", thief)


def test_the_secret_is_nowhere_at_rest(desk: EnrolmentDesk) -> None:
    secret = desk.token().split(".")[2]
    assert secret not in (desk.home.identity / "tokens.json").read_text()
    assert (desk.home.identity / "tokens.json").stat().st_mode & 0o077 == 0


def test_what_is_no_request_of_its_own_key_is_refused(desk: EnrolmentDesk, made: NewKey) -> None:
    broken = made.request.replace(made.request[60:70], made.request[70:80], 1)
    for request in ("", "x" * 9000, broken, made.key):
        with pytest.raises(UsageError):
            desk.enrolling.enrol(desk.token(), "web-1", request)


def test_renewal_is_for_who_has_a_good_certificate_of_this_authority(
    desk: EnrolmentDesk, tmp_path: Path, made: NewKey
) -> None:
    _, issued = desk.enrolling.enrol(desk.token(), "web-1", made.request)
    newer = make_request("web-1")
    assert desk.enrolling.renew("web-1", issued.certificate, newer.request).facts.serial
    stranger = EnrolmentDesk(tmp_path / "other", desk.clock)
    theirs = stranger.enrolling.enrol(stranger.token(), "web-1", made.request)[1]
    with pytest.raises(RenewalRefusedError, match="not made by this"):
        desk.enrolling.renew("web-1", theirs.certificate, newer.request)
    desk.register.revoke_agent("web-1", "stolen")
    with pytest.raises(RenewalRefusedError, match="revoked"):
        desk.enrolling.renew("web-1", issued.certificate, newer.request)


def test_a_token_with_accounts_makes_a_grant_and_one_without_makes_none(
    desk: EnrolmentDesk, made: NewKey
) -> None:
    desk.enrolling.enrol(desk.token(), "web-1", made.request)
    desk.register.refresh()
    assert desk.register.grants() == ()
    narrow = desk.token("web-2", Scope(("111122223333",), ("eu-*",)))
    desk.enrolling.enrol(narrow, "web-2", make_request("web-2").request)
    assert desk.register.refresh()
    (grant,) = desk.register.grants()
    assert (grant.agent, grant.accounts, grant.regions) == ("web-2", ("111122223333",), ("eu-*",))


def test_a_newer_or_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"format": 2, "entries": {}}))
    with pytest.raises(NewerFormatError, match="later release"):
        read_entries(path)
    path.write_text("{")
    with pytest.raises(DamagedError, match="backup"):
        read_entries(path)
    assert path.read_text() == "{"
