"""Let a job die at every step at which it touches the disk: `python crashing.py MODULE JOB WORK`.

MODULE defines `jobs`: name -> (prepare(folder), run(folder), state(folder)). For each step number n, `run` is started on a
freshly prepared folder and ends without notice (as by kill -9) before its n-th step. Then, in another process, the state is
taken, `run` is started again and the state taken once more. All processes are forked from one that has only imported.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

DIED = 9
TESTS = Path(__file__).resolve().parent


def crash_everywhere(module: Path, job: str, work: Path) -> list[dict[str, Any]]:
    """One entry per step: `state` after the crash, `again` after the second run, and the `step`; the last run did not die."""
    paths = [str(module.parent), str(TESTS), *filter(None, sys.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), module.stem, job, str(work)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((work / "results.json").read_text())


def _die_at(number: int, log: Path) -> None:
    """Make the process end before its `number`-th step."""
    from mella_retrieval import artifacts

    steps = 0

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == number:
                log.write_text(f"{name} {arguments[:2]}")
                os._exit(DIED)
            return function(*arguments, **options)

        return call

    os.fsync = lambda descriptor: None  # a killed process loses nothing that the system has already
    for owner, names in ((Path, ("replace", "rename", "unlink", "mkdir")), (os, ("fsync",)), (shutil, ("rmtree", "copytree"))):
        for name in names:
            setattr(owner, name, counted(name, getattr(owner, name)))
    artifacts._exchange = counted("exchange", artifacts._exchange)


def _in_child(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(module: str, job: str, work: Path) -> None:
    prepare, run, state = importlib.import_module(module).jobs[job]
    template, place, log = work / "template", work / "state.json", work / "step.txt"
    assert _in_child(lambda: prepare(template)) == 0
    results = []
    for number in range(1, 1000):
        folder = work / "now" / "place"
        shutil.rmtree(folder.parent, ignore_errors=True)
        shutil.copytree(template, folder)

        def dying(number: int = number, folder: Path = folder) -> None:
            _die_at(number, log)
            run(folder)

        status = _in_child(dying)
        assert status in (0, DIED), f"step {number}: the job failed"
        step = log.read_text() if status else "none"

        def inspecting(folder: Path = folder, step: str = step) -> None:
            os.fsync = lambda descriptor: None
            found = {"step": step, "state": state(folder)}
            run(folder)
            place.write_text(json.dumps({**found, "again": state(folder)}))

        assert _in_child(inspecting) == 0, f"after a crash before {step}: the state cannot be read, or the second run failed"
        results.append(json.loads(place.read_text()))
        if status == 0:
            break
    (work / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
