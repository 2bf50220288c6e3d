"""The few projects that stand for all: every pair of answers is in one of them."""

import itertools

from .combinations import every, pairs, pairwise
from .conftest import CHOICES


def test_every_pair_of_answers_is_in_one_of_the_projects() -> None:
    wanted = {
        frozenset({(one, a), (other, b)})
        for one, other in itertools.combinations(CHOICES, 2)
        for a, b in itertools.product(CHOICES[one], CHOICES[other])
    }
    assert set().union(*map(pairs, pairwise(CHOICES))) == wanted
    assert len(pairwise(CHOICES)) <= 18


def test_what_is_given_comes_first_and_is_completed() -> None:
    given = list(every({"framework": CHOICES["framework"], "tenant_auth": CHOICES["tenant_auth"]}))
    for start, answers in zip(given, pairwise(CHOICES, given), strict=False):
        assert start.items() <= answers.items()
        assert list(answers) == list(CHOICES)


def test_the_same_questions_give_the_same_projects() -> None:
    assert pairwise(CHOICES) == pairwise(CHOICES)
