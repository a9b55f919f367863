import pytest

from vibe.budget import Budget, OverBudget, cost
from vibe.model import ReplyEnd
from vibe.settings import Limits

PRICES = {"dear": {"prompt": 2.0, "completion": 10.0}}


def end(model: str = "dear", prompt: int = 1000, completion: int = 100) -> ReplyEnd:
    return ReplyEnd("stop", model, prompt, completion)


def test_calls_tokens_and_seconds_each_end_a_build() -> None:
    for limits, word in (
        (Limits(calls=1), "calls"),
        (Limits(tokens=1000), "tokens"),
        (Limits(seconds=0.0), "seconds"),
    ):
        budget = Budget(limits)
        if limits.seconds:
            budget.check()
            budget.add(end())
        with pytest.raises(OverBudget, match=word):
            budget.check()


def test_money_is_counted_by_the_models_price_and_bounds_the_build() -> None:
    budget = Budget(Limits(money=0.005), PRICES)
    assert budget.add(end()) == pytest.approx(0.003)
    budget.check()
    budget.add(end())
    assert budget.spent.money == pytest.approx(0.006)
    with pytest.raises(OverBudget, match="money"):
        budget.check()


def test_without_a_price_no_cost_is_claimed() -> None:
    budget = Budget(Limits(money=1.0), PRICES)
    assert budget.add(end("unknown")) is None
    assert budget.spent.money is None
    budget.check()


def test_the_time_a_person_takes_to_answer_is_not_the_builds() -> None:
    budget = Budget(Limits(seconds=10))
    before = budget.seconds_left
    budget.pause(5)
    assert budget.seconds_left > before + 4


def test_a_dated_name_has_the_price_of_the_plain_one_and_a_longer_name_has_not() -> None:
    prices = {"gpt": {"prompt": 1.0, "completion": 1.0}}

    def paid(model: str) -> float | None:
        return cost(prices, ReplyEnd("stop", model, 500_000, 500_000))

    assert paid("gpt") == paid("gpt-2025-08-06") == paid("gpt-0613") == 1.0
    assert paid("gpt-mini") is None
    assert paid("gpt-70b") is None
