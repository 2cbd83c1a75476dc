"""Flags from the fields of the config: `--n-layer 6 --learning-rate 1e-3`, their help from the fields' docstrings.

What wins, from weakest to strongest: the preset, the file of --config, the flags. A command (train, plan) adds flags
of its own as a dataclass deriving from `Options`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from minillm.configs import files
from minillm.configs.config import Config


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags every command has that takes a config."""

    preset: str | None = None
    """Settings to start from: default, char, char-large, modern, gpt2, or tiny (takes seconds). [default: default]"""

    config: Path | None = None
    """A TOML file of settings ([model] [data] [training]), laid over the preset; flags win over it."""

    print_config: bool = False
    """Print all settings as TOML and stop."""

    debug: bool = False
    """Show the full traceback of an error."""


AnyOptions = TypeVar("AnyOptions", bound=Options)


def base_config(options: Options) -> Config:
    """The settings that --preset and --config name, before any other flag."""
    config = files.load_preset(options.preset or "default")
    return files.load_file(options.config, config) if options.config else config


def parse(
    options_type: type[AnyOptions],
    argv: Sequence[str],
    *,
    prog: str,
    description: str,
    choose_base: Callable[[AnyOptions], Config] = base_config,
) -> tuple[AnyOptions, Config]:
    """The command's own flags, and the config with every flag applied. Exits with code 2 on an unknown flag.

    Parsed twice: the first pass, over the command's own flags alone, finds the base the other flags lie over.
    Raises ConfigError.
    """
    import tyro

    own, _ = tyro.cli(options_type, args=list(argv), add_help=False, return_unknown_args=True)
    base = choose_base(own)
    parsed: Any = tyro.cli(
        _flags(options_type, base),
        args=list(argv),
        prog=prog,
        description=description,
        config=(tyro.conf.OmitArgPrefixes,),
    )
    chosen = {f.name: getattr(parsed.model, f.name) for f in dataclasses.fields(base.model)}
    if parsed.data.vocab_size != base.data.vocab_size:
        chosen["vocab_size"] = parsed.data.vocab_size
    return own, Config(type(base.model)(**chosen), parsed.data, parsed.training)


def _flags(options_type: type, base: Config) -> Any:
    """A dataclass of all flags: the command's own, then those of the three sections."""
    model = _without_vocab_size(type(base.model))(**dataclasses.asdict(base.model))
    sections = {"model": model, "data": base.data, "training": base.training}
    fields = [
        (name, type(section), dataclasses.field(default_factory=partial(dataclasses.replace, section)))
        for name, section in sections.items()
    ]
    return dataclasses.make_dataclass("Flags", fields, bases=(options_type,), frozen=True)


def _without_vocab_size(model_type: Any) -> Any:
    """The model's config, whose vocabulary size is no flag: it follows the tokenizer (flag --vocab-size of `data`)."""
    import tyro

    hidden: Any = Annotated[int, tyro.conf.arg(name="model-vocab-size"), tyro.conf.Suppress, tyro.conf.Fixed]
    frozen = model_type.__dataclass_params__.frozen
    return dataclasses.make_dataclass(model_type.__name__, [("vocab_size", hidden)], bases=(model_type,), frozen=frozen)
