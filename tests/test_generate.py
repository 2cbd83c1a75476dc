"""`python -m minillm.generate`: the text it streams, where it stops, what it refuses."""

import dataclasses
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minillm as ml
from minillm import cli, generate
from minillm.configs import files
from minillm.configs.config import Config
from minillm.models import GPT, GPTConfig
from minillm.tokenizers import BPETokenizer, CharTokenizer, Tokenizer, WordTokenizer
from minillm.training import checkpoints
from minillm.training.trained import load_run

POEM = "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。\nThe moon is bright, the frost is white.\n" * 3


def make_run(path: Path, tokenizer: Tokenizer, steps: tuple[int, ...] = (3, 5), best: int = 3) -> Path:
    """A run folder with untrained weights, other ones in each checkpoint; `best` has the lowest loss."""
    config = GPTConfig(vocab_size=tokenizer.vocab_size, context_length=8, n_layer=1, n_head=2, d_model=8, dropout=0.5)
    path.mkdir()
    tokenizer.save(path / "tokenizer.json")
    (path / "config.toml").write_text(
        files.to_toml(dataclasses.replace(Config(), model=config)), encoding="utf-8", newline="\n"
    )
    (path / "tokens").mkdir()
    about = json.dumps({"tokenizer": tokenizer.fingerprint()})
    (path / "tokens" / "train.json").write_text(about, encoding="utf-8")
    for step in steps:
        ml.seed(step)
        weights = {name: 8 * array for name, array in GPT(config).state_dict().items()}  # far from uniform
        checkpoints.save(path / "checkpoints", step, weights, {}, {"best_step": best})
    return path


@pytest.fixture
def char_run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", CharTokenizer.train([POEM]))


@pytest.fixture
def bpe_run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", BPETokenizer.train([POEM], vocab_size=270))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command in this process; gives (exit code, standard output, standard error)."""

    def run(*flags: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["generate", *map(str, flags)])
        with pytest.raises(SystemExit) as caught:
            cli.run(generate.main)
        return (int(caught.value.code or 0), *capsys.readouterr())

    return run


@given(st.text(), st.data())
def test_text_is_whole_characters_wherever_its_bytes_are_cut(text: str, data: st.DataObject) -> None:
    encoded = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(encoded)))))
    pieces = [encoded[a:b] for a, b in zip([0, *cuts], [*cuts, len(encoded)], strict=True)]
    assert "".join(generate.whole_characters(pieces)) == text


def test_bytes_of_a_character_are_held_back_and_those_of_half_a_character_dropped() -> None:
    moon = "月".encode()
    assert list(generate.whole_characters([b"a", moon[:1], moon[1:2], moon[2:], b"b", moon[:2]])) == ["a", "月", "b"]
    assert "".join(generate.whole_characters([b"\xff", b"a"])) == "\ufffda"  # never part of a character


def first_stop(text: str, stops: list[str]) -> str:
    """The rule, a character at a time: the first stop string to be complete is cut off, the longest of several."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))]
    return text


@given(st.lists(st.text("ab月", max_size=4)), st.lists(st.text("ab月", min_size=1, max_size=4), max_size=3))
def test_text_ends_before_the_first_stop_string_wherever_pieces_are_cut(pieces: list[str], stops: list[str]) -> None:
    assert "".join(generate.until_stop(pieces, stops)) == first_stop("".join(pieces), stops)


def test_only_a_possible_beginning_of_a_stop_string_is_held_back() -> None:
    shown: list[str] = []

    def pieces() -> Iterator[str]:
        for piece, so_far in [
            ("one", ""),
            (" E", "one"),
            ("N", "one "),
            ("E ", "one "),
            ("EN", "one ENE "),
            ("D!", ""),
        ]:
            assert not so_far or "".join(shown) == so_far
            yield piece

    for text in generate.until_stop(pieces(), ["END"]):
        shown.append(text)
    assert "".join(shown) == "one ENE "


def test_tokens_are_drawn_only_as_text_is_asked_for(char_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = load_run(char_run)
    drawn = []

    def stream(ids: object, n: int, **options: object) -> Iterator[int]:
        for token in range(n):
            drawn.append(token)
            yield token

    monkeypatch.setattr(trained.model, "stream", stream)
    text = generate.write(trained, [0], [], 10)
    next(text)
    assert drawn == [0]


@pytest.mark.parametrize("run", ["char_run", "bpe_run"])
@pytest.mark.parametrize("flags", [["--seed", 4, "--top-k", 9, "--top-p", 0.9], ["--greedy"], ["--beam", 3]], ids=str)
def test_the_text_is_what_the_model_generates(
    run: str, flags: list, command: Any, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(run)
    trained = load_run(folder)
    options: dict[str, Any] = {"temperature": 0.8, "seed": 4, "top_k": 9, "top_p": 0.9}
    options = {"--greedy": {"temperature": 0.0}, "--beam": {"beam_width": 3}}.get(flags[0], options)
    prompt = trained.tokenizer.encode("明月")
    ends = frozenset(trained.tokenizer.special_tokens.values())
    ids = trained.model.generate(prompt, 20, stop_ids=ends, **options)
    expected = trained.tokenizer.decode_bytes([*prompt, *ids]).decode("utf-8", "replace")
    code, out, err = command(folder, "--prompt", "明月", "--max-new-tokens", 20, *flags)
    assert (code, err) == (0, "")
    assert out.startswith("明月") and len(out) > 3
    assert out.removesuffix("\n") == expected.removesuffix("\ufffd") or out.removesuffix("\n") == expected


@pytest.mark.parametrize("way", [[], ["--beam", 2]], ids=["drawn", "beam"])
def test_without_the_cache_the_text_is_the_same_and_past_the_context_too(
    char_run: Path, command: Any, way: list[Any]
) -> None:
    flags = [char_run, "--prompt", POEM[:20], "--max-new-tokens", 30, *way]
    cached = command(*flags)
    assert cached == command(*flags, "--no-cache")
    assert cached[0] == 0 and len(cached[1]) == 20 + 30 + 1


def test_samples_are_drawn_from_following_seeds(char_run: Path, command: Any) -> None:
    def text(*flags: object) -> str:
        return command(char_run, "--prompt", "The", "--max-new-tokens", 10, *flags)[1]

    assert text("--seed", 7, "--num-samples", 2) == text("--seed", 7) + "---\n" + text("--seed", 8)
    assert len({text("--seed", seed) for seed in range(6)}) > 1


def test_a_stop_string_ends_the_text_before_it(char_run: Path, command: Any) -> None:
    _, whole, _ = command(char_run, "--prompt", "The", "--max-new-tokens", 30)
    new = whole.removesuffix("\n")[3:]
    _, cut, _ = command(char_run, "--prompt", "The", "--max-new-tokens", 30, "--stop", new[8:11], "--stop", "never")
    assert cut == "The" + new[: new.index(new[8:11])] + "\n"


def test_the_end_of_text_token_ends_the_text(bpe_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = load_run(bpe_run)
    end = trained.tokenizer.special_tokens["<|endoftext|>"]
    likely = np.zeros(trained.model.config.vocab_size, np.float32)
    likely[end] = 100
    monkeypatch.setattr("minillm.models.decoding.Reader.next_logits", lambda self, ids: likely[None])
    assert "".join(generate.write(trained, [0], [], 10)) == ""


def test_best_and_last_checkpoint(char_run: Path) -> None:
    assert load_run(char_run).step == 3
    last = load_run(char_run, "last")
    assert last.step == 5 and not last.model.training
    saved = checkpoints.load(char_run / "checkpoints" / "step-5").model()
    assert all((array == saved[name]).all() for name, array in last.model.state_dict().items())


@pytest.mark.parametrize(
    ("tokenizer", "start"),
    [
        (CharTokenizer.train([POEM]), "a line break"),
        (BPETokenizer.train([POEM], vocab_size=260), "a line break"),
        (CharTokenizer(["a", "b"], ["<|endoftext|>"]), "<|endoftext|>"),
        (CharTokenizer(["b", "a"]), "the vocabulary's first token, 'a'"),
        (WordTokenizer(["moon"]), "the vocabulary's first token, '<unk>'"),
    ],
    ids=["char", "bpe", "end-of-text", "neither", "word"],
)
def test_an_empty_prompt_starts_from_a_token_that_is_named(tokenizer: Tokenizer, start: str) -> None:
    ids, name = generate.start_ids(tokenizer, "")
    assert name == start and len(ids) == 1
    assert tokenizer.decode(ids) in ("\n", "<|endoftext|>", "a", "<unk>")


def test_the_start_of_an_empty_prompt_is_told_but_not_printed(char_run: Path, command: Any) -> None:
    code, out, err = command(char_run, "--max-new-tokens", 5)
    assert code == 0 and err == "no prompt; starting from a line break\n"
    assert len(out) == 5 + 1


@pytest.mark.parametrize("given", ["明月", "明月\n", "明月\r\n"])
def test_the_prompt_is_read_from_standard_input(
    char_run: Path, command: Any, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given.encode())))
    from_stdin = command(char_run, "--prompt", "-")
    assert from_stdin == command(char_run, "--prompt", "明月") and from_stdin[0] == 0


def test_ctrl_c_ends_the_text(char_run: Path, command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = GPT.stream

    def interrupted(self: GPT, *arguments: Any, **options: Any) -> Iterator[int]:
        tokens = whole(self, *arguments, **options)
        yield from (next(tokens) for _ in range(4))
        raise KeyboardInterrupt

    monkeypatch.setattr(GPT, "stream", interrupted)
    code, out, err = command(char_run, "--prompt", "The")
    assert (code, err) == (130, "")
    assert out.startswith("The") and len(out) == 3 + 4 + 1 and out.endswith("\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt", "€"], "'€' (U+20AC) at position 0"),
        (["--prompt", "-"], "isn't UTF-8"),
        (["--greedy", "--top-k", "3", "--num-samples", "2"], "leave out --top-k, --num-samples"),
        (["--beam", "2", "--temperature", "1"], "leave out --temperature"),
        (["--greedy", "--beam", "2"], "leave out --beam"),
        (["--stop", ""], "--stop is empty"),
        (["--top-p", "1.5"], "top_p=1.5"),
        (["--temperature", "-1", "--prompt", "The"], "temperature=-1.0"),
        (["--temperature", "nan"], "must be a finite number"),
        (["--temperature", "hot"], "must be a finite number"),
        (["--max-new-tokens", "0"], "must be a whole number, at least 1"),
        (["--seed", "-1"], "must be a whole number, at least 0"),
        (["--checkpoint", "worst"], "'worst'"),
        (["--tmperature", "1"], "--tmperature"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_flags_are_refused(
    char_run: Path, command: Any, monkeypatch: pytest.MonkeyPatch, flags: list[str], message: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("é".encode("latin-1"))))
    code, out, err = command(char_run, *flags)
    assert (code, out) == (2, "")
    assert message in err and "Traceback" not in err


def other_tokenizer(run: Path) -> None:
    characters = CharTokenizer.load(run / "tokenizer.json").characters  # type: ignore[attr-defined]
    CharTokenizer(["€", *characters[1:]]).save(run / "tokenizer.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "config.toml").unlink(), "holds no run"),
        (lambda run: (run / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (other_tokenizer, "isn't the tokenizer of this run: its fingerprint"),
        (lambda run: CharTokenizer("ab").save(run / "tokenizer.json"), "its vocabulary is 2, the run was trained with"),
        (lambda run: (run / "tokens/train.json").write_text("[]", encoding="utf-8"), "train.json is damaged"),
        (lambda run: (run / "checkpoints").rename(run / "gone"), "no checkpoint yet"),
        (
            lambda run: [p.write_bytes(b"") for p in run.glob("checkpoints/*/model.safetensors")],
            "model.safetensors has 0 bytes",
        ),
    ],
    ids=["config", "no tokenizer", "fingerprint", "vocabulary", "tokens", "no checkpoint", "damaged checkpoint"],
)
def test_a_folder_that_cant_be_used_is_refused(char_run: Path, command: Any, damage: Any, message: str) -> None:
    damage(char_run)
    code, out, err = command(char_run)
    assert (code, out) == (2, "")
    assert message in err and "Traceback" not in err


def test_a_run_without_its_token_files_still_writes(char_run: Path, command: Any) -> None:
    (char_run / "tokens" / "train.json").unlink()
    assert command(char_run, "--prompt", "The")[0] == 0
