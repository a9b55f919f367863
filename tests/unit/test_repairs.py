from vibe.app import Rung
from vibe.repairs import Repairs


def failure(name: str) -> Rung:
    return Rung("run", False, f"It failed: {name}", f"{name}Error: no")


def moves(policy: Repairs, *failures: tuple[str, int]) -> list[str]:
    return [policy.after(failure(name), rungs) for name, rungs in failures]


def test_two_repairs_then_a_fresh_start_then_the_end() -> None:
    different = [("Key", 1), ("Type", 2), ("Value", 3), ("Zero", 1), ("Name", 2), ("Index", 3)]
    assert moves(Repairs(stronger=False), *different) == [
        "repair",
        "repair",
        "fresh",
        "repair",
        "repair",
        "stop",
    ]


def test_the_same_failure_twice_is_not_repaired_a_third_time() -> None:
    assert moves(Repairs(stronger=False), ("Key", 2), ("Key", 2)) == ["repair", "fresh"]


def test_a_repair_after_which_more_holds_got_somewhere_though_the_same_check_fails() -> None:
    same = [("Key", 4), ("Key", 5), ("Key", 5)]
    assert moves(Repairs(stronger=False), *same) == ["repair", "repair", "fresh"]


def test_a_stronger_model_comes_after_the_fresh_start_and_only_once() -> None:
    same = [("Key", 2)] * 6
    assert moves(Repairs(stronger=True), *same) == [
        "repair",
        "fresh",
        "repair",
        "stronger",
        "repair",
        "stop",
    ]


def test_every_failure_becomes_one_line_of_lessons() -> None:
    policy = Repairs(stronger=False)
    moves(policy, ("Key", 1), ("Key", 1), ("Type", 1))
    assert len(policy.lessons) == 2


def test_only_what_fails_alone_on_two_independent_builds_is_in_doubt() -> None:
    policy = Repairs(stronger=False)
    assert not policy.doubtful(["Adds", "Refuses"])
    moves(policy, ("Key", 1), ("Key", 1))
    assert not policy.doubtful(["Refuses"])
    moves(policy, ("Key", 1), ("Key", 1))
    assert policy.doubtful(["Refuses"])
