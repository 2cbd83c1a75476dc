"""Settings: presets, files, flags; what is refused, and how the message helps."""

import dataclasses
import sys
from pathlib import Path

import pytest

from minillm.configs import command_line, files
from minillm.configs.config import Config, DataConfig, TrainingConfig
from minillm.errors import ConfigError

PRESETS = ["char", "char-large", "default", "gpt2", "modern", "tiny"]


def parse(*flags: str) -> Config:
    return command_line.parse(command_line.Options, flags, prog="train", description="")[1]


def test_the_presets_are_the_documented_ones() -> None:
    assert files.preset_names() == PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_loads_and_round_trips_through_toml(tmp_path: Path, name: str) -> None:
    config = files.load_preset(name)
    (tmp_path / "config.toml").write_text(files.to_toml(config), encoding="utf-8")
    assert files.load_file(tmp_path / "config.toml", Config()) == config


def test_char_is_nanogpts_laptop_setting() -> None:
    """github.com/karpathy/nanoGPT, README, "I only have a macbook": its flags, and its defaults for the rest."""
    config = files.load_preset("char")
    model, training = config.model, config.training
    assert (model.context_length, model.n_layer, model.n_head, model.d_model, model.dropout) == (64, 4, 4, 128, 0.0)
    assert (training.batch_size, training.gradient_accumulation, training.steps) == (12, 1, 2000)
    # Its learning rate is 1e-3; 3e-3 reaches a lower loss in as many steps.
    assert (training.learning_rate, training.min_learning_rate, training.warmup_steps) == (3e-3, 1e-4, 100)
    assert (training.beta1, training.beta2, training.weight_decay, training.gradient_clip) == (0.9, 0.99, 0.1, 1.0)


def test_gpt2_has_gpt2s_number_of_parameters() -> None:
    """124,439,808, counted by the published weights: tied embeddings, biases everywhere."""
    config = files.load_preset("gpt2")
    m = config.model
    block = 12 * m.d_model**2 + 13 * m.d_model
    assert m.bias and m.tie_weights and m.d_ff in (None, 4 * m.d_model)
    assert m.vocab_size * m.d_model + m.context_length * m.d_model + m.n_layer * block + 2 * m.d_model == 124_439_808


def test_texts_of_all_kinds_survive_toml(tmp_path: Path) -> None:
    text = 'C:\\text "quoted"\n\ttab 唐诗 \x00\x7f\x1f 😀'
    config = Config(data=DataConfig(corpus=text))
    (tmp_path / "c.toml").write_bytes(files.to_toml(config).encode())
    assert files.load_file(tmp_path / "c.toml", Config()) == config


def test_lists_survive_toml_and_their_items_are_checked(tmp_path: Path) -> None:
    @dataclasses.dataclass(frozen=True)
    class Section:
        paths: tuple[str, ...] = ()

    @dataclasses.dataclass(frozen=True)
    class Whole:
        section: Section = Section()

    config = Whole(Section(("neg=a b", "唐诗")))
    (tmp_path / "c.toml").write_text(files.to_toml(config), encoding="utf-8")
    assert files.load_file(tmp_path / "c.toml", Whole()) == config
    for wrong in ("'one'", "[1]"):
        (tmp_path / "c.toml").write_text(f"[section]\npaths = {wrong}", encoding="utf-8")
        with pytest.raises(ConfigError, match="it must be a list, each a text"):
            files.load_file(tmp_path / "c.toml", Whole())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[trainig]\nsteps = 1", r"unknown section \[trainig\]; did you mean 'training'\?"),
        (
            "[training]\nlearning_rat = 1",
            r"unknown field 'learning_rat' in .*; did you mean 'learning_rate'\?",
        ),
        ("[model]\nn_layers = 1", r"unknown field 'n_layers' in \[model\]; did you mean 'n_layer'\?"),
        ("[model]\nzzz = 1", r"unknown field 'zzz' in \[model\]; known: activation, activation_checkpointing, bias"),
        ("steps = 3", r"unknown section \[steps\]"),
        ("training = 3", r"must be a section: a line \[training\]"),
        ("[training]\nsteps = 'many'", "steps is 'many', it must be a whole number"),
        ("[training]\nsteps = 1.5", "steps is 1.5, it must be a whole number"),
        ("[training]\nsteps = true", "steps is True, it must be a whole number"),
        ("[training]\nlearning_rate = nan", "learning_rate is nan, it must be a finite number"),
        ("[model]\nbias = 1", "bias is 1, it must be true or false"),
        ("[model]\nn_layer = 'six'", "n_layer is 'six', it must be a whole number"),
        ("[data]\nclean = 'htm'", r"clean is 'htm', it must be one of 'none', 'text', 'html'; did you mean 'html'\?"),
        ("[training\n", "is not valid TOML"),
        ("\xff", "is not UTF-8"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_a_way_out(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "my.toml").write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=message) as caught:
        files.load_file(tmp_path / "my.toml", Config())
    assert "my.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("batch_size", 0, "at least 1"),
        ("steps", -1, "at least 0"),
        ("learning_rate", 0.0, "more than 0"),
        ("beta2", 1.0, "at least 0 and less than 1"),
        ("gradient_accumulation", 5, r"a divisor of batch_size \(12\)"),
        ("min_learning_rate", 1.0, r"at most learning_rate \(0.001\)"),
        ("weight_decay", -0.1, "at least 0"),
        ("temperature", -1.0, "at least 0"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_rule(field: str, value: float, rule: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} is {value}, it must be {rule}"):
        dataclasses.replace(TrainingConfig(), **{field: value})


@pytest.mark.parametrize(("field", "value"), [("vocab_size", 1), ("validation_fraction", 1.0), ("min_count", 0)])
def test_data_settings_have_ranges_too(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        dataclasses.replace(DataConfig(), **{field: value})


def test_an_unknown_preset_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"no preset 'char-larg'; did you mean 'char-large'\?"):
        files.load_preset("char-larg")


def test_flags_win_over_the_file_and_the_file_over_the_preset(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("[training]\nsteps = 7\nbatch_size = 4\n", encoding="utf-8")
    config = parse("--preset", "tiny", "--config", str(tmp_path / "my.toml"), "--steps", "9", "--n-layer", "3")
    tiny = files.load_preset("tiny")
    assert (config.training.steps, config.training.batch_size, config.model.n_layer) == (9, 4, 3)
    assert config.training.warmup_steps == tiny.training.warmup_steps and config.model.d_model == tiny.model.d_model


def test_flags_are_checked_against_the_preset_they_lie_over() -> None:
    """A batch in 16 parts fits gpt2's batch of 32, not the default's of 12."""
    assert parse("--preset", "gpt2", "--gradient-accumulation", "16").training.gradient_accumulation == 16


def test_the_models_vocabulary_follows_the_datas() -> None:
    assert parse("--vocab-size", "500").model.vocab_size == 500
    assert files.load_preset("gpt2").model.vocab_size == 50257
    assert files.overlay(Config(), {"data": {"vocab_size": 9}, "model": {"vocab_size": 8}}).model.vocab_size == 8


@pytest.mark.parametrize("flags", [["--n-layr", "3"], ["--steps", "x"], ["--clean", "htm"], ["--steps", "-3"]])
def test_a_wrong_flag_exits_with_code_2_and_names_it(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*flags)
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert flags[0].lstrip("-") in shown.err + shown.out


def test_help_explains_every_field(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train"])
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    config = Config()
    for section in (config.model, config.data, config.training):
        for field in dataclasses.fields(section):
            if section is config.model and field.name == "vocab_size":
                continue
            flag = "--" + field.name.replace("_", "-")
            after = words.split(f" {flag}", 1)
            assert len(after) == 2, f"{flag} is missing"
            explained = after[1].split("(default", 1)[0].split()
            assert len(explained) >= 4, f"{flag} is not explained: {explained}"
