"""A dozen dialogues, English and Chinese, and a model small enough to learn them by heart in seconds."""

import shlex
from functools import cache
from pathlib import Path

from tests.tasks.commands import train

CONVERSATIONS = [
    ["Hello", "Hi there!"],
    ["What is your name?", "I am a small model."],
    ["你好", "你好，很高兴认识你！"],
    ["你叫什么名字？", "我是一个小模型。"],
    ["What color is the sky?", "Blue.", "Why?", "Because light is scattered."],
    ["天空是什么颜色？", "蓝色。", "为什么？", "因为光的散射。"],
    ["Why?", "Why not?"],
    ["为什么？", "为什么不？"],
    ["Count to three", "one two three"],
    ["再见", "再见！"],
    ["Goodbye", "See you."],
    ["谢谢", "不客气。"],
]
TRAINING = shlex.split(
    "--vocab-size 320 --context-length 64 --d-model 64 --n-layer 2 --n-head 2 --dropout 0 --batch-size 12 --steps 100 "
    "--learning-rate 5e-3 --min-learning-rate 1e-3 --warmup-steps 10 --weight-decay 0 --max-new-tokens 40"
)


def write(path: Path, conversations: list[list[str]]) -> Path:
    """The conversations as ChatterBot's YAML."""
    lines = ["conversations:"]
    for said in conversations:
        lines += [f'{"- - " if i == 0 else "  - "}"{text}"' for i, text in enumerate(said)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@cache
def trained(folder: Path) -> Path:
    """The run folder, in `folder`, of a model that knows its training conversations by heart; made once a session."""
    data = write(folder / "dialogues.yml", CONVERSATIONS)
    train("dialogue", "--data", data, *TRAINING, "--out", folder / "dialogues")
    return folder / "dialogues"
