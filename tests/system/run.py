"""Runs the system tests in two processes at a time, each with an emulated machine of its own: most of
a test is waiting. Each test is run by whoever claims it first. Arguments are pytest's.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PROCESSES = 2


def start(claims, arguments):
    env = dict(os.environ, TOWLINE_SYSTEM_CLAIMS=str(claims))
    return subprocess.Popen([sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-s",
                             str(HERE), *arguments], env=env)


def main():
    with tempfile.TemporaryDirectory(prefix="towline-claims-") as folder:
        claims = pathlib.Path(folder)
        workers = [start(claims, sys.argv[1:]) for _ in range(PROCESSES)]
        try:
            codes = [w.wait() for w in workers]
        except KeyboardInterrupt:
            codes = [w.wait() for w in workers]
        results = [json.loads(p.read_text()) for p in claims.glob("*.result")]
    passed = sum(r["passed"] for r in results)
    failed = sum(r["failed"] for r in results)
    collected = max((r["collected"] for r in results), default=0)
    if passed + failed < collected:
        print(f"FAIL {collected - passed - failed} tests did not come to an end")
        failed = collected - passed
    if any(code not in (0, 1) for code in codes) or collected == 0:
        print(f"FAIL pytest ended with {' and '.join(map(str, codes))}; {collected} tests found")
        failed = max(failed, 1)
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
