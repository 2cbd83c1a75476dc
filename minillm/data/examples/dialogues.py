"""Dialogues in ChatterBot's YAML, one file a topic:

    categories:
    - greetings
    conversations:
    - - 你好        the user
      - 嗨          the assistant, and so on in turn

Needs PyYAML (the extra `finetune`). Only its tree of nodes is used, never what it would make of them: a bare `No` or
`42` stays the text it is, nothing in a file can make an object, and every error knows its line.
"""

from pathlib import Path
from typing import Any

from minillm.data.examples.chat_template import Turn
from minillm.data.examples.reading import BLANKS, Path_, read_text, wrong
from minillm.errors import ConfigError, DataError

SUFFIXES = (".yml", ".yaml")


def read_dialogues(path: Path_) -> list[list[Turn]]:
    """The conversations of a file, or of all .yml and .yaml files below a folder, in order of their paths.

    The user begins; a turn that has no answer, whether it is the last of its conversation or stands alone, is left
    out. DataError, with the line, for a file that isn't YAML or UTF-8, or has no `conversations`, and for a turn that
    isn't text or is empty; ConfigError where PyYAML isn't installed.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        return _read(path)
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise DataError(f"folder {path} has no dialogues: none of its files ends in {', '.join(SUFFIXES)}")
    return [turns for file in files for turns in _read(file)]


def _read(path: Path) -> list[list[Turn]]:
    root = _compose(path)
    fields = {key.value: value for key, value in root.value} if _is(root, "mapping") else {}
    conversations = fields.get("conversations")
    if conversations is None or not _is(conversations, "sequence") or not conversations.value:
        raise DataError(f'{path} has no list "conversations:"; it must be a list of lists of texts ("- - Hello")')
    return [turns for node in conversations.value if (turns := _turns(path, node))]


def _turns(path: Path, node: Any) -> list[Turn]:
    said = node.value if _is(node, "sequence") else [node]
    for turn in said:
        if not _is(turn, "scalar") or not turn.value.strip(BLANKS):
            raise wrong(path, _line(turn), "a turn must be text that isn't empty; quote it if it holds ': ' or ' #'")
    answered = said[: len(said) // 2 * 2]
    return [Turn(("user", "assistant")[i % 2], turn.value.strip(BLANKS)) for i, turn in enumerate(answered)]


def _compose(path: Path) -> Any:
    """The root node of a YAML file, or None for an empty one."""
    try:
        import yaml
    except ImportError:
        raise ConfigError("reading dialogues needs PyYAML; install it: python -m pip install pyyaml") from None
    text = read_text(path)
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise wrong(path, line, f"character U+{error.character:04X} may not stand in YAML; delete it") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise wrong(path, line, f"isn't YAML: {error.problem}; quote texts that hold ': ' or ' #'") from None
    except RecursionError:
        raise DataError(f"{path} is nested without end; a file of dialogues has three levels") from None


def _is(node: Any, kind: str) -> bool:
    return getattr(node, "id", None) == kind


def _line(node: Any) -> int:
    return node.start_mark.line + 1
