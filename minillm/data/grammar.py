"""A grammar with chances: it draws texts, and says exactly how much surprise they hold.

A rule is a symbol and its alternatives, each a template with a weight. In a template `[symbol]` stands for one of that
symbol's alternatives; `{hero=girl}` draws an entry of the list `girl`, remembers it under the name `hero` and writes
its first field; `{hero}`, `{hero.she}`, `{hero.She}` write a field of what is remembered (She: with a capital).

The entropy of a grammar that no text can be derived from in two ways is the entropy of its choices, and that adds up:

    H(symbol) = Σ_i p_i · (-log2 p_i + Σ of H over the symbols and draws in alternative i)

one linear equation a symbol. Expected lengths obey the same equations, with lengths in place of -log2 p.
"""

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Entry = tuple[str, ...]
Choice = tuple[str, int]
"""(symbol or list, which alternative): one step of a derivation."""


@dataclass(frozen=True)
class WordList:
    """Entries a variable can be drawn from, all equally likely; `fields` names the columns."""

    fields: tuple[str, ...]
    entries: tuple[Entry, ...]

    def write(self, entry: Entry, field: str) -> str:
        """A field of an entry, the first if none is named; with a capital if the field is named with one."""
        word = entry[self.fields.index(field.lower())] if field else entry[0]
        return word[0].upper() + word[1:] if field[:1].isupper() else word

    def mean_bytes(self, field: str) -> float:
        """Expected length of a field of an entry drawn at random, in UTF-8 bytes."""
        return sum(len(self.write(entry, field).encode()) for entry in self.entries) / len(self.entries)


@dataclass(frozen=True)
class Literal:
    text: str


@dataclass(frozen=True)
class Symbol:
    name: str


@dataclass(frozen=True)
class Draw:
    variable: str
    words: str


@dataclass(frozen=True)
class Recall:
    variable: str
    field: str


Element = Literal | Symbol | Draw | Recall
_TOKEN = re.compile(r"\[(?P<symbol>\w+)\]|\{(?P<draw>\w+)=(?P<words>\w+)\}|\{(?P<recall>\w+)(?:\.(?P<field>\w+))?\}")


def parse_template(template: str) -> tuple[Element, ...]:
    """The elements of a template, in order."""
    elements: list[Element] = []
    end = 0
    for match in _TOKEN.finditer(template):
        if match.start() > end:
            elements.append(Literal(template[end : match.start()]))
        if match["symbol"]:
            elements.append(Symbol(match["symbol"]))
        elif match["draw"]:
            elements.append(Draw(match["draw"], match["words"]))
        else:
            elements.append(Recall(match["recall"], match["field"] or ""))
        end = match.end()
    if end < len(template):
        elements.append(Literal(template[end:]))
    return tuple(elements)


class Grammar:
    """Rules and word lists; `start` is the symbol of a whole text.

    A rule's alternatives are a sequence of templates, equally likely, or a mapping from template to weight.
    A variable is always drawn from the same list, so that its expected length is the same wherever it is recalled.
    """

    def __init__(
        self,
        rules: Mapping[str, Sequence[str] | Mapping[str, float]],
        words: Mapping[str, WordList],
        start: str = "story",
    ):
        self.words, self.start = dict(words), start
        self.rules = {symbol: [parse_template(template) for template in rule] for symbol, rule in rules.items()}
        self.chances = {symbol: _chances(rule) for symbol, rule in rules.items()}
        if self.rules.keys() & self.words.keys():
            raise ValueError(f"both a rule and a word list: {self.rules.keys() & self.words.keys()}")
        draws = {
            (e.variable, e.words) for rule in self.rules.values() for alt in rule for e in alt if isinstance(e, Draw)
        }
        self.list_of = dict(draws)
        if len(self.list_of) < len(draws):
            raise ValueError("a variable is drawn from two lists; its expected length would depend on the derivation")

    def sample(self, rng: random.Random) -> tuple[str, list[Choice]]:
        """A random text and the choices that made it. Only `rng.random()` is used, which no Python changes."""
        text: list[str] = []
        choices: list[Choice] = []
        bound: dict[str, Entry] = {}
        pending: list[Element] = [Symbol(self.start)]
        while pending:
            element = pending.pop()
            if isinstance(element, Symbol):
                i = _draw(self.chances[element.name], rng)
                choices.append((element.name, i))
                pending.extend(reversed(self.rules[element.name][i]))
            elif isinstance(element, Draw):
                entries = self.words[element.words].entries
                i = int(rng.random() * len(entries))
                choices.append((element.words, i))
                bound[element.variable] = entries[i]
                text.append(entries[i][0])
            else:
                text.append(self._written(element, bound))
        return "".join(text), choices

    def derivations(self, text: str) -> Iterator[list[Choice]]:
        """Every way the grammar can make exactly this text: none if it can't, one if the grammar is unambiguous.

        Tries all alternatives wherever the text so far allows them (depth first). It needs a grammar without left
        recursion: a symbol whose expansion begins with itself would never end.
        """
        paths: list[tuple[Any, int, dict[str, Entry], Any]] = [((Symbol(self.start), None), 0, {}, None)]
        while paths:
            pending, position, bound, made = paths.pop()
            if pending is None:
                if position == len(text):
                    yield _unlinked(made)
                continue
            element, rest = pending
            if isinstance(element, Symbol):
                for i, alternative in enumerate(self.rules[element.name]):
                    paths.append((_linked(alternative, rest), position, bound, ((element.name, i), made)))
            elif isinstance(element, Draw):
                for i, entry in enumerate(self.words[element.words].entries):
                    if text.startswith(entry[0], position):
                        remembered = bound | {element.variable: entry}
                        paths.append((rest, position + len(entry[0]), remembered, ((element.words, i), made)))
            else:
                written = self._written(element, bound)
                if text.startswith(written, position):
                    paths.append((rest, position + len(written), bound, made))

    def bits(self, choices: Sequence[Choice]) -> float:
        """-log2 of the probability that these choices are made."""
        return -sum(
            math.log2(self.chances[name][i]) if name in self.rules else -math.log2(len(self.words[name].entries))
            for name, i in choices
        )

    def entropy_bits(self) -> float:
        """Expected `bits` of a text, exactly; for an unambiguous grammar, the entropy of its texts."""
        surprise = {name: -sum(p * math.log2(p) for p in chances) for name, chances in self.chances.items()}
        return self._total(
            surprise, lambda e: math.log2(len(self.words[e.words].entries)) if isinstance(e, Draw) else 0.0
        )

    def expected_bytes(self) -> float:
        """Expected length of a text in UTF-8 bytes, exactly."""
        return self._total(dict.fromkeys(self.rules, 0.0), self._mean_bytes)

    def _total(self, own: Mapping[str, float], cost: Callable[[Element], float]) -> float:
        """x of the start symbol, where x_s = own_s + Σ_alternatives p Σ_elements (x of symbols, cost of others)."""
        index = {name: i for i, name in enumerate(self.rules)}
        system, constant = np.eye(len(index)), np.array([own[name] for name in index], dtype=np.float64)
        for name, alternatives in self.rules.items():
            for p, alternative in zip(self.chances[name], alternatives, strict=True):
                for element in alternative:
                    if isinstance(element, Symbol):
                        system[index[name], index[element.name]] -= p
                    else:
                        constant[index[name]] += p * cost(element)
        return float(np.linalg.solve(system, constant)[index[self.start]])

    def _mean_bytes(self, element: Element) -> float:
        """What is drawn changes no later chance, so the mean over its list holds wherever it's written."""
        if isinstance(element, Literal):
            return float(len(element.text.encode()))
        if isinstance(element, Draw):
            return self.words[element.words].mean_bytes("")
        assert isinstance(element, Recall)
        return self.words[self.list_of[element.variable]].mean_bytes(element.field)

    def _written(self, element: Element, bound: Mapping[str, Entry]) -> str:
        if isinstance(element, Literal):
            return element.text
        assert isinstance(element, Recall)
        return self.words[self.list_of[element.variable]].write(bound[element.variable], element.field)


def _chances(rule: Sequence[str] | Mapping[str, float]) -> list[float]:
    weights = list(rule.values()) if isinstance(rule, Mapping) else [1.0] * len(rule)
    return [weight / sum(weights) for weight in weights]


def _draw(chances: Sequence[float], rng: random.Random) -> int:
    point = rng.random()
    for i, p in enumerate(chances):
        point -= p
        if point < 0:
            return i
    return len(chances) - 1


def _linked(elements: Sequence[Element], rest: Any) -> Any:
    for element in reversed(elements):
        rest = (element, rest)
    return rest


def _unlinked(made: Any) -> list[Choice]:
    choices = []
    while made is not None:
        choice, made = made
        choices.append(choice)
    return choices[::-1]
