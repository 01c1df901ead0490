"""Classes with options: attributes, new defaults of subclasses, values by keyword, frozen sections."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from secateur.config.option import Configurable, Option, Section, option, options_of
from secateur.utils.errors import UserError


class Base(Configurable):
    power: float = option(2.0, "an exponent", low=0, high=4)
    steps: int | None = option(5, "how many", low=1, flag="base_steps")
    names: list[str] = option(["a"], "which", choices=("a", "b"))
    quiet: bool = option(False, "say nothing")


class Derived(Base):
    power = 1
    steps = None
    names = ["b"]

    def quiet(self):
        """Not another default: a method."""

    guard: float = option(0.5, "of its own", low=0, high=1)


class Both(Derived):
    guard: float = option(0.1, "declared anew", low=0, high=0.2)


def test_an_object_has_the_defaults_and_the_class_the_records():
    base = Base()
    assert (base.power, base.steps, base.names, base.quiet) == (2.0, 5, ["a"], False)
    assert base.given == frozenset()
    assert isinstance(Base.power, Option)
    assert Base.power.help == "an exponent"


def test_the_options_are_those_of_the_bases_first():
    assert list(options_of(Base)) == ["power", "steps", "names", "quiet"]
    assert list(options_of(Derived)) == ["power", "steps", "names", "quiet", "guard"]
    assert options_of(Configurable) == options_of(object) == {}


def test_a_plain_assignment_in_a_subclass_is_a_new_default_of_the_same_record():
    derived = options_of(Derived)
    assert {name: one.default for name, one in derived.items()} == {
        "power": 1,
        "steps": None,
        "names": ["b"],
        "quiet": False,
        "guard": 0.5,
    }
    kept = {field.name for field in fields(Option)} - {"default"}
    for name, one in options_of(Base).items():
        assert all(getattr(one, field) == getattr(derived[name], field) for field in kept)
    assert (Derived().power, Derived().steps, Derived().names) == (1, None, ["b"])
    assert Derived(power=3).power == 3.0
    with pytest.raises(UserError, match="power: 5 is out of range: at least 0 and at most 4"):
        Derived(power=5)
    assert Base().power == 2.0


def test_a_record_that_is_declared_anew_replaces_that_of_the_base():
    assert (options_of(Both)["guard"].default, options_of(Both)["guard"].high) == (0.1, 0.2)
    with pytest.raises(UserError, match=r"guard: 0\.5 is out of range: at least 0 and at most 0.2"):
        Both(guard=0.5)


def test_values_are_given_by_the_options_names_or_by_the_flags():
    base = Base(power=1, base_steps=7, names="b")
    assert (base.power, base.steps, base.names) == (1.0, 7, ["b"])
    assert base.given == {"power", "steps", "names"}
    assert Base(steps=7).given == {"steps"}
    assert Base(steps=5).given == {"steps"}  # that it is the default does not matter


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"powr": 1}, "Base has no option 'powr': did you mean power?"),
        ({"step": 1}, "Base has no option 'step': did you mean base_steps?"),
        ({"zzzz": 1}, "Base has no option 'zzzz': there is base_steps, names, power, quiet"),
        ({"given": 1}, "Base has no option 'given': there is base_steps, names, power, quiet"),
        ({"power": "high"}, "power: 'high' is not a number"),
        ({"base_steps": 0}, "base_steps: 0 is out of range: at least 1"),
        ({"names": ["a", "c"]}, "names: 'c' is not one of a, b"),
        ({"quiet": 1}, "quiet: 1 is not True or False"),
    ],
)
def test_wrong_names_and_values_are_refused_in_one_line(values, message):
    with pytest.raises(UserError) as raised:
        Base(**values)
    assert str(raised.value) == message
    assert isinstance(raised.value, ValueError)


def test_a_class_without_options_says_so():
    class Nothing(Configurable):
        pass

    with pytest.raises(UserError, match=r"^Nothing has no option 'power'$"):
        Nothing(power=1)


def test_values_may_be_taken_unchecked_by_whoever_checked_them():
    base = Base()
    base.configure({"power": 3.0, "steps": 1}, ["steps"])
    assert (base.power, base.steps, base.given) == (3.0, 1, {"steps"})


def test_one_objects_values_are_not_anothers():
    assert (Base(power=1).power, Base().power, Base(power=3).power) == (1.0, 2.0, 3.0)


def test_options_have_effect_unless_a_class_says_otherwise():
    assert Base().idle_options() == {}


class Place(Section):
    title = "places"

    folder: Path | None = option(None, "where")
    deep: bool = option(False, "how")


def test_a_section_is_frozen():
    place = Place(folder="a/b")
    assert (place.folder, place.deep, place.given) == (Path("a/b"), False, {"folder"})
    for name in ("folder", "deep", "given", "other"):
        with pytest.raises(AttributeError, match=f"Place is frozen: {name} cannot be set"):
            setattr(place, name, None)
    assert place.folder == Path("a/b")


def test_an_options_record_is_frozen():
    with pytest.raises(FrozenInstanceError):
        Place.folder.default = Path()
