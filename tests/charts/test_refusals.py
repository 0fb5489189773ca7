"""What cannot work is refused before anything is installed, with the next step."""

import pytest

from tests.charts.rendering import CHART, template

pytestmark = pytest.mark.slow

AGENTS = CHART / "ci" / "agents-values.yaml"
ENROLMENT = CHART / "ci" / "enrolment-values.yaml"
CERTIFICATES = CHART / "ci" / "certmanager-values.yaml"

BY_SCHEMA = [
    ("aggregator.replicas=2", "/aggregator/replicas"),
    ("aggregator.replicas=0", "/aggregator/replicas"),
    ("agregator.enabled=true", "agregator"),
    ("aggregator.config.retention.dayz=3", "dayz"),
    ("aggregator.config.retention.days=many", "days"),
    ("aggregator.config.grpc.listen=0.0.0.0:1", "listen"),
    ("aggregator.config.http.listen=0.0.0.0:1", "listen"),
    ("aggregator.config.http.allow_plaintext=true", "allow_plaintext"),
    ("aggregator.config.home=/elsewhere", "home"),
    ("aggregator.config.opensearch.password_file=/tmp/p", "password_file"),
    ("aggregator.config.archive.destination=tape", "destination"),
    ("aggregator.persistence.size=big", "size"),
    ("aggregator.image.digest=latest", "digest"),
    ("aggregator.service.type=ExternalName", "type"),
    ("agents.config.ship.allow_plaintext=true", "allow_plaintext"),
    ("agents.config.state=/elsewhere", "state"),
    ('agents.extraVolumes=[{"name": "h", "hostPath": {"path": "/"}}]', "hostPath"),
    ('agents.receivers=[{"name": "r", "image": "i", "securityContext": {}}]', "securityContext"),
    ('agents.receivers=[{"name": "agent", "image": "i"}]', "receivers"),
    ("agents.replicas=0", "replicas"),
    ('hosts.paths=["var/log"]', "paths"),
    ('hosts.paths=["/"]', "paths"),
]


@pytest.mark.parametrize(("value", "named"), BY_SCHEMA)
def test_the_schema_refuses_what_the_product_does_not_know(value: str, named: str) -> None:
    done = template(sets=(value,))
    assert done.returncode != 0
    assert "values don't meet the specifications" in done.stderr
    assert named in done.stderr


COMBINATIONS = [
    ((), ("aggregator.enabled=false",), "nothing is enabled"),
    ((AGENTS,), ("aggregatorAddresses=[]",), "set aggregatorAddresses"),
    ((AGENTS,), ("agents.tls.existingSecret=",), "set agents.tls.existingSecret"),
    ((AGENTS,), ("hosts.tls.existingSecret=",), "set hosts.tls.existingSecret"),
    ((AGENTS,), ("agents.receivers=[]",), "agents.receivers is empty"),
    ((AGENTS,), ("agents.config.capture.watch=[]",), "agents.config.capture.watch is empty"),
    ((AGENTS,), ("agents.sharedFiles=true",), "set agents.replicas to 1"),
    ((AGENTS,), ("hosts.paths=[]",), "hosts.paths is empty"),
    ((AGENTS,), ("hosts.namespace.name=trail",), "the release's own namespace"),
    ((ENROLMENT,), ("hosts.tls.existingSecret=t",), "two ways to a certificate"),
    ((ENROLMENT,), ("aggregator.http.exposed=false",), "set aggregator.http.exposed"),
    ((ENROLMENT,), ("aggregator.tls.existingSecret=t",), "needs the authority"),
    ((CERTIFICATES,), ("certManager.issuerRef.name=",), "certManager.issuerRef.name"),
    ((CERTIFICATES,), ("certManager.issuerRef.kind=Issuer",), "ClusterIssuer"),
    ((), ("aggregator.s3.existingSecret=s",), "archive.destination is not s3"),
    ((), ("monitoring.serviceMonitor.enabled=true",), "set aggregator.http.exposed"),
    (
        (),
        ("monitoring.serviceMonitor.enabled=true", "aggregator.http.exposed=true"),
        "monitoring.serviceMonitor.keySecret",
    ),
    ((), ("test.keySecret=k",), "test.keySecret needs"),
    ((), ("aggregator.config.opensearch.user=u",), "set aggregator.opensearch.existingSecret"),
    ((), ("aggregator.opensearch.existingSecret=s",), "aggregator.config.opensearch.url is not"),
    ((), ("aggregator.opensearch.header=true",), "are files of a Secret"),
]


@pytest.mark.parametrize(("values", "sets", "said"), COMBINATIONS, ids=lambda each: str(each)[:60])
def test_a_combination_that_cannot_work_says_what_to_do(
    values: tuple[object, ...], sets: tuple[str, ...], said: str
) -> None:
    done = template(*values, sets=sets)  # type: ignore[arg-type]
    assert done.returncode != 0, "it was taken"
    assert said in done.stderr
