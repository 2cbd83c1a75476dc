"""Classification without training: which description of a class is nearest to a text, or likeliest after it.

    by embedding    argmax_c  cos(e(text), e(description of c))
    by likelihood   argmax_c  1/n_c Σ_t ln P(w_t | template with the text, w_<t),  w_1 ... w_n the description of c

Embeddings are a sentence encoder's, the likelihood is a language model's. The mean over tokens, so that a longer
description isn't at a disadvantage, is from Brown et al. (2020, section 2.4). There, too, they divide by the likelihood
without the text where some answers are likely after anything; so does `calibrate`.
"""

from collections.abc import Sequence

import numpy as np

from minillm import ops
from minillm.data.batches import IGNORED
from minillm.data.examples import pad
from minillm.errors import ConfigError, TokenError
from minillm.models import BERT, GPT, embed
from minillm.tape import no_grad
from minillm.tokenizers import Tokenizer, WordPieceTokenizer

TEXT, LABEL = "{text}", "{label}"
TEMPLATE = "{text}\nTopic: {label}"


def similarities(
    model: BERT,
    tokenizer: WordPieceTokenizer,
    texts: Sequence[str],
    descriptions: Sequence[str],
    truncate: bool = False,
) -> np.ndarray:
    """The cosine of each text's vector and each description's, (texts, descriptions); vectors as `embed` makes them."""
    of_texts, of_descriptions = (embed(model, tokenizer, some, truncate=truncate) for some in (texts, descriptions))
    return of_texts @ of_descriptions.T


def likelihoods(
    model: GPT,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    descriptions: Sequence[str],
    template: str = TEMPLATE,
    *,
    calibrate: bool = False,
    truncate: bool = False,
) -> np.ndarray:
    """Mean ln P of the tokens of each description in its place in the template, (texts, descriptions).

    template: has {text} and, after it, {label}; what follows that is scored, too.
    calibrate: less the same without the text.
    ConfigError for another template; TokenError, with their number, for texts that don't fit into the context, unless
    `truncate` cuts them at their end. Switches the model to evaluation.
    """
    before, between, answers = _parts(tokenizer, template, descriptions)
    room = model.config.context_length - len(before) - len(between) - max(map(len, answers)) + 1  # the last isn't read
    ids = tokenizer.encode_batch(texts)
    if room < 1 or (not truncate and any(len(text) > room for text in ids)):
        longer = sum(len(text) > max(room, 0) for text in ids)
        raise TokenError(
            f"{longer} of {len(ids)} texts have more than the {max(room, 0)} tokens that the context of "
            f"{model.config.context_length} leaves beside template and label; truncate them, or use a larger model"
        )
    model.eval()
    scores = np.array([_scores(model, [*before, *text[:room], *between], answers) for text in ids])
    return scores - _scores(model, [*before, *between], answers) if calibrate else scores


def _parts(
    tokenizer: Tokenizer, template: str, descriptions: Sequence[str]
) -> tuple[list[int], list[int], list[list[int]]]:
    """Ids before the text, between text and label, and of each label with what follows it.

    Spaces before the label belong to its first word, as in the text that byte pairs were learnt from.
    """
    if template.count(TEXT) != 1 or template.count(LABEL) != 1 or template.index(TEXT) > template.index(LABEL):
        raise ConfigError(f"the template {template!r} must have {TEXT} and, after it, {LABEL}, each once")
    before, rest = template.split(TEXT)
    between, after = rest.split(LABEL)
    spaces = between[len(between.rstrip(" ")) :]
    answers = tokenizer.encode_batch([f"{spaces}{description}{after}" for description in descriptions])
    head, middle = tokenizer.encode(before), tokenizer.encode(between.removesuffix(spaces))
    if not all(answers) or not (head or middle):
        raise ConfigError("each label, and the template around it, must have a token at least")
    return head, middle, answers


def _scores(model: GPT, prompt: list[int], answers: list[list[int]]) -> np.ndarray:
    """Mean ln P of each answer's tokens after the prompt, (answers,)."""
    ids, _ = pad([[*prompt, *answer][:-1] for answer in answers], 0)
    targets = np.full(ids.shape, IGNORED)
    for row, answer in zip(targets, answers, strict=True):
        row[len(prompt) - 1 : len(prompt) - 1 + len(answer)] = answer
    rows, places = np.nonzero(targets != IGNORED)
    with no_grad():
        logits = model.head(model.features(ids)[rows, places])
        log_p = ops.log_softmax(logits).numpy()[np.arange(len(rows)), targets[rows, places]]
    return np.bincount(rows, log_p) / np.bincount(rows)
