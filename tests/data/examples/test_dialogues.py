"""Dialogues in YAML: turns in order, texts as they are written, errors with their line."""

import sys

import pytest

from minillm.data.examples import Turn, read_dialogues
from minillm.errors import ConfigError, DataError
from tests.data.examples.files import write
from tests.data_files import real_file

yaml = pytest.importorskip("yaml", reason="dialogues need PyYAML; install the extra `finetune`")

HEAD = "categories:\n- greetings\nconversations:\n"


def test_turns_alternate_and_the_user_begins(tmp_path):
    path = write(
        tmp_path / "a.yml",
        HEAD + "- - 你好\n  - 嗨\n  - 你好吗?\n  - 很好\n- - 'Hi: there'\n  - |\n    two\n\n    lines\n",
    )
    assert read_dialogues(path) == [
        [Turn("user", "你好"), Turn("assistant", "嗨"), Turn("user", "你好吗?"), Turn("assistant", "很好")],
        [Turn("user", "Hi: there"), Turn("assistant", "two\n\nlines")],
    ]


def test_a_turn_without_an_answer_is_left_out(tmp_path):
    content = HEAD + "- - a\n  - b\n  - c\n- - alone\n- only text\n- - d\n  - e\n"
    read = read_dialogues(write(tmp_path / "a.yml", content))
    assert [[t.text for t in turns] for turns in read] == [["a", "b"], ["d", "e"]]


def test_what_yaml_takes_for_other_things_than_text_is_text(tmp_path):
    (turns,) = read_dialogues(write(tmp_path / "a.yml", HEAD + "- - No\n  - 42\n  - ~\n  - 2024-01-01\n"))
    assert [t.text for t in turns] == ["No", "42", "~", "2024-01-01"]


def test_a_tag_makes_no_object(tmp_path):
    (turns,) = read_dialogues(write(tmp_path / "a.yml", HEAD + "- - !!python/name:os.getcwd x\n  - b\n"))
    assert turns[0].text == "x"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", 'has no list "conversations:"'),
        ("- a\n", 'has no list "conversations:"'),
        ("categories:\n- a\n", 'has no list "conversations:"'),
        ("conversations: []\n", 'has no list "conversations:"'),
        (HEAD + "- - a\n  - b\n- key: value\n", "line 6: a turn must be text"),
        (HEAD + "- - a\n  - key: value\n", "line 5: a turn must be text that isn't empty; quote it if"),
        (HEAD + "- - a\n  -\n", "line 5: a turn must be text"),
        (HEAD + "- - a\n  - 'never ends\n", r"line 6: isn't YAML: found unexpected end of stream"),
        (HEAD + "- - a\n  - b\x01\n", r"line 5: character U\+0001 may not stand in YAML"),
        ("[" * 2000, "is nested without end"),
    ],
)
def test_what_is_no_dialogue_is_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_dialogues(write(tmp_path / "a.yml", content))


def test_a_folder_is_read_in_order_of_its_paths(tmp_path):
    for name in ("b.yml", "a/z.YAML", "c.txt"):
        write(tmp_path / name, HEAD + f"- - {name}\n  - b\n")
    assert [turns[0].text for turns in read_dialogues(tmp_path)] == ["a/z.YAML", "b.yml"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"none of its files ends in \.yml, \.yaml"):
        read_dialogues(tmp_path / "empty")


def test_without_pyyaml_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigError, match=r"needs PyYAML; install it: python -m pip install pyyaml"):
        read_dialogues(write(tmp_path / "a.yml", HEAD + "- - a\n  - b\n"))


@pytest.mark.parametrize("language", ["chinese", "english"])
def test_chatterbot_is_what_pyyaml_itself_reads(language):
    folder = real_file(f"chatterbot/{language}")
    expected = [
        [text.strip(" \n") for text in texts[: len(texts) // 2 * 2]]
        for file in sorted(folder.glob("*.yml"))
        for texts in yaml.safe_load(file.read_text(encoding="utf-8"))["conversations"]
        if isinstance(texts, list)  # one of the English is a text alone
    ]
    read = read_dialogues(folder)
    assert [[turn.text for turn in turns] for turns in read] == expected
    assert len(read) == {"chinese": 467, "english": 2025}[language]
    assert all([t.role for t in turns] == ["user", "assistant"] * (len(turns) // 2) for turns in read)
