"""Instruction records, and the conversations they make."""

import json

import pytest

from minillm.data.examples import Instruction, Turn, read_instructions
from minillm.errors import DataError
from tests.data.examples.files import write
from tests.data_files import real_file


def test_records_become_conversations(tmp_path):
    records = [
        {"instruction": "Translate.", "input": "你好", "output": "Hello", "source": "x"},
        {"instruction": "Say hi.", "output": "Hi"},
    ]
    read = read_instructions(write(tmp_path / "a.json", json.dumps(records)))
    assert read == [Instruction("Translate.", "你好", "Hello"), Instruction("Say hi.", "", "Hi")]
    assert read[0].turns() == [Turn("user", "Translate.\n\n你好"), Turn("assistant", "Hello")]
    assert read[1].turns() == [Turn("user", "Say hi."), Turn("assistant", "Hi")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", r"a\.json must be a list of records"),
        ("[]", r"a\.json must be a list of records"),
        ('[{"instruction": "a", "output": "b"}, 5]', "record 2: is 5; it must be an object with instruction, input"),
        ('[{"instruction": "a"}]', "record 1: output is ''; write text, or delete the record"),
        ('[{"instruction": " ", "output": "b"}]', "record 1: instruction is ' '"),
        ('[{"instruction": "a", "input": null, "output": "b"}]', "record 1: input is None"),
        ('[\n{"instruction": "a",}]', r"a\.json, line 2: isn't JSON"),
    ],
)
def test_what_is_no_record_is_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_instructions(write(tmp_path / "a.json", content))


def test_the_1100_records():
    records = read_instructions(real_file("instruction-data.json"))
    assert len(records) == 1100
    assert records[1] == Instruction(
        "Edit the following sentence for grammar.", "He go to the park every day.", "He goes to the park every day."
    )
