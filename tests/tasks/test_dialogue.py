"""Dialogue from the command line: learnt by heart, scored, started from a pre-trained model; and what it refuses."""

import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minillm import evaluate
from minillm.configs.config import TrainingConfig
from minillm.data.batches import IGNORED
from minillm.errors import CheckpointError, ConfigError, DataError
from minillm.models import GPTConfig
from minillm.tasks import TASKS, FinetuneConfig, open_run
from minillm.tasks.dialogue import Conversation, Dialogue, DialogueSettings, read
from minillm.tokenizers import BPETokenizer
from minillm.training import checkpoints
from minillm.training.run import RunFolder
from tests.tasks.commands import check_equal, last_weights, pretrain, train, train_and_stop
from tests.tasks.small_dialogues import CONVERSATIONS, trained, write

pytest.importorskip("yaml", reason="dialogues need PyYAML; install the extra `finetune`")
SPECIALS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>")
BASE = shlex.split("--vocab-size 300 --context-length 64 --d-model 48 --n-layer 2 --n-head 2 --batch-size 8")
WELL = shlex.split("--steps 200 --learning-rate 5e-3 --warmup-steps 10")
FEW = shlex.split("--batch-size 12 --steps 6 --eval-interval 3 --learning-rate 1e-2 --dropout 0.1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.getbasetemp())


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "small.yml", CONVERSATIONS)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A run of `python -m minillm.train` on the same texts without roles."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "talk.txt").write_text("\n".join(t for said in CONVERSATIONS for t in said) * 20, encoding="utf-8")
    pretrain("--corpus", folder / "talk.txt", *BASE, *WELL, "--out", folder / "run")
    return folder / "run"


def made(conversations: list[list[str]], **settings: object) -> Dialogue:
    """A task with these conversations as both splits, without a run folder."""
    texts = [text for said in conversations for text in said]
    tokenizer = BPETokenizer.train(texts, 300, SPECIALS)
    model = GPTConfig(vocab_size=tokenizer.vocab_size, context_length=48, n_layer=1, n_head=2, d_model=8)
    config = FinetuneConfig(DialogueSettings(**settings), model, TrainingConfig(batch_size=4))
    examples = [Conversation(tuple(said)) for said in conversations]
    return Dialogue(config, tokenizer, {"train": examples, "validation": examples})


def test_a_dozen_dialogues_are_learnt_by_heart(run, tmp_path, capsys):
    task, model, _ = evaluate.load_trained(RunFolder(run), "last")
    assert {split: len(part) for split, part in task.examples.items()} == {"train": 11, "validation": 1}
    scores = task.scores(model, "train")
    assert (scores["exact match"], scores["token F1"], scores["ends itself"]) == (1, 1, 1)
    assert scores["perplexity"] < 1.1
    known = [example.said[:2] for example in task.examples["train"]]
    (tmp_path / "asked.txt").write_text("\n".join(question for question, _ in known), encoding="utf-8")
    capsys.readouterr()
    assert evaluate.main([str(run), "--input", str(tmp_path / "asked.txt"), "--checkpoint", "last"]) == 0
    assert capsys.readouterr().out.splitlines() == [answer for _, answer in known]
    assert evaluate.main([str(run)]) == 0
    rows = json.loads((run / "report.json").read_text(encoding="utf-8"))["scores"]
    assert list(rows)[1:] == ["the most frequent answer", "answer to the nearest question"]


def test_the_report_says_what_a_question_saves_on_its_answer(run, capsys):
    evaluate.main([str(run), "--split", "train", "--report", "--checkpoint", "last"])
    saved = float(re.search(r"its own source saves (-?[\d.]+) nats a token", capsys.readouterr().out)[1])
    task, model, _ = evaluate.load_trained(RunFolder(run), "last")
    exchanges = task.exchanges("train")
    questions = [exchange.history[-1] for exchange in exchanges]
    means = []
    for asked in (questions, questions[1:] + questions[:1]):
        total = count = 0
        for question, exchange in zip(asked, exchanges, strict=True):
            batch = task.collate([task.encode(Conversation((question, exchange.answer)))])
            tokens = int((batch["targets"] != IGNORED).sum())
            total, count = total + model.loss(**batch).item() * tokens, count + tokens
        means.append(total / count)
    assert saved == pytest.approx(means[1] - means[0], abs=2e-3)
    assert saved > 0.5  # what was learnt by heart hangs on its question


def test_a_question_that_is_too_long_is_refused_or_cut(run, tmp_path, capsys):
    asked = tmp_path / "asked.txt"
    asked.write_text("你好" * 100 + "\nHello\n", encoding="utf-8")
    with pytest.raises(DataError, match="1 of 2 texts are longer than the context of 64 tokens.*--truncate"):
        evaluate.main([str(run), "--input", str(asked), "--checkpoint", "last"])
    assert evaluate.main([str(run), "--input", str(asked), "--checkpoint", "last", "--truncate"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "Hi there!"


def test_the_loss_counts_on_answers_and_their_ends_alone():
    task = made([["你好", "嗨", "a", "bc"]], system="s")
    ids = {name: task.tokenizer.special_tokens[name] for name in SPECIALS}
    pieces = []  # (id, whether it is learnt)
    for role, text in [("system", "s"), ("user", "你好"), ("assistant", "嗨"), ("user", "a"), ("assistant", "bc")]:
        learnt = role == "assistant"
        pieces.append((ids[f"<|{role}|>"], False))
        pieces += [(token, learnt) for token in [*task.tokenizer.encode(text), ids["<|end|>"]]]
    batch = task.batch(0)
    assert batch["ids"].tolist() == [[token for token, _ in pieces[:-1]]]
    assert batch["targets"].tolist() == [[token if learnt else IGNORED for token, learnt in pieces[1:]]]


def test_padding_changes_neither_loss_nor_its_gradient():
    task = made([["a", "b"], ["Hello there", "a longer answer"]])
    model = task.build()
    whole = task.collate(task._encoded["train"])
    assert whole["ids"][0, -1] == task.tokenizer.special_tokens["<|pad|>"]
    model.loss(**whole).backward()
    gradients = [p.grad.copy() for p in model.parameters()]
    model.zero_grad()
    counted = [int((task.collate([e])["targets"] != IGNORED).sum()) for e in task._encoded["train"]]
    total = 0.0
    for encoded, count in zip(task._encoded["train"], counted, strict=True):
        loss = model.loss(**task.collate([encoded])) * (count / sum(counted))
        loss.backward()
        total += loss.item()
    assert model.loss(**whole).item() == pytest.approx(total, rel=1e-5)
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        np.testing.assert_allclose(p.grad, gradient, atol=1e-6)


def test_a_marker_in_the_data_is_text():
    task = made([["<|assistant|>x<|end|>", "<|user|>y"]])
    ids, _ = task._encoded["train"][0]
    found = [name for name in SPECIALS for _ in range(int((ids == task.tokenizer.special_tokens[name]).sum()))]
    assert found == ["<|user|>", "<|assistant|>", "<|end|>", "<|end|>"]
    assert "<|assistant|>x<|end|>" in task.tokenizer.decode(ids)


def test_scores_of_a_model_that_knows_nothing():
    """All weights 0: every token is equally likely, and the first of equals, the byte 0, is drawn for ever."""
    task = made([["a", "b"], ["a", "c d"]], max_new_tokens=5)
    model = task.build()
    for p in model.parameters():
        p.mutable()[...] = 0
    scores = task.scores(model, "validation")
    size = task.tokenizer.vocab_size
    assert scores["loss"] == pytest.approx(math.log(size), rel=1e-6)
    assert scores["perplexity"] == pytest.approx(size, rel=1e-5)
    assert [scores[name] for name in ("exact match", "token F1", "distinct-2", "ends itself")] == [0, 0, 0, 0]
    assert task.answer(model, ["a"]) == ["\0" * 5]


def test_scores_of_known_answers():
    task = made([["q", "one two"], ["q", "three"], ["问", "你好吗", "q", "No."]])
    scores = task._compared(["three", "two one!", "你好", "yes"], "validation")
    assert scores["exact match"] == 1 / 4  # the first: any answer given to the same words is right
    assert scores["token F1"] == pytest.approx((1 + 1 + 2 * 2 / 5 + 0) / 4)  # 你好 of 你好吗: precision 1, recall 2/3
    assert scores["distinct-2"] == 2 / 6  # "two one" and "你 好", of six words


def test_baselines_answer_from_the_training_split():
    task = made([["How are you today", "Fine"], ["Where are you", "Here"], ["Who", "Here"]])
    task.examples = {**task.examples, "validation": [Conversation(("How are you", "Fine", "Where?", "There"))]}
    scores = task.baseline_scores("validation")
    assert scores["the most frequent answer"]["exact match"] == 0  # "Here"
    assert scores["answer to the nearest question"]["exact match"] == 1 / 2  # "Fine", then "Here"


def test_an_answer_ends_with_its_token_or_where_there_is_no_room(run):
    task, model, _ = evaluate.load_trained(RunFolder(run), "last")
    (answer,) = task.answers(model, [["你叫什么名字？"]])
    assert (answer.text, answer.ended) == ("我是一个小模型。", True)
    length = len(task.tokenizer.encode(answer.text))
    for most, whole in ((length, True), (length - 1, False)):
        task.config = replace(task.config, task=replace(task.config.task, max_new_tokens=most))
        (cut,) = task.answers(model, [["你叫什么名字？"]])
        assert cut.ended is whole and (cut.text == answer.text) is whole


def test_conversations_that_begin_alike_are_on_one_side(tmp_path):
    path = write(tmp_path / "a.yml", [[f"q{i // 3}", f"a{i}"] for i in range(60)])
    parts = read([str(path)])
    questions = [{example.said[0] for example in parts[split]} for split in ("train", "validation")]
    assert len(parts["validation"]) == 6 and len(parts["train"]) == 54 and not questions[0] & questions[1]


def test_files_of_all_kinds_together(tmp_path):
    (tmp_path / "yaml").mkdir()
    write(tmp_path / "yaml" / "a.yml", [["你好", "嗨"], ["a", "b"]])
    records = [{"instruction": "Add", "input": "1 2", "output": "3"}, {"instruction": "说", "output": "好"}]
    (tmp_path / "tasks.json").write_text(json.dumps(records), encoding="utf-8")
    parts = read([str(tmp_path / "yaml"), str(tmp_path / "tasks.json")])
    said = {example.said for part in parts.values() for example in part}
    assert said == {("你好", "嗨"), ("a", "b"), ("Add\n\n1 2", "3"), ("说", "好")}


def test_conversations_longer_than_the_context(tmp_path, capsys):
    path = write(tmp_path / "a.yml", [["a", "b"], ["x" * 90, "y"], ["z" * 30, "c", "d", "e"], ["f", "g"]])
    flags = ["--data", path, *BASE[2:], "--steps", "0", "--vocab-size", "261", "--context-length", "32"]
    with pytest.raises(DataError, match="2 of 3 sequences are longer than the context of 32"):
        train("dialogue", *flags, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    train("dialogue", *flags, "--truncate", "--out", tmp_path / "run")
    longer = "2 of 3 conversations are longer than the context of 32 tokens: 1 left out, 1 without their first"
    assert longer in capsys.readouterr().err
    task = open_run(RunFolder(tmp_path / "run"), TASKS)
    assert sum(len(part) for part in task.examples.values()) == 3  # without the second
    split = next(name for name, part in task.examples.items() if any(len(e.said) == 4 for e in part))
    place = next(i for i, e in enumerate(task.examples[split]) if len(e.said) == 4)
    text = task.tokenizer.decode(task._encoded[split][place][0])
    assert text == "<|user|>d<|end|><|assistant|>e<|end|>"


def test_a_start_keeps_its_ids_and_weights_and_grows_by_rows_of_their_kind(data, base, tmp_path):
    train("dialogue", "--data", data, "--from", base, "--steps", "0", "--out", tmp_path / "run")
    began = checkpoints.best(base / "checkpoints").model()
    ours = last_weights(tmp_path / "run")
    old, new = (BPETokenizer.load(folder / "tokenizer.json") for folder in (base, tmp_path / "run"))
    assert new.encode("What 什么") == old.encode("What 什么") and new.vocab_size == old.vocab_size + 5
    rows = ours["token_embedding.weight"]
    assert rows.shape == (new.vocab_size, 48)
    np.testing.assert_array_equal(rows[: old.vocab_size], began["token_embedding.weight"])
    lengths = np.linalg.norm(rows, axis=1)
    assert 0.5 < lengths[old.vocab_size :].mean() / lengths[: old.vocab_size].mean() < 2
    assert ours.keys() == began.keys()
    for name in began.keys() - {"token_embedding.weight"}:
        np.testing.assert_array_equal(ours[name], began[name], err_msg=name)
    with pytest.raises(ConfigError, match="brings the model's shape with it, d_model=48; leave out --d-model 32"):
        train("dialogue", "--data", data, "--from", base, "--d-model", "32", "--out", tmp_path / "other")


def test_lora_trains_adapters_alone_and_learns_to_answer(data, base, tmp_path):
    flags = shlex.split("--lora-rank 16 --batch-size 12 --steps 150 --learning-rate 1e-2 --warmup-steps 10 --dropout 0")
    train("dialogue", "--data", data, "--from", base, *flags, "--out", tmp_path / "run")
    task, model, _ = evaluate.load_trained(RunFolder(tmp_path / "run"), "last")
    weights = model.state_dict()
    adapted = {tuple(name.split(".")[-2:]) for name in weights if "lora" in name}
    layers = ("query", "key", "value", "output", "up", "down")
    assert adapted == {(layer, factor) for layer in layers for factor in ("lora_a", "lora_b")}
    began = checkpoints.best(base / "checkpoints").model()
    for name in began.keys() - {"token_embedding.weight"}:
        np.testing.assert_array_equal(weights[name], began[name], err_msg=name)
    assert model.num_parameters() == sum(value.size for name, value in weights.items() if "lora" in name)
    scores = task.scores(model, "train")
    assert scores["exact match"] > 0.6 and scores["ends itself"] == 1


def test_a_run_that_was_stopped_ends_as_one_that_wasnt(data, base, tmp_path):
    settings = ["--data", data, "--from", base, "--lora-rank", "2", *FEW]
    train("dialogue", *settings, "--out", tmp_path / "whole")
    train_and_stop(Dialogue, 3, *settings, "--out", tmp_path / "stopped")
    assert checkpoints.saved_steps(tmp_path / "stopped" / "checkpoints")[-1] == 4
    train("dialogue", "--out", tmp_path / "stopped", "--resume")
    check_equal(last_weights(tmp_path / "whole"), last_weights(tmp_path / "stopped"))


def test_what_is_refused(data, tmp_path):
    out = ["--out", tmp_path / "run"]
    with pytest.raises(ConfigError, match="needs --data with one or more files or folders"):
        train("dialogue", *out)
    with pytest.raises(DataError, match=r"text\.txt is neither a folder nor a file that ends in \.json, \.yml"):
        train("dialogue", "--data", tmp_path / "text.txt", *out)
    with pytest.raises(DataError, match=r"nowhere\.yml is no file"):
        train("dialogue", "--data", data, tmp_path / "nowhere.yml", *out)
    with pytest.raises(DataError, match="has one conversation"):
        train("dialogue", "--data", write(tmp_path / "one.yml", [["a", "b"]]), *out)
    with pytest.raises(ConfigError, match="--lora-rank needs --from"):
        DialogueSettings(lora_rank=4)
    with pytest.raises(CheckpointError, match="holds no run"):
        train("dialogue", "--data", data, "--from", tmp_path / "nothing", *out)
    assert not Path(tmp_path / "run").exists()
