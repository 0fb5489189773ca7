"""What the agent frees it takes again without going through the kernel."""

import subprocess
import sys

_SHOW = """
import resource, sys
from opentrail_agent.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        [bytearray(1 << 20) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", _SHOW, how]
    # Whatever the shell of the person who runs this says about memory.
    result = subprocess.run(command, capture_output=True, text=True, check=True, env={})
    return int(result.stdout)


def test_a_megabyte_that_was_freed_comes_back_without_the_kernel() -> None:
    assert faults("kept") < 100
    assert faults("as it is") > 10 * 256  # Or there would be nothing to keep.
