"""A small training in a process of its own, for tests that kill it or signal it: `driver.py FOLDER [PLAN] [AT]`.

PLAN says what to do at the AT-th moment of a kind:
    kill-in-save    end the process as `kill -9` would, at a call that reaches the disk inside a save
    pause-in-WHERE  print "paused" in a step, an evaluation, a sample or a save, and wait for a line of input
Without a plan it trains to the end. The last line says how it ended.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from minillm import tensor_file
from minillm.training import checkpoints, evaluate, files, plot, samples, step
from minillm.training.run import RunFolder, locked
from minillm.training.signals import StopRequest
from tests.training import tiny

CONFIG = tiny.settings(steps=20, eval_interval=10, checkpoint_interval=3)


def at_moment(number: int, act: Callable[[], None]) -> Callable[[], None]:
    """A function to call at each moment, which acts at the one of that number."""
    moments = [0]

    def moment() -> None:
        moments[0] += 1
        if moments[0] == number:
            act()

    return moment


def before(module: object, name: str, moment: Callable[[], None]) -> None:
    """Let `moment` pass before each call of a function."""
    original = getattr(module, name)

    def call(*arguments: object, **options: object) -> object:
        moment()
        return original(*arguments, **options)

    setattr(module, name, call)


def pause() -> None:
    print("paused", flush=True)
    sys.stdin.readline()


def arrange(plan: str, number: int) -> None:
    if plan == "kill-in-save":
        moment = at_moment(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
        for module, name in [(os, "fsync"), (os, "replace"), (tensor_file, "_header"), (checkpoints, "_settle")]:
            before(module, name, moment)
        before(files.shutil, "rmtree", moment)
    elif plan == "pause-in-step":
        before(step, "cut", at_moment(number, pause))
    elif plan == "pause-in-evaluation":
        before(evaluate, "no_grad", at_moment(number, pause))
    elif plan == "pause-in-sample":
        before(samples, "draw", at_moment(number, pause))
    elif plan == "pause-in-save":
        before(checkpoints, "_manifest", at_moment(number, pause))


def main(folder: Path, plan: str = "", number: str = "0") -> None:
    plot.draw = lambda *arguments: None
    os.fsync = lambda descriptor: None  # what a process wrote survives its end; only a power cut needs the disk
    arrange(plan, int(number))
    with locked(RunFolder(folder)), StopRequest() as stop:
        print("ready", flush=True)
        finished = tiny.trainer(folder, CONFIG, stop).train()
    print("finished" if finished else "stopped", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
