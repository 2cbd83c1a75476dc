"""Translation from the command line: a toy language learnt, scored, resumed; and what it refuses."""

import itertools
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from minillm import evaluate, finetune
from minillm.errors import CheckpointError, ConfigError, DataError
from minillm.tasks import TASKS, Translation, open_run
from minillm.tasks.translation import TranslationSettings, read
from minillm.training import checkpoints
from minillm.training.run import RunFolder
from tests.tasks.commands import pretrain

WORDS = {"one": "eins", "two": "zwei", "cat": "Katze", "dog": "Hund", "red": "rot", "猫": "狗"}
# fmt: off
SMALL = [
    "--vocab-size", "300", "--d-model", "48", "--d-ff", "96", "--n-head", "2", "--n-encoder-layer", "1",
    "--n-decoder-layer", "1", "--dropout", "0", "--label-smoothing", "0", "--batch-size", "32", "--warmup-steps", "10",
    "--learning-rate", "5e-3", "--checkpoint-interval", "1000",
]
# fmt: on


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Every three words, and the same in another language the other way round: no decoder without memory can do it."""
    sources = [" ".join(words) for words in itertools.product(WORDS, repeat=3)]
    targets = [" ".join(WORDS[word] for word in reversed(source.split())) for source in sources]
    table = tmp_path / "pairs.tsv"
    table.write_text("".join(f"{s}\t{t}\n" for s, t in zip(sources, targets, strict=True)), encoding="utf-8")
    return ["--source", str(table)]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["finetune", "translation", *arguments])
    return finetune.main()


def test_a_toy_language_is_learnt_and_scored(tmp_path, monkeypatch, files, capsys):
    pytest.importorskip("sacrebleu", reason="BLEU needs sacrebleu")
    out = tmp_path / "run"
    assert run(monkeypatch, *files, *SMALL, "--steps", "120", "--eval-interval", "60", "--out", str(out)) == 0
    assert evaluate.main([str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    scores = report["scores"]["this model, step 120"]  # on 21 sentences never seen, too short for BLEU's 4-grams
    assert scores["chrF"] > 95 and scores["words"] == scores["words of the reference"] == 3
    assert report["scores"]["the source, untranslated"]["chrF"] < 30
    assert evaluate.main([str(out), "translation"]) == 0  # the task named, too
    with pytest.raises(ConfigError, match="isn't a run of dialogue; it is translation"):
        evaluate.main([str(out), "dialogue"])
    with pytest.raises(DataError, match="--input .*nowhere.txt can't be read: No such file"):
        evaluate.main([str(out), "--input", str(tmp_path / "nowhere.txt")])
    with pytest.raises(ConfigError, match="at step 120 already; --steps 100 is before that"):
        run(monkeypatch, "--out", str(out), "--resume", "--steps", "100")
    (tmp_path / "new.txt").write_text("cat red two\n\n猫 one dog\n", encoding="utf-8")
    capsys.readouterr()
    assert evaluate.main([str(out), "--input", str(tmp_path / "new.txt")]) == 0
    assert capsys.readouterr().out == "zwei rot Katze\n\nHund eins 狗\n"  # a line for each


def test_a_run_that_was_stopped_ends_as_one_that_wasnt(tmp_path, monkeypatch, files):
    settings = [*files, *SMALL, "--dropout", "0.1", "--steps", "8", "--eval-interval", "4"]
    run(monkeypatch, *settings, "--out", str(tmp_path / "whole"))
    original = Translation.batch

    def stop_at_5(task, step):
        requests[-1].requested = step == 5
        return original(task, step)

    requests: list[finetune.StopRequest] = []

    class Stop(finetune.StopRequest):
        def __enter__(self):
            requests.append(self)
            return self

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "StopRequest", Stop)
        patch.setattr(Translation, "batch", stop_at_5)
        run(monkeypatch, *settings, "--out", str(tmp_path / "stopped"))
    assert checkpoints.saved_steps(tmp_path / "stopped" / "checkpoints")[-1] == 6
    run(monkeypatch, "--out", str(tmp_path / "stopped"), "--resume")
    ends = [checkpoints.newest(tmp_path / name / "checkpoints") for name in ("whole", "stopped")]
    assert ends[0].step == ends[1].step == 8
    for name, weights in ends[0].model().items():
        np.testing.assert_array_equal(ends[1].model()[name], weights, err_msg=name)


def test_a_run_opens_with_the_settings_and_examples_it_was_made_with(tmp_path, monkeypatch, files):
    run(monkeypatch, *files, *SMALL, "--steps", "1", "--beam", "2", "--out", str(tmp_path / "run"))
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    assert (task.config.task.beam, task.config.model.d_model, task.config.training.steps) == (2, 48, 1)
    assert {split: len(part) for split, part in task.examples.items()} == {"train": 195, "validation": 21}
    assert task.tokenizer.vocab_size == task.config.model.vocab_size
    with pytest.raises(CheckpointError, match="minillm.finetune translation --out .* --resume"):
        run(monkeypatch, *files, "--out", str(tmp_path / "run"))
    with pytest.raises(CheckpointError, match="run of the task translation, not a pre-trained language model"):
        RunFolder(tmp_path / "run").load_config()
    with pytest.raises(ConfigError, match="only --steps may change"):
        run(monkeypatch, "--out", str(tmp_path / "run"), "--resume", "--d-model", "64")


def test_the_validation_loss_has_no_label_smoothing(tmp_path, monkeypatch, files):
    """So that its exponential is the perplexity, whatever the training minimises."""
    run(monkeypatch, *files, *SMALL, "--label-smoothing", "0.3", "--steps", "0", "--out", str(tmp_path / "run"))
    task, model, _ = evaluate.load_trained(RunFolder(tmp_path / "run"))
    total, count = 0.0, 0
    for batch in task.batches("validation"):
        targets = batch["targets"]
        logits = model(batch["source"], batch["inputs"], source_mask=batch["source_mask"])[0].numpy().astype(float)
        log_p = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        at = targets >= 0
        total, count = total - log_p[at, targets[at]].sum(), count + at.sum()
    assert task.evaluate(model, lambda: False).loss == pytest.approx(total / count, rel=1e-5)


def test_what_scoring_will_need_is_said_before_training(tmp_path, monkeypatch, files, capsys):
    monkeypatch.setattr(Translation, "scored_with", ("no_such_module", "no-such-package"))
    run(monkeypatch, *files, *SMALL, "--steps", "0", "--out", str(tmp_path / "run"))
    assert "needs no-such-package: python -m pip install no-such-package" in capsys.readouterr().out


def test_what_is_refused(tmp_path, monkeypatch, files):
    with pytest.raises(ConfigError, match="--validation-target needs --validation-source"):
        run(monkeypatch, *files, "--validation-target", "val.de", "--out", str(tmp_path / "alone"))
    with pytest.raises(ConfigError, match="needs --source FILE"):
        run(monkeypatch, *SMALL, "--out", str(tmp_path / "run"))
    with pytest.raises(DataError, match="are longer than the context"):
        run(monkeypatch, *files, *SMALL, "--context-length", "3", "--out", str(tmp_path / "run"))
    (tmp_path / "short.txt").write_text("eins\n")
    with pytest.raises(DataError, match="216 lines and"):
        run(monkeypatch, *files, "--target", str(tmp_path / "short.txt"), "--out", str(tmp_path / "run"))
    with pytest.raises(ConfigError, match="must be a multiple of n_head=2"):
        run(monkeypatch, *files, *SMALL, "--d-model", "47", "--out", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()  # nothing half-made is left
    monkeypatch.setattr(sys, "argv", ["finetune", "translate"])
    with pytest.raises(ConfigError, match="no task 'translate'; did you mean 'translation'"):
        finetune.main()
    with pytest.raises(CheckpointError, match="holds no run"):
        evaluate.main([str(tmp_path / "nothing")])


def test_of_a_few_pairs_one_is_held_out(tmp_path):
    table = tmp_path / "pairs.tsv"
    table.write_text("a\tb\nc\td\ne\tf\n", encoding="utf-8")
    splits = read(TranslationSettings(source=str(table)))
    assert {split: len(pairs) for split, pairs in splits.items()} == {"train": 2, "validation": 1}


def test_the_report_says_what_the_answers_are_like(tmp_path, monkeypatch, files):
    pytest.importorskip("sacrebleu", reason="BLEU needs sacrebleu")
    run(monkeypatch, *files, *SMALL, "--steps", "40", "--out", str(tmp_path / "run"))
    evaluate.main([str(tmp_path / "run"), "--report"])
    written = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert "| distinct-2 |" in written and "| fluency" in written
    assert "![loss of the training and of the validation](loss.png)" in written
    saved = float(re.search(r"its own source saves (-?[\d.]+) nats a token", written)[1])
    task, model, _ = evaluate.load_trained(RunFolder(tmp_path / "run"))
    own = [task.encode(pair) for pair in task.examples["validation"]]
    other = [(source, target) for (source, _), (_, target) in zip(own[1:] + own[:1], own, strict=True)]
    losses = [model(**task.collate(pairs))[1].item() for pairs in (own, other)]
    assert saved == pytest.approx(losses[1] - losses[0], abs=1e-3)


def evaluations(folder: Path) -> list[float]:
    """The validation losses of a run, in order."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["val_loss"] for line in lines if line["event"] == "eval"]


def test_a_run_goes_on_with_another_runs_model(tmp_path, monkeypatch, files):
    """It begins where that ended: with its words, its shape and its loss."""
    first, second = tmp_path / "first", tmp_path / "second"
    run(monkeypatch, *files, *SMALL, "--steps", "60", "--eval-interval", "60", "--out", str(first))
    free = ["--dropout", "0", "--label-smoothing", "0", "--batch-size", "32", "--warmup-steps", "5"]
    run(
        monkeypatch, *files, *free, "--from", str(first), "--steps", "30", "--eval-interval", "30", "--out", str(second)
    )
    ended, begun = (evaluations(folder) for folder in (first, second))
    assert begun[0] == pytest.approx(ended[-1], rel=1e-5)
    assert begun[-1] < 0.5 * begun[0]
    assert (first / "tokenizer.json").read_bytes() == (second / "tokenizer.json").read_bytes()
    with pytest.raises(ConfigError, match="--from .*first brings the model's shape with it, d_model=48"):
        run(monkeypatch, *files, "--from", str(first), "--d-model", "64", "--out", str(tmp_path / "third"))


def test_only_a_trained_run_of_these_tasks_is_gone_on_with(tmp_path, monkeypatch, files):
    with pytest.raises(CheckpointError, match="nowhere holds no run"):
        run(monkeypatch, *files, "--from", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    pretrain("--preset", "tiny", "--corpus", "stories", "--steps", "1", "--out", str(tmp_path / "gpt"))
    with pytest.raises(CheckpointError, match="gpt is a GPT of python -m minillm.train; begin with a run of"):
        run(monkeypatch, *files, "--from", str(tmp_path / "gpt"), "--out", str(tmp_path / "out"))
