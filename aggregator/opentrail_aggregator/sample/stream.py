"""Records, one after the other: a session makes a call, the call becomes CloudTrail's JSON.

Members stand in CloudTrail's own order. Beside ordinary calls there are sign-ins (with failures),
service events, and calls across accounts, which AWS records once in each account under a common
`sharedEventID`.
"""

import random
import uuid
from datetime import UTC, datetime

import orjson

from opentrail_aggregator.sample.shapes import SHAPES, Call, Shape
from opentrail_aggregator.sample.world import Json, Session, World

_GLOBAL_REGION = "us-east-1"


class SampleStream:
    """An endless stream; the same seed and times give the same records, ids included."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._world = World(self._rng)
        self._choices: dict[str, tuple[list[Shape], list[int]]] = {}
        for kind in ("person", "program", "service"):
            shapes = [shape for shape in SHAPES if kind in shape.by]
            self._choices[kind] = (shapes, [shape.weight for shape in shapes])

    def lines(self, seconds: int) -> list[bytes]:
        """What one call at `seconds` since 1970 leaves in the trail: one line, rarely two."""
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return [orjson.dumps(record) for record in self._records(text)]

    def _records(self, now_text: str) -> list[Json]:
        session = self._world.session(now_text)
        draw = self._rng.random()
        if session.kind == "person" and draw < 0.03:
            return [self._sign_in(session, now_text)]
        if session.kind == "service" and draw < 0.15:
            return [self._key_rotation(session, now_text)]
        if session.home_account != session.account and draw < 0.10:
            return self._assume_role(session, now_text)
        return [self._ordinary(session, now_text)]

    def _ordinary(self, session: Session, now_text: str) -> Json:
        shapes, weights = self._choices[session.kind]
        shape = self._rng.choices(shapes, weights)[0]
        region = _GLOBAL_REGION if shape.is_global else self._rng.choice(session.regions)
        call = Call(self._world, session, self._world.accounts[session.account], region, now_text)
        failed = bool(shape.errors) and self._rng.random() < shape.error_share
        parameters = shape.parameters(call)
        record = self._head(session, now_text, f"{shape.source}.amazonaws.com", shape.name, region)
        if failed:
            code, message = self._rng.choice(shape.errors)
            record["errorCode"] = code
            record["errorMessage"] = message.format(
                arn=session.identity.get("arn", ""), action=f"{shape.source}:{shape.name}"
            )
        record["requestParameters"] = parameters
        record["responseElements"] = None if failed else shape.response(call)
        if shape.source == "s3":
            record["additionalEventData"] = {
                "SignatureVersion": "SigV4",
                "CipherSuite": "TLS_AES_128_GCM_SHA256",
                "bytesTransferredIn": 0,
                "bytesTransferredOut": self._rng.randrange(200, 90_000),
                "AuthenticationMethod": "AuthHeader",
            }
        record["requestID"] = self._uuid()
        record["eventID"] = self._uuid()
        record["readOnly"] = shape.read
        if shape.resources is not None:
            record["resources"] = shape.resources(call, parameters)
        record["eventType"] = "AwsApiCall"
        record["managementEvent"] = not shape.data
        record["recipientAccountId"] = session.account
        record["eventCategory"] = "Data" if shape.data else "Management"
        if session.kind != "service":
            host = (
                "iam.amazonaws.com" if shape.is_global else f"{shape.source}.{region}.amazonaws.com"
            )
            record["tlsDetails"] = {
                "tlsVersion": "TLSv1.3",
                "cipherSuite": "TLS_AES_128_GCM_SHA256",
                "clientProvidedHostHeader": host,
            }
        if session.user_agent.startswith("Mozilla"):
            record["sessionCredentialFromConsole"] = "true"
        return record

    def _sign_in(self, session: Session, now_text: str) -> Json:
        identity = {k: v for k, v in session.identity.items() if k != "accessKeyId"}
        record = self._head(session, now_text, "signin.amazonaws.com", "ConsoleLogin",
                            _GLOBAL_REGION, identity)  # fmt: skip
        failed = self._rng.random() < 0.2
        if failed:
            record["errorMessage"] = "Failed authentication"
        record["requestParameters"] = None
        record["responseElements"] = {"ConsoleLogin": "Failure" if failed else "Success"}
        record["additionalEventData"] = {
            "LoginTo": "https://console.aws.amazon.com/console/home",
            "MobileVersion": "No",
            "MFAUsed": self._rng.choice(("Yes", "Yes", "No")),
        }
        record["eventID"] = self._uuid()
        record["readOnly"] = False
        record["eventType"] = "AwsConsoleSignIn"
        record["managementEvent"] = True
        record["recipientAccountId"] = session.account
        record["eventCategory"] = "Management"
        return record

    def _key_rotation(self, session: Session, now_text: str) -> Json:
        account = self._world.accounts[session.account]
        region = self._rng.choice(session.regions)
        identity: Json = {"accountId": account.number, "invokedBy": "AWS Internal"}
        record = self._head(session, now_text, "kms.amazonaws.com", "RotateKey", region, identity)
        record |= {"sourceIPAddress": "AWS Internal", "userAgent": "AWS Internal"}
        record |= {"requestParameters": None, "responseElements": None}
        arn = f"arn:aws:kms:{region}:{account.number}:key/{account.keys[0]}"
        record["eventID"] = self._uuid()
        record["readOnly"] = False
        record["resources"] = [{"accountId": account.number, "type": "AWS::KMS::Key", "ARN": arn}]
        record["eventType"] = "AwsServiceEvent"
        record["managementEvent"] = True
        record["recipientAccountId"] = account.number
        record["serviceEventDetails"] = {"keyId": account.keys[0], "rotationType": "AUTOMATIC"}
        record["eventCategory"] = "Management"
        return record

    def _assume_role(self, session: Session, now_text: str) -> list[Json]:
        """One call, seen by the account that was left and by the one that was entered."""
        role = f"arn:aws:iam::{session.account}:role/Engineer"
        shared = self._uuid()
        request = self._uuid()
        records = []
        for recipient in (session.home_account, session.account):
            caller: Json = (
                {"type": "IAMUser", "accountId": session.home_account, "userName": "sso-broker",
                 "principalId": "AIDAEXAMPLEBROKER", "accessKeyId": "AKIAEXAMPLEBROKER",
                 "arn": f"arn:aws:iam::{session.home_account}:user/sso-broker"}
                if recipient == session.home_account
                else {"type": "AWSAccount", "principalId": "AIDAEXAMPLEBROKER",
                      "accountId": session.home_account}
            )  # fmt: skip
            record = self._head(session, now_text, "sts.amazonaws.com", "AssumeRole",
                                session.regions[0], caller)  # fmt: skip
            record["requestParameters"] = {"roleArn": role, "roleSessionName": "console"}
            record["responseElements"] = {
                "credentials": {
                    "accessKeyId": session.identity.get("accessKeyId", ""),
                    "sessionToken": "HIDDEN_DUE_TO_SECURITY_REASONS",
                    "expiration": now_text,
                },
                "assumedRoleUser": {"arn": session.identity.get("arn", "")},
            }
            record["requestID"] = request
            record["eventID"] = self._uuid()
            record["readOnly"] = True
            record["resources"] = [
                {"accountId": session.account, "type": "AWS::IAM::Role", "ARN": role}
            ]
            record["eventType"] = "AwsApiCall"
            record["managementEvent"] = True
            record["recipientAccountId"] = recipient
            record["sharedEventID"] = shared
            record["eventCategory"] = "Management"
            records.append(record)
        return records

    def _head(
        self,
        session: Session,
        now_text: str,
        source: str,
        name: str,
        region: str,
        identity: Json | None = None,
    ) -> Json:
        return {
            "eventVersion": "1.09",
            "userIdentity": session.identity if identity is None else identity,
            "eventTime": now_text,
            "eventSource": source,
            "eventName": name,
            "awsRegion": region,
            "sourceIPAddress": session.address,
            "userAgent": session.user_agent,
        }

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))
