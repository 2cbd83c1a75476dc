"""What every `python -m minillm.NAME` does with an error (one message, exit code 2) and with Ctrl-C (code 130)."""

import os
import sys
from collections.abc import Callable

from minillm.errors import UserError
from minillm.memory import full_gpu


def run(main: Callable[[], int | None]) -> None:
    """Call `main` and exit with its code; a `UserError` or `OSError` is printed without a traceback (code 2).

    Ctrl-C, where the command has no better use for it, ends it with one line and code 130, as shells have it.
    `--debug` anywhere on the command line lets the traceback through.
    """
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        sys.exit(main() or 0)
    except BrokenPipeError:  # `... | head` closed our output: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (UserError, OSError) as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except MemoryError as error:  # a GPU's is one, too
        message = full_gpu(error)
        if debug or message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        if debug:
            raise
        print("interrupted", file=sys.stderr)
        sys.exit(130)
