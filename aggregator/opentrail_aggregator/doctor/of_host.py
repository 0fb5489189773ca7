"""Mistakes of the machine: disk, inodes, limits, memory, file system, clock, names."""

from collections.abc import Iterator

from opentrail.limits import MIB
from opentrail_aggregator.api.health import is_fresh
from opentrail_aggregator.api.settings import parse_address
from opentrail_aggregator.api.snapshots import read_snapshots
from opentrail_aggregator.doctor.patient import Finding, Patient

INODES_SHARE_MIN = 0.05
OPEN_FILES_MIN = 4096
MEMORY_MIN_BYTES = 512 * MIB
BUILT_AT = 1_760_000_000
"""October 2025: a clock that says less has not been set."""
_NOT_FOR_LOGS = {"tmpfs", "ramfs", "nfs", "nfs4", "cifs", "smb3", "9p", "overlay"}


def home_is_missing(patient: Patient) -> Iterator[Finding]:
    path = patient.home.path
    if not path.is_dir():
        yield Finding(
            "home", f"{path} does not exist",
            f"make it, for the user that runs the aggregator: install -d -m 0750 {path}; or name "
            "another with --home",
        )  # fmt: skip


def home_cannot_be_written(patient: Patient) -> Iterator[Finding]:
    path = patient.home.path
    if path.is_dir() and not patient.host.can_write(path):
        yield Finding(
            "permissions", f"{path} cannot be written by this user",
            f"run this as the aggregator's user, or: chown -R opentrail: {path}",
        )  # fmt: skip


def disk_is_at_its_reserve(patient: Patient) -> Iterator[Finding]:
    path, reserve = patient.home.path, patient.settings.disk.reserve
    if path.is_dir() and (free := patient.host.free_bytes(path)) < reserve:
        yield Finding(
            "disk", f"{free} bytes are free at {path}, the reserve is {reserve}: agents wait",
            "free space there, give it a larger disk, or lower disk.reserve",
        )  # fmt: skip


def log_is_larger_than_the_disk(patient: Patient) -> Iterator[Finding]:
    path, most = patient.home.path, patient.settings.log.max_bytes
    if path.is_dir() and most > (total := patient.host.total_bytes(path)):
        yield Finding(
            "log", f"log.max_bytes is {most}, the disk of {path} has {total}: it fills before the "
            "log says that it is full",
            "set log.max_bytes to less than half of the disk",
        )  # fmt: skip


def inodes_run_out(patient: Patient) -> Iterator[Finding]:
    path = patient.home.path
    if path.is_dir() and (share := patient.host.free_inodes(path)) < INODES_SHARE_MIN:
        yield Finding(
            "inodes", f"{share:.1%} of the inodes at {path} are free",
            "remove small files there, or make the file system with more inodes (mkfs -N)",
        )  # fmt: skip


def few_open_files(patient: Patient) -> Iterator[Finding]:
    if (most := patient.host.open_files()) < OPEN_FILES_MIN:
        yield Finding(
            "ulimit", f"a process may open {most} files, {OPEN_FILES_MIN} are wanted",
            "LimitNOFILE=65536 in the unit, or ulimit -n 65536 before the start",
        )  # fmt: skip


def little_memory(patient: Patient) -> Iterator[Finding]:
    limit = patient.host.memory_limit()
    if limit is not None and limit < MEMORY_MIN_BYTES:
        yield Finding(
            "memory", f"only {limit // MIB} MiB may be used, {MEMORY_MIN_BYTES // MIB} are wanted",
            "raise MemoryMax of the unit, or resources.limits.memory of the pod",
        )  # fmt: skip


def home_is_on_a_wrong_file_system(patient: Patient) -> Iterator[Finding]:
    path = str(patient.home.path.absolute())
    best, kind = "", ""
    for line in patient.host.mounts().splitlines():
        _, place, name, *_ = line.split()
        is_above = path == place or path.startswith(place.rstrip("/") + "/")
        if is_above and len(place) >= len(best):
            best, kind = place, name
    if kind in _NOT_FOR_LOGS:
        yield Finding(
            "filesystem", f"{path} lies on {kind} ({best}), which loses it or cannot sync it",
            "put the home on a local disk (ext4, xfs); in a container, on a volume",
        )  # fmt: skip


def clock_was_never_set(patient: Patient) -> Iterator[Finding]:
    if patient.now < BUILT_AT:
        yield Finding(
            "clock", f"it is {patient.now} s after 1970 here, before this program was made",
            "set the clock (chronyd, systemd-timesyncd): events would be dated wrongly",
        )  # fmt: skip


def clock_went_back(patient: Patient) -> Iterator[Finding]:
    for role, snapshot in read_snapshots(patient.home.run / "status").items():
        ahead = int(str(snapshot["at_ns"])) // 1_000_000_000 - patient.now
        if ahead > 60:
            yield Finding(
                "clock", f"{role} reported {ahead} s in the future: the clock was set back",
                "see to time synchronisation (chronyc tracking); a later start mends it by itself",
            )  # fmt: skip
            return


def name_is_not_known(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    for setting, text in (
        ("grpc.listen", settings.grpc.listen), ("http.listen", settings.http.listen),
        *(("identity.addresses", each) for each in settings.identity.addresses),
    ):  # fmt: skip
        host, _ = parse_address(text, setting)
        if not patient.host.resolves(host):
            yield Finding(
                "dns", f"{setting}: {host} is not known here",
                "correct the name, or enter it in DNS or /etc/hosts",
            )  # fmt: skip


def port_is_taken(patient: Patient) -> Iterator[Finding]:
    snapshots = read_snapshots(patient.home.run / "status")
    if any(is_fresh(each, patient.clock.monotonic()) for each in snapshots.values()):
        return  # By ourselves.
    for setting, text in (
        ("grpc.listen", patient.settings.grpc.listen),
        ("http.listen", patient.settings.http.listen),
    ):
        host, port = parse_address(text, setting)
        if port and patient.host.resolves(host) and patient.host.is_taken(host, port):
            yield Finding(
                "port", f"{setting}: {text} cannot be opened: another program has it, or this host "
                "has no such address",
                f"stop it (`ss -ltnp 'sport = :{port}'` names it), or choose another {setting}",
            )  # fmt: skip


CHECKS = (
    home_is_missing, home_cannot_be_written, disk_is_at_its_reserve, log_is_larger_than_the_disk,
    inodes_run_out, few_open_files, little_memory, home_is_on_a_wrong_file_system,
    clock_was_never_set, clock_went_back, name_is_not_known, port_is_taken,
)  # fmt: skip
