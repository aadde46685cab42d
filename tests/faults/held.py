"""Run ocrpack, and wait or die at the moment when the interpreter is about to do a given thing.

The interpreter's own audit events are watched; ocrpack runs as it is.

Usage: python held.py {"event": REGEX, "arguments": REGEX, "hold": FILE or null} ARGUMENTS…
"""

import json
import os
import re
import runpy
import signal
import sys
import time
from pathlib import Path


def watch(event, arguments, hold):
    """Wait for as long as the file `hold` is there, or die, at the first event that matches."""
    seen = False

    def hook(name, values):
        nonlocal seen
        if seen or not re.fullmatch(event, name) or not re.search(arguments, repr(values)):
            return
        seen = True
        if hold is None:
            os.kill(os.getpid(), signal.SIGKILL)
        elif Path(hold).exists():
            Path(f"{hold}.reached").touch()
            while Path(hold).exists():
                time.sleep(0.02)

    sys.addaudithook(hook)


if __name__ == "__main__":
    plan = json.loads(sys.argv[1])
    sys.argv = ["ocrpack", *sys.argv[2:]]
    watch(**plan)
    runpy.run_module("ocrpack", run_name="__main__")
