"""What is said of unknown names."""

from eagleeye.errors import close_names, none_of


def test_an_unknown_name_is_told_with_what_is_known_and_what_may_be_meant() -> None:
    assert none_of("evolutoin", ["uniform", "evolution"]) == (
        "'evolutoin' is none of uniform, evolution; did you mean evolution?"
    )
    assert none_of("x", {"a": 1, "b": 2}, "package.module:function") == (
        "'x' is none of a, b, nor package.module:function"
    )


def test_close_names_are_at_most_four_the_closest_first() -> None:
    known = [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)]
    assert close_names("resnet51", known, ["lenet"]).startswith("close names: resnet5")
    assert close_names("resnet51", known, ["lenet"]).count(",") == 3
    assert close_names("zzz", known, ["lenet"]) == "close names: lenet"
