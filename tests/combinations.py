"""Which answers a test takes together: all of them, or a few projects in which every pair of answers occurs."""

import itertools
import random
from collections.abc import Iterable, Iterator

Answers = dict[str, str]
Choices = dict[str, list[str]]
Pair = frozenset[tuple[str, str]]


def every(choices: Choices) -> Iterator[Answers]:
    """All combinations of these answers."""
    return (dict(zip(choices, combination, strict=True)) for combination in itertools.product(*choices.values()))


def pairs(answers: Answers) -> set[Pair]:
    """What these answers answer together, two questions at a time."""
    return {frozenset(pair) for pair in itertools.combinations(answers.items(), 2)}


def pairwise(choices: Choices, given: Iterable[Answers] = ()) -> list[Answers]:
    """Few combinations in which every pair of answers occurs: first those that are `given`, completed.

    Greedy: of a hundred completions that luck suggests, the one that brings the most. The luck has a seed, so that the
    same questions give the same projects. The two longest questions are crossed first: no fewer projects would do.
    """
    luck = random.Random(15)  # noqa: S311 - of forty seeds the one with the fewest projects
    missing = {pair for answers in every(choices) for pair in pairs(answers)}
    longest = sorted(choices, key=lambda question: -len(choices[question]))[:2]
    starts = [*(given or every({question: choices[question] for question in longest}))]
    chosen: list[Answers] = []
    while starts or missing:
        start = starts.pop(0) if starts else {}
        candidates = [completed(choices, start, missing, luck) for _ in range(100)]
        chosen.append(max(candidates, key=lambda answers: len(pairs(answers) & missing)))
        missing -= pairs(chosen[-1])
    return chosen


def completed(choices: Choices, start: Answers, missing: set[Pair], luck: random.Random) -> Answers:
    """`start` with an answer to each other question: the one that brings the most of the missing pairs."""
    answers = dict(start)
    others = sorted(choices.keys() - start.keys())
    for question in luck.sample(others, len(others)):

        def gain(answer: str, question: str = question) -> float:
            return len(pairs(answers | {question: answer}) & missing) + luck.random()

        answers[question] = max(choices[question], key=gain)
    return {question: answers[question] for question in choices}
