"""The report of a language model's run: each measure against its definition, and the command."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minillm import evaluate, train
from minillm.data.batches import IGNORED
from minillm.errors import ConfigError, DataError
from minillm.models import GPT, GPTConfig, NGram
from minillm.nn import MultiHeadAttention
from minillm.planning import Plan
from minillm.tasks.language_report import (
    Predictions,
    coherence,
    cut,
    fluency,
    frequent_f1,
    loss_by_position,
    open_language_run,
    predict,
    text_measures,
)
from minillm.tensor import Tensor
from minillm.training.evaluate import evaluate as loss_of
from minillm.training.trained import load_run

POEM = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\nThe moon is bright, the frost is white.\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of a poem in two languages."""
    folder = tmp_path_factory.mktemp("language")
    (folder / "poem.txt").write_text(POEM * 120, encoding="utf-8")
    flags = ["--preset", "tiny", "--corpus", folder / "poem.txt", "--out", folder / "run", "--eval-tokens", 500]
    flags += ["--steps", 60, "--eval-interval", 30, "--context-length", 16, "--learning-rate", 0.01]
    plan = Plan({}, {}, 10**8, 10**9, 0.0, 6, 64, 0.1, 0.0, 50.0, "assumed", "not measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "plan_run", lambda config, validation_tokens: plan)
        patch.setattr(sys, "argv", ["train", *map(str, flags)])
        assert train.main() == 0
    return folder / "run"


def test_predictions_have_the_loss_of_evaluations_and_every_target_once(run: Path) -> None:
    trained, _, ids = open_language_run(run, "best")
    found = predict(trained.model, ids, batch_size=3)
    np.testing.assert_array_equal(found.true, ids[1:])
    expected = loss_of(trained.model, ids, context_length=16, batch_size=8)
    assert found.nats.mean() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(found.position, np.arange(len(ids) - 1) % 16 + 1)
    trained.model.eval()
    logits = trained.model(ids[None, :16])[0].numpy()[0]
    np.testing.assert_array_equal(found.likeliest[:16], logits.argmax(-1))


def test_f1_of_frequent_tokens_is_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="the reference is scikit-learn")
    rng = np.random.default_rng(0)
    true = rng.zipf(1.5, 3000) % 40
    likeliest = np.where(rng.random(3000) < 0.5, true, rng.integers(40, size=3000))
    labels = [token for token, _ in sorted(zip(*np.unique(true, return_counts=True), strict=True), key=lambda x: -x[1])]
    micro, macro = frequent_f1(true, likeliest, 10)
    for average, ours in (("micro", micro), ("macro", macro)):
        expected = metrics.f1_score(true, likeliest, labels=labels[:10], average=average)
        assert ours == pytest.approx(expected, rel=1e-12)


def test_fluency_is_the_perplexity_of_counted_groups() -> None:
    """Under add-k unigrams 3:1, three 0s and a 1 after each first token."""
    counted = NGram.train(np.array([0, 0, 0, 1]), 2, order=1, smoothing="add-k", k=0)
    pieces = [np.array([1, 0, 0]), np.array([0, 0, 1])]
    assert fluency(pieces, counted) == pytest.approx((0.75**3 * 0.25) ** (-1 / 4))


class Reader:
    """A model that knows one thing: the second half of a piece repeats its first token."""

    config = GPTConfig(vocab_size=8, context_length=8)

    def loss(self, ids: np.ndarray, targets: np.ndarray) -> Tensor:
        counted = targets != IGNORED
        right = np.broadcast_to(ids[:, :1], targets.shape) == targets
        return Tensor(np.where(right, math.log(2), math.log(8))[counted].mean())


def test_coherence_is_what_the_own_first_half_saves() -> None:
    pieces = np.array([[token, 7, 7, token, token, token] for token in range(4)])
    assert coherence(Reader(), pieces) == pytest.approx(math.log(8) - math.log(2))  # type: ignore[arg-type]
    alike = np.repeat(pieces[:1], 3, axis=0)
    assert coherence(Reader(), alike) == 0  # type: ignore[arg-type]
    with pytest.raises(DataError, match="at least 2 are needed"):
        coherence(Reader(), pieces[:1])  # type: ignore[arg-type]


def test_a_model_without_a_memory_has_no_coherence() -> None:
    """Only the token at the seam reaches across it, by one position."""
    model = GPT(GPTConfig(vocab_size=5, context_length=12, n_layer=1, n_head=1, d_model=8, dtype="float64")).eval()
    for module in model.modules():
        if isinstance(module, MultiHeadAttention):
            module.output.weight.mutable()[...] = 0
    pieces = np.random.default_rng(0).integers(5, size=(6, 12))
    pieces[:, 5] = 3  # the last token of each first half: the same in all
    assert coherence(model, pieces) == pytest.approx(0, abs=1e-12)


def test_loss_by_position_is_the_mean_between_powers_of_two() -> None:
    position = np.array([1, 2, 3, 4, 5, 1])
    found = Predictions(position, position, np.array([1.0, 2, 4, 6, 10, 3]), position)
    assert loss_by_position(found) == ([1, 2, 4], [2, 3, 8])


def test_pieces_lie_inside_the_text() -> None:
    pieces = cut(np.arange(100), 4, 10)
    assert pieces.shape == (4, 10) and pieces[0, 0] == 0 and pieces[-1, -1] == 99
    assert (np.diff(pieces, axis=1) == 1).all()
    assert len(cut(np.arange(25), 4, 10)) == 2
    with pytest.raises(DataError, match="fewer than two pieces of 10"):
        cut(np.arange(19), 4, 10)


def test_the_command_writes_the_report_or_prints_the_table(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(run)]) == 0
    table = capsys.readouterr().out
    assert "| this model |" in table and "| 5-gram |" in table and not (run / "report.md").exists()
    assert evaluate.main([str(run), "--report"]) == 0
    shown = capsys.readouterr().out
    assert table.strip() in shown == (run / "report.md").read_text(encoding="utf-8")
    for name in ("distinct-1", "distinct-2", "repeated 4-grams", "fluency", "coherence", "words a piece", "micro"):
        assert name in shown
    assert "(loss.png)" in (run / "report.md").read_text(encoding="utf-8")
    assert (run / "report.png").read_bytes().startswith(b"\x89PNG")
    step = load_run(run).step
    assert f"# Report at step {step:,}" in shown


def test_flags_of_tasks_are_refused(run: Path) -> None:
    for flags in (["--split", "test"], ["--input", "-"]):
        with pytest.raises(ConfigError, match="is a language model's run"):
            evaluate.main([str(run), *flags])


def test_a_single_last_position_gets_no_mark_of_its_own() -> None:
    position = np.arange(1, 9)  # a window of 8: the mark 8 would stand for one position
    found = Predictions(position, position, position.astype(float), position)
    assert loss_by_position(found) == ([1, 2, 4], [1, 2.5, 6])


def test_samples_in_chinese_are_compared_by_characters() -> None:
    pytest.importorskip("sacrebleu")
    line = "我爱北京天安门上的太阳"
    ids = np.frombuffer((line * 4).encode(), np.uint8).astype(np.int64)[None].repeat(2, 0)

    class Bytes:
        def decode(self, piece):
            return bytes(piece.astype(np.uint8)).decode("utf-8", "replace")

    model = GPT(GPTConfig(vocab_size=256, context_length=64, d_model=8, n_head=1))
    trained = SimpleNamespace(tokenizer=Bytes(), model=model)
    measures = text_measures(trained, ids, NGram.train(ids[0], 256, 2))
    assert measures["self-BLEU"] == pytest.approx(100)
    other = ids.copy()
    other[1, -3:] = np.frombuffer("月".encode(), np.uint8)  # one character of 44 is another: by words, nothing is alike
    assert 80 < text_measures(trained, other, NGram.train(ids[0], 256, 2))["self-BLEU"] < 100
