"""Dialogue: a GPT that answers, fine-tuned on conversations (Ouyang et al. 2022, section 3.5, supervised fine-tuning).

    python -m minillm.finetune dialogue --data chatterbot/english chatterbot/chinese
    python -m minillm.finetune dialogue --data instruction-data.json --from runs/default --lora-rank 8
    python -m minillm.chat runs/dialogue

Conversations are laid out by the chat template (minillm/data/examples/chat_template.py); the loss counts on the
assistant's tokens and the <|end|> after them alone.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from minillm.baselines import most_frequent, nearest_question
from minillm.configs import checks
from minillm.configs.config import TrainingConfig
from minillm.data.batches import IGNORED
from minillm.data.examples import (
    Turn,
    fitting,
    next_tokens,
    pad,
    prompt,
    read_dialogues,
    read_instructions,
    render,
    split,
)
from minillm.data.examples.chat_template import END, PAD, SPECIAL_TOKENS
from minillm.data.examples.dialogues import SUFFIXES
from minillm.errors import ConfigError, DataError
from minillm.metrics import distinct_n, exact_match, language_of, perplexity, token_f1, words
from minillm.models import GPT, GPTConfig
from minillm.nn.lora import add_lora
from minillm.tasks.answer_report import COMPARED, coherence, coherence_line, text_table
from minillm.tasks.decoder import begin_with_run, grown
from minillm.tasks.task import FinetuneConfig, FinetuneTask, Prepared, Scores, beside, evaluation_mode
from minillm.tokenizers import BPETokenizer, Tokenizer
from minillm.training.evaluate import mean_loss
from minillm.training.task import Batch

LORA_TARGETS = ("query", "key", "value", "output", "up", "down")
LORA_SCALE = 2  # alpha / rank


@dataclass(frozen=True)
class Conversation:
    """What was said: the user's and the assistant's texts in turn, the user's first and the assistant's last."""

    said: tuple[str, ...]


class Exchange(NamedTuple):
    """An answer, and all that was said before it."""

    history: tuple[str, ...]
    answer: str


class Answer(NamedTuple):
    """What the model said, and whether it ended by itself, with <|end|>."""

    text: str
    ended: bool


@dataclass(frozen=True)
class DialogueSettings:
    """The conversations, and what the model begins with."""

    kind: Literal["dialogue"] = "dialogue"
    """The task."""

    data: tuple[str, ...] = ()
    """Conversations, in files and folders: ChatterBot's YAML (.yml; of a folder, all of them), or a JSON list of
    instruction, input and output (.json)."""

    system: str = ""
    """What a turn of the system says before every conversation; none by default."""

    truncate: bool = False
    """Drop the first exchanges of a conversation longer than the model's context, and leave it out where its last
    exchange alone is. By default such conversations are refused, and counted."""

    start: str = ""
    """Begin with the model of this run folder of python -m minillm.train, with its tokenizer and its shape."""

    lora_rank: int = 0
    """Train adapters of this rank beside the layers' frozen weights (LoRA) instead of the weights; needs --from.
    0 trains everything."""

    max_new_tokens: int = 64
    """Longest answer, in tokens, where the model writes one for samples and scores."""

    def __post_init__(self) -> None:
        checks.types(self)
        checks.at_least(self, 0, "lora_rank")
        checks.at_least(self, 1, "max_new_tokens")
        if self.lora_rank and not self.start:
            raise ConfigError("--lora-rank needs --from RUN: weights that are frozen must have been trained before")


class Dialogue(FinetuneTask):
    """Answer in a conversation, in the data's languages."""

    kind, Settings, Example = "dialogue", DialogueSettings, Conversation
    model = GPTConfig(vocab_size=2048, context_length=512, dropout=0.2, position="rotary")
    training = TrainingConfig(
        steps=1000,
        batch_size=64,
        learning_rate=1e-3,
        min_learning_rate=1e-4,
        warmup_steps=50,
        eval_interval=100,
        checkpoint_interval=500,
        samples=3,
    )

    @classmethod
    def prepare(cls, config: FinetuneConfig) -> Prepared:
        settings, model = config.task, config.model
        examples = read(settings.data)
        if settings.start:
            model, tokenizer, weights = begin_with_run(settings.start, SPECIAL_TOKENS, model, cls.model)
        else:
            texts = [settings.system, *(text for example in examples["train"] for text in example.said)]
            tokenizer = BPETokenizer.train(texts, model.vocab_size, SPECIAL_TOKENS, pattern="gpt4")
            weights = None
        model = replace(model, vocab_size=tokenizer.vocab_size)
        fits = {name: fitted(part, settings, tokenizer, model.context_length) for name, part in examples.items()}
        return Prepared(fits, tokenizer, model, weights)

    def turns(self, said: Sequence[str]) -> list[Turn]:
        """Texts with their roles, after the system's turn."""
        return turns(said, self.config.task.system)

    def encode(self, example: Conversation) -> tuple[np.ndarray, np.ndarray]:
        """Ids, and which of them count, of `chat_template.render`."""
        most = self.config.model.context_length
        return render(self.turns(example.said), self.tokenizer, max_length=most, drop_oldest=True)

    def length(self, encoded: tuple[np.ndarray, np.ndarray]) -> int:
        return len(encoded[0]) - 1

    def collate(self, encoded: Sequence[tuple[np.ndarray, np.ndarray]]) -> Batch:
        """Padding is at the right, where the causal mask keeps it out of every position that counts."""
        pairs = [next_tokens(ids, counts) for ids, counts in encoded]
        inputs, _ = pad([inputs for inputs, _ in pairs], self.tokenizer.special_tokens[PAD])
        targets, _ = pad([targets for _, targets in pairs], IGNORED)
        return {"ids": inputs, "targets": targets}

    def build(self) -> GPT:
        model, rank = GPT(self.config.model), self.config.task.lora_rank
        if rank:
            gate = ["gate"] if self.config.model.activation == "swiglu" else []
            add_lora(model, rank, LORA_SCALE * rank, [*LORA_TARGETS, *gate])
        return model

    def load_start(self, model: GPT, weights: Mapping[str, np.ndarray]) -> None:
        super().load_start(model, grown(model, weights))

    # ---- answers ----

    def answers(self, model: GPT, histories: Iterable[Sequence[str]]) -> list[Answer]:
        """The likeliest answer to each conversation so far, token by token; prompts of equal length as one batch.

        DataError for a last turn that is longer than the context.
        """
        most = self.config.model.context_length
        prompts = [
            prompt(self.turns(history), self.tokenizer, max_length=most, drop_oldest=True) for history in histories
        ]
        answers = [Answer("", False)] * len(prompts)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        with evaluation_mode(model):
            for _, group in groupby(order, key=lambda i: len(prompts[i])):
                chosen = list(group)
                for i, answer in zip(chosen, self._answered(model, [prompts[i] for i in chosen]), strict=True):
                    answers[i] = answer
        return answers

    def _answered(self, model: GPT, prompts: Sequence[np.ndarray]) -> list[Answer]:
        """Answers to prompts of one length."""
        most = min(self.config.task.max_new_tokens, self.config.model.context_length - len(prompts[0]))
        end = frozenset([self.tokenizer.special_tokens[END]])
        answers = model.generate_batch(np.stack(prompts), most + 1, stop_ids=end, temperature=0.0)
        return [Answer(self.tokenizer.decode(ids[:most]), len(ids) <= most) for ids in answers]

    def answer(self, model: GPT, texts: Sequence[str]) -> list[str]:
        return [answer.text for answer in self.answers(model, [[self._cut(text)] for text in texts])]

    def too_long(self, texts: Sequence[str]) -> int:
        return sum(len(ids) > self._room for ids in self.tokenizer.encode_batch(list(texts)))

    @property
    def _room(self) -> int:
        """Tokens that a user's first text may have."""
        return self.config.model.context_length - len(prompt(self.turns([""]), self.tokenizer))

    def _cut(self, text: str) -> str:
        """The text, or its beginning where it is too long; room for an answer is then left."""
        ids = self.tokenizer.encode(text)
        most = self.config.model.context_length // 2
        kept = self._room - min(self.config.task.max_new_tokens, most)
        return text if len(ids) <= self._room else self.tokenizer.decode(ids[:kept])

    def shown(self, model: GPT, examples: Sequence[Conversation]) -> list[str]:
        answers = self.answers(model, [example.said[:-1] for example in examples])
        return [
            beside(
                "\n".join(f"{turn.role}: {turn.text}" for turn in self.turns(example.said[:-1])),
                answer.text,
                example.said[-1],
            )
            for example, answer in zip(examples, answers, strict=True)
        ]

    # ---- scores ----

    def scores(self, model: GPT, split: str) -> Scores:
        loss = mean_loss(model, self.batches(split))
        assert loss is not None  # nobody interrupts it
        answers = self.answers(model, [exchange.history for exchange in self.exchanges(split)])
        ended = sum(answer.ended for answer in answers) / len(answers)
        compared = self._compared([answer.text for answer in answers], split)
        return {"loss": loss, "perplexity": perplexity(loss), **compared, "ends itself": ended}

    def baseline_scores(self, split: str) -> dict[str, Scores]:
        """What takes its answers from the training split as they are."""
        known, asked = self.exchanges("train"), [exchange.history[-1] for exchange in self.exchanges(split)]
        always = most_frequent([exchange.answer for exchange in known])
        nearest = nearest_question([e.history[-1] for e in known], [e.answer for e in known], asked)
        return {
            "the most frequent answer": self._compared([always] * len(asked), split),
            "answer to the nearest question": self._compared(nearest, split),
        }

    def qualities(self, model: GPT, split: str) -> str:
        exchanges = self.exchanges(split)
        said = [answer.text for answer in self.answers(model, [exchange.history for exchange in exchanges])]
        table = text_table(said, [e.answer for e in exchanges], [e.answer for e in self.exchanges("train")])
        return f"{table}\n\n{coherence_line(self.coherence(model, exchanges[:COMPARED]))}"

    def coherence(self, model: GPT, exchanges: Sequence[Exchange]) -> float:
        """Nats a token that the question saves on its answer, against the question of another answer."""
        asked = [exchange.history[-1] for exchange in exchanges]
        own, other = (
            [self.encode(Conversation((question, e.answer))) for question, e in zip(questions, exchanges, strict=True)]
            for questions in (asked, [*asked[1:], asked[0]])
        )
        return coherence(model, self.collate, own, other)

    def exchanges(self, split: str) -> list[Exchange]:
        """Every answer in the conversations of a split."""
        conversations = [example.said for example in self.examples[split]]
        return [Exchange(said[:i], said[i]) for said in conversations for i in range(1, len(said), 2)]

    def _compared(self, texts: Sequence[str], split: str) -> Scores:
        """Means over the exchanges; where the same was asked several times, any of the answers is a reference."""
        exchanges = self.exchanges(split)
        references: dict[tuple[str, ...], list[str]] = {}
        for exchange in exchanges:
            references.setdefault(exchange.history, []).append(exchange.answer)
        pairs = [(text, references[exchange.history]) for text, exchange in zip(texts, exchanges, strict=True)]
        return {
            "exact match": float(np.mean([exact_match(text, known, language_of(known)) for text, known in pairs])),
            "token F1": float(np.mean([token_f1(text, known, language_of(known)) for text, known in pairs])),
            "distinct-2": distinct_n(texts, 2) if any(map(words, texts)) else 0.0,
        }


def turns(said: Sequence[str], system: str = "") -> list[Turn]:
    """Texts with their roles, the user's first, after a turn of the system if it says anything."""
    first = [Turn("system", system)] if system else []
    return first + [Turn(("user", "assistant")[i % 2], text) for i, text in enumerate(said)]


def fitted(
    examples: Sequence[Conversation], settings: DialogueSettings, tokenizer: Tokenizer, context_length: int
) -> Sequence[Conversation]:
    """The examples that can be learnt from. DataError where one is too long and mustn't be shortened, or all are."""
    whole = [render(turns(e.said, settings.system), tokenizer)[0] for e in examples]
    if not settings.truncate:
        fitting(whole, context_length)
        return examples
    last = [render(turns(e.said[-2:], settings.system), tokenizer)[0] for e in examples]
    kept = [example for example, ids in zip(examples, last, strict=True) if len(ids) <= context_length]
    if not kept:
        raise DataError(f"no conversation fits into a context of {context_length} tokens; raise --context-length")
    if longer := sum(len(ids) > context_length for ids in whole):
        left_out = len(examples) - len(kept)
        print(
            f"{longer} of {len(examples)} conversations are longer than the context of {context_length} tokens: "
            f"{left_out} left out, {longer - left_out} without their first exchanges",
            file=sys.stderr,
        )
    return kept


def read(data: Sequence[str]) -> dict[str, list[Conversation]]:
    """The conversations of the files and folders named, a tenth of them (at most 1,000) held out for validation.

    Those that begin with the same words are all on one side. DataError for a path that isn't there, of another kind,
    or for a single conversation.
    """
    if not data:
        raise ConfigError("dialogue needs --data with one or more files or folders")
    conversations = [said for path in data for said in _read(Path(path).expanduser())]
    if len(conversations) < 2:
        raise DataError(f"{' '.join(data)} has one conversation; training and validation need at least one each")
    count = min(1000, max(1, len(conversations) // 10))
    train, validation = split(conversations, count, key=lambda conversation: conversation.said[0])
    return {"train": train, "validation": validation}


def _read(path: Path) -> list[Conversation]:
    if path.suffix.lower() == ".json":
        conversations = [instruction.turns() for instruction in read_instructions(path)]
    elif path.is_dir() or path.suffix.lower() in SUFFIXES:
        conversations = read_dialogues(path)
    else:
        raise DataError(f"{path} is neither a folder nor a file that ends in .json, {', '.join(SUFFIXES)}")
    return [Conversation(tuple(turn.text for turn in turns)) for turns in conversations]
