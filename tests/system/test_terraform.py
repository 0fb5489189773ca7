"""The real Terraform with its real AWS provider makes, changes, imports and destroys a trail.

Needs `terraform` and a folder with the provider: TERRAFORM_PLUGIN_DIR, the filesystem mirror of
TF_CLI_CONFIG_FILE, or where Terraform itself looks. Nothing is downloaded, so where one of the two
is missing the test is skipped and says which, in CI too; what the provider calls is replayed
without either in tests/aggregator/cloudtrail/test_terraform_calls.py. Each command costs many
seconds of CPU, whatever it asks (the provider describes all of AWS first): hence few commands.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest

from .processes import Installation

pytestmark = pytest.mark.long
PROVIDER = Path("registry.terraform.io/hashicorp/aws")
SECONDS = 180
"""For one command; a loaded machine needs 30."""
MIRROR = re.compile(r'filesystem_mirror\s*\{[^}]*\bpath\s*=\s*"([^"]+)"')
OWN = ("~/.terraform.d/plugins", "~/.local/share/terraform/plugins",
       "/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins")  # fmt: skip
TRAIL = "aws_cloudtrail.audit"


def program_and_plugins() -> tuple[str, Path]:
    program = shutil.which("terraform")
    if program is None:
        pytest.skip("`terraform` is not installed: this test is NOT run")
    folders = [os.environ.get("TERRAFORM_PLUGIN_DIR", ""), *OWN]
    configuration = Path(os.environ.get("TF_CLI_CONFIG_FILE") or "~/.terraformrc").expanduser()
    if configuration.is_file():
        folders += MIRROR.findall(configuration.read_text())
    for folder in (Path(each).expanduser() for each in folders if each):
        if (folder / PROVIDER).is_dir():
            return program, folder
    pytest.skip(
        f"Terraform's AWS provider is missing: this test is NOT run; TERRAFORM_PLUGIN_DIR names a "
        f"folder with {PROVIDER}"
    )


def selector(name: str, read_only: str) -> str:
    return f"""
  advanced_event_selector {{
    name = "{name}"
    field_selector {{
      field  = "eventCategory"
      equals = ["Management"]
    }}
    field_selector {{
      field  = "readOnly"
      equals = ["{read_only}"]
    }}
  }}"""


FIRST = f"""
  s3_key_prefix              = "team"
  enable_log_file_validation = true
  is_multi_region_trail      = true
  tags                       = {{ team = "a", cost = "1" }}
  {selector("writes", "false")}
  insight_selector {{
    insight_type = "ApiCallRateInsight"
  }}"""
SECOND = f"""
  s3_key_prefix                 = "other"
  enable_log_file_validation    = false
  is_multi_region_trail         = false
  include_global_service_events = false
  enable_logging                = false
  tags                          = {{ team = "b", level = "2" }}
  {selector("reads", "true")}"""


class Terraform:
    """A folder with one trail and Terraform's state of it."""

    def __init__(
        self, installation: Installation, directory: Path, program: str, plugins: Path
    ) -> None:
        self._program, self._plugins = program, plugins
        self._url, self._directory = installation.url, directory
        directory.mkdir()
        key = json.loads((installation.home / "keys" / "local.json").read_text())
        # GOGC: the provider makes much that it keeps; collecting it often is in vain.
        self._environment = {
            "PATH": os.environ["PATH"], "HOME": str(directory), "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1", "GOGC": "300", "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ACCESS_KEY_ID": key["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
        }  # fmt: skip

    def write(self, arguments: str) -> None:
        (self._directory / "main.tf").write_text(f"""
terraform {{
  required_providers {{
    aws = {{ source = "hashicorp/aws" }}
  }}
}}
provider "aws" {{
  region                      = "us-east-1"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
  endpoints {{
    cloudtrail = "{self._url}"
    sts        = "{self._url}"
  }}
}}
resource "aws_cloudtrail" "audit" {{
  name           = "audit"
  s3_bucket_name = "opentrail"
  {arguments}
}}
""")

    def run(self, *arguments: str) -> None:
        """One command; if it fails or takes too long, what it said is in the failure."""
        command = [self._program, f"-chdir={self._directory}", *arguments]
        said = self._directory / "said.log"
        with open(said, "wb") as output:
            process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # Its provider is in the same group.
                process.wait()
                pytest.fail(f"{arguments} not done in {SECONDS} s:\n{said.read_text()[-3000:]}")
        assert code == 0, f"{arguments} ends with {code}:\n{said.read_text()[-3000:]}"

    def init(self) -> None:
        self.run("init", "-no-color", "-input=false", f"-plugin-dir={self._plugins}")

    def apply(self, arguments: str) -> dict[str, Any]:
        """Make it so, and ask again: the next plan changes nothing. Returns what it keeps."""
        self.write(arguments)
        self.run("apply", "-auto-approve", "-no-color", "-input=false")
        self.assert_clean()
        return self.state()

    def assert_clean(self) -> None:
        """With this switch the exit code is 2 if anything would change."""
        self.run("plan", "-detailed-exitcode", "-no-color", "-input=false")

    def state(self) -> dict[str, Any]:
        kept = json.loads((self._directory / "terraform.tfstate").read_text())
        (resource,) = kept["resources"]
        values: dict[str, Any] = resource["instances"][0]["attributes"]
        return values


def test_terraform_makes_changes_imports_and_destroys_a_trail_and_each_plan_after_is_clean(
    installation: Installation, tmp_path: Path
) -> None:
    program, plugins = program_and_plugins()
    installation.start()
    terraform = Terraform(installation, tmp_path / "terraform", program, plugins)
    client = cloudtrail(installation)
    terraform.write(FIRST)
    terraform.init()
    made = terraform.apply(FIRST)
    arn = made["arn"]
    assert client.get_trail_status(Name=arn)["IsLogging"] is True
    assert client.get_insight_selectors(TrailName=arn)["InsightSelectors"] == [
        {"InsightType": "ApiCallRateInsight"}
    ]
    assert answered(client, arn) == ("team", True, True, True, {"team": "a", "cost": "1"}, "false")

    changed = terraform.apply(SECOND)
    assert changed["arn"] == arn
    assert client.get_trail_status(Name=arn)["IsLogging"] is False
    (trail,) = client.describe_trails(trailNameList=[arn])["trailList"]
    assert trail["HasInsightSelectors"] is False
    assert answered(client, arn) == (
        "other", False, False, False, {"team": "b", "level": "2"}, "true",
    )  # fmt: skip

    terraform.run("state", "rm", TRAIL)
    terraform.run("import", "-no-color", "-input=false", TRAIL, arn)
    terraform.assert_clean()
    assert {name: value for name, value in terraform.state().items() if value} == {
        name: value for name, value in changed.items() if value
    }

    terraform.run("destroy", "-auto-approve", "-no-color", "-input=false")
    assert client.describe_trails(trailNameList=["audit"])["trailList"] == []


def cloudtrail(installation: Installation) -> Any:
    key = json.loads((installation.home / "keys" / "local.json").read_text())
    return boto3.session.Session().client(
        "cloudtrail", region_name="us-east-1", endpoint_url=installation.url,
        aws_access_key_id=key["access_key_id"], aws_secret_access_key=key["secret_access_key"],
    )  # fmt: skip


def answered(client: Any, arn: str) -> tuple[Any, ...]:
    """What the API itself says: prefix, validation, regions, global events, tags, readOnly."""
    (trail,) = client.describe_trails(trailNameList=[arn])["trailList"]
    (tags,) = client.list_tags(ResourceIdList=[arn])["ResourceTagList"]
    (chosen,) = client.get_event_selectors(TrailName=arn)["AdvancedEventSelectors"]
    ((read_only,),) = [
        each["Equals"] for each in chosen["FieldSelectors"] if each["Field"] == "readOnly"
    ]
    return (
        trail["S3KeyPrefix"], trail["LogFileValidationEnabled"], trail["IsMultiRegionTrail"],
        trail["IncludeGlobalServiceEvents"], {tag["Key"]: tag["Value"] for tag in tags["TagsList"]},
        read_only,
    )  # fmt: skip
