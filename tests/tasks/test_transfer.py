"""Transfer between domains: what both arms share, what differs, and that a related text helps."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from minillm import transfer
from minillm.errors import ConfigError, DataError
from minillm.models import GPT, GPTConfig
from minillm.tasks.transfer import Row, TransferSettings, beginning, compare, fresh, loss_of, read_domains, table

WORDS = ["the", "moon", "is", "bright", "and", "white", "frost", "lies", "on", "my", "bed", "床前明月光疑是地上霜"]
SMALL = {
    "sizes": (300, 600),
    "vocab_size": 280,
    "context_length": 16,
    "n_layer": 1,
    "n_head": 2,
    "d_model": 16,
    "pretrain_steps": 30,
    "steps": 6,
    "evaluations": 2,
    "batch_size": 4,
    "eval_tokens": 120,
    "learning_rate": 1e-2,
}


def text(seed: int, lines: int) -> str:
    rng = np.random.default_rng(seed)
    return "".join(" ".join(rng.choice(WORDS, 8)) + ".\n" for _ in range(lines))


@pytest.fixture
def settings(tmp_path: Path) -> TransferSettings:
    """Two texts of one language."""
    for name, seed in (("a", 0), ("b", 1)):
        (tmp_path / f"{name}.txt").write_text(text(seed, 60), encoding="utf-8")
    return TransferSettings(source=str(tmp_path / "a.txt"), target=str(tmp_path / "b.txt"), **SMALL)


def test_parts_of_the_target_begin_alike_and_leave_its_validation_text_alone(settings: TransferSettings) -> None:
    domains = read_domains(settings)
    whole = Path(settings.target).read_text(encoding="utf-8")
    cut = int(0.9 * len(whole))
    parts = [domains.tokenizer.decode(ids.tolist()) for ids in domains.target.values()]
    for size, wanted, part in zip(domains.target, settings.sizes, parts, strict=True):
        assert whole.startswith(part) and len(part) < cut
        assert wanted - 4 < size == len(part.encode()) <= wanted  # whole characters
    validation = domains.tokenizer.decode(domains.validation.tolist())
    assert whole[cut:].startswith(validation.rstrip("\N{REPLACEMENT CHARACTER}"))


def test_the_loss_is_in_bits_per_byte_of_what_is_predicted(settings: TransferSettings) -> None:
    """A model whose head is zero pays log2 of the vocabulary a token."""
    domains = read_domains(settings)
    model = GPT(GPTConfig(domains.tokenizer.vocab_size, 16, n_layer=1, n_head=2, d_model=16, tie_weights=False))
    model.head.weight.mutable()[...] = 0
    predicted = domains.tokenizer.decode_bytes(domains.validation[1:])
    expected = math.log2(domains.tokenizer.vocab_size) * (len(domains.validation) - 1) / len(predicted)
    assert loss_of(model, domains, settings) == pytest.approx(expected, rel=1e-5)


def test_pre_training_on_the_same_language_helps(settings: TransferSettings) -> None:
    said: list[str] = []
    rows = compare(settings, read_domains(settings), said.append)
    assert [row.size for row in rows][0] == 0 and len(rows) == 3
    assert all(row.pretrained < row.scratch - 0.3 for row in rows)
    assert rows[0].scratch > max(row.scratch for row in rows[1:])  # learning the text itself helps, too
    assert len(said) == 2 + 2  # two evaluations of the pre-training, two sizes


def test_without_any_pre_training_both_arms_are_the_same(
    settings: TransferSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that may differ is the start: the same weights lead to the same loss."""
    monkeypatch.setattr("minillm.tasks.transfer.fresh", lambda config, seed, start=None: fresh(config, seed))
    rows = compare(settings, read_domains(settings), lambda text: None)
    assert all(row.scratch == row.pretrained for row in rows[1:])


def test_the_command_writes_table_numbers_and_picture(
    settings: TransferSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {name.replace("_", "-"): str(value) for name, value in SMALL.items() if name != "sizes"}
    flags = [part for name, value in numbers.items() for part in (f"--{name}", value)]
    files = ["--source", settings.source, "--target", settings.target, "--sizes", "300", "600"]
    out = tmp_path / "out"
    assert transfer.main([*files, *flags, "--out", str(out)]) == 0
    rows = json.loads((out / "transfer.json").read_text(encoding="utf-8"))["rows"]
    assert table([Row(**row) for row in rows]) in (out / "transfer.md").read_text(encoding="utf-8")
    assert table([Row(**row) for row in rows]) in capsys.readouterr().out
    assert (out / "transfer.png").read_bytes().startswith(b"\x89PNG")


def test_a_beginning_ends_with_a_whole_character() -> None:
    assert beginning(["ab", "床前"], 4) == "ab"
    assert beginning(["ab", "床前"], 5) == "ab床"
    assert beginning(["ab", "床前"], 100) == "ab床前"


def test_what_is_refused(settings: TransferSettings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="each larger than the one before"):
        TransferSettings(sizes=(200, 100))
    (tmp_path / "b.txt").write_text(text(1, 5), encoding="utf-8")
    with pytest.raises(DataError, match="bytes to train on, fewer than the size"):
        read_domains(settings)
