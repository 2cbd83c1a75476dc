"""What a training will take, before it runs: `python -m minillm.plan --preset gpt2`.

Parameters, memory, floating-point operations, time and energy, for the same flags as `minillm.train`.
"""

import sys
from dataclasses import dataclass

from minillm import cli
from minillm.backend import use_backend
from minillm.configs import command_line, files
from minillm.memory import keep_freed_memory
from minillm.planning import Plan, compare, plan, plan_run

__all__ = ["Plan", "compare", "plan", "plan_run"]

DESCRIPTION = "Parameters, memory, operations, time and energy of a training on this machine, before it runs."


@dataclass(frozen=True)
class PlanOptions(command_line.Options):
    """Flags of this command, beside those of the config."""

    backend: str | None = None
    """What would compute: numpy, native, or cuda for a GPU. By default the fastest of the CPU."""

    watts: float | None = None
    """What the machine draws while computing. By default read from the processor where that is allowed, else assumed
    from the number of cores."""


def main() -> int:
    """The command. Returns its exit code."""
    options, config = command_line.parse(
        PlanOptions, sys.argv[1:], prog="python -m minillm.plan", description=DESCRIPTION
    )
    if options.print_config:
        print(files.to_toml(config), end="")
        return 0
    if options.backend:
        use_backend(options.backend)
    keep_freed_memory()
    print(plan_run(config, watts=options.watts).table())
    if not config.training.eval_tokens:
        print("\nEvaluations aren't counted: the length of the validation text isn't known yet (--eval-tokens).")
    return 0


if __name__ == "__main__":
    cli.run(main)
