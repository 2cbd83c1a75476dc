"""Reading a tokenizer.json of Hugging Face's `tokenizers`: byte-level BPE, and nothing that would change the ids.

The file describes a pipeline: normalizer, pre-tokenizer, model, post-processor. What our BPE does as well is read;
what it doesn't do is refused by name, for a tokenizer that is nearly right gives wrong ids without a word. Left out
are the post-processor (it adds tokens around a text) and the decoder (the bytes of the tokens are the text).
"""

from __future__ import annotations

from typing import Any

from minillm.errors import TokenError
from minillm.tokenizers.readers import Path_, from_written_merges, read_json

# Settings of the model that must be off, or the ids would differ from the library's.
REFUSED = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")


def read_huggingface(path: Path_) -> dict[str, Any]:
    """BPETokenizer's arguments from a tokenizer.json; TokenError for what isn't byte-level BPE alone."""
    data = read_json(path)
    try:
        model, added = data["model"], data.get("added_tokens") or []
        steps = _steps(data.get("pre_tokenizer"), "pretokenizers")
        if model["type"] != "BPE" or not any(step["type"] == "ByteLevel" for step in steps):
            raise TokenError(f"{path} holds a {model['type']} model; only byte-level BPE can be read")
        if normalizers := _steps(data.get("normalizer"), "normalizers"):
            _refuse(path, f"the normalizer {normalizers[0]['type']}")
        for setting in REFUSED:
            if model.get(setting):
                _refuse(path, f"{setting}={model[setting]!r}")
        pattern = _split_pattern(path, steps)
        specials = {token["content"] for token in added}
        ids = dict(model["vocab"]) | {token["content"]: token["id"] for token in added}
        # Written "left right" by older versions, ["left", "right"] by newer ones.
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        whole_chunks = model.get("ignore_merges") is True
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, TokenError):
            raise
        raise TokenError(f"{path} isn't a tokenizer.json as the tokenizers library writes it: {error!r}") from None
    return {
        "pattern": pattern,
        "whole_chunks": whole_chunks,
        **from_written_merges(str(path), ids, pairs, specials),
    }


def _split_pattern(path: Path_, steps: list[Any]) -> str:
    """The split pattern: ByteLevel's own, which is GPT-2's, or a Split's expression followed by a ByteLevel without."""
    last, before = steps[-1], steps[:-1]
    if last["type"] != "ByteLevel" or len(before) > 1:
        _refuse(path, f"the pre-tokenizer {' + '.join(step['type'] for step in steps)}")
    if last.get("add_prefix_space"):
        _refuse(path, "add_prefix_space=true")
    if last.get("use_regex", True):
        if before:
            _refuse(path, f"the pre-tokenizer {before[0]['type']} + ByteLevel with use_regex=true")
        return "gpt2"
    if not before:
        _refuse(path, "use_regex=false without a Split: the text isn't cut at all")
    return _expression(path, before[0])


def _expression(path: Path_, split: Any) -> str:
    """The expression of a Split that keeps all it matches; TokenError for one that doesn't.

    "Isolated" cuts out each match, and what lies between is a chunk, too; "Removed" with invert=true drops what lies
    between, which is nothing with the expressions of GPT-4 and its kin.
    """
    if split["type"] != "Split" or "Regex" not in split["pattern"]:
        _refuse(path, f"the pre-tokenizer {split['type']} without an expression")
    if split["behavior"] != "Isolated" and not (split["behavior"] == "Removed" and split["invert"] is True):
        _refuse(path, f"a Split that is {split['behavior']} with invert={split.get('invert')}")
    expression = split["pattern"]["Regex"]
    if not isinstance(expression, str):
        raise TypeError(f"an expression that is no text: {expression!r}")
    return expression


def _steps(stage: Any, inside: str) -> list[Any]:
    """The steps of a pipeline stage that may be missing, single, or a Sequence."""
    if stage is None:
        return []
    return list(stage[inside]) if stage["type"] == "Sequence" else [stage]


def _refuse(path: Path_, what: str) -> None:
    raise TokenError(
        f"{path} uses {what}, which byte-level BPE here doesn't have: the ids would differ. It can be read with "
        "ByteLevel alone or Split + ByteLevel, no normalizer, no dropout"
    )
