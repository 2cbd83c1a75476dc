"""Instructions with their answers: a JSON list of {"instruction", "input", "output"}, the layout of Alpaca (2023)."""

from dataclasses import dataclass

from minillm.data.examples.chat_template import Turn
from minillm.data.examples.reading import Path_, read_json
from minillm.errors import DataError

FIELDS = ("instruction", "input", "output")


@dataclass(frozen=True)
class Instruction:
    """A task, what it is to be done with ("" where the task says it all), and the answer."""

    instruction: str
    input: str
    output: str

    def turns(self) -> list[Turn]:
        """The same as a conversation: the user gives the instruction, an empty line and the input."""
        asked = f"{self.instruction}\n\n{self.input}" if self.input else self.instruction
        return [Turn("user", asked), Turn("assistant", self.output)]


def read_instructions(path: Path_) -> list[Instruction]:
    """The records of a file. Fields beside the three are left alone; `input` may be missing.

    DataError, with the record's number from 1, for one that isn't an object of texts or lacks an instruction or an
    output; for a file that isn't JSON, with line and column.
    """
    records = read_json(path)
    if not isinstance(records, list) or not records:
        raise DataError(f'{path} must be a list of records, [{{"instruction": ..., "input": ..., "output": ...}}, ...]')
    return [_instruction(path, number, record) for number, record in enumerate(records, 1)]


def _instruction(path: Path_, number: int, record: object) -> Instruction:
    if not isinstance(record, dict):
        raise DataError(f"{path}, record {number}: is {record!r:.40}; it must be an object with {', '.join(FIELDS)}")
    fields = [record.get(name, "") for name in FIELDS]
    for name, value in zip(FIELDS, fields, strict=True):
        if not isinstance(value, str) or not (value.strip() or name == "input"):
            raise DataError(f"{path}, record {number}: {name} is {value!r:.40}; write text, or delete the record")
    return Instruction(*fields)
