"""Components: chosen by kind, validated in sentences, equal to what they were built from."""

import pickle
from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, PositiveFloat

from praesidium.component import Component, InputError, build, fingerprint, flatten, remember, unknown
from praesidium.experiments.study import compose


class Fruit(Component):
    ripe: bool = True


class Apple(Fruit, kind="apple"):
    grams: PositiveFloat = 150.0
    colors: tuple[str, ...] = ("red",)


class Cooker(Apple, kind="cooker"):
    sour: float = 0.5


class Pear(Fruit, kind="pear"):
    length: Annotated[int, Field(ge=1)] = 8


class Vehicle(Component):
    pass


class Lorry(Vehicle, kind="lorry"):
    load: Fruit = Apple()
    tyres: int = 4


class Basket(Component):
    first: Fruit
    rest: dict[str, Fruit] = Field(default_factory=dict)


FRUITS = st.one_of(
    st.builds(Apple, ripe=st.booleans(), grams=st.floats(0.1, 1e3), colors=st.lists(st.text(max_size=3)).map(tuple)),
    st.builds(Cooker, sour=st.floats(-1, 1)),
    st.builds(Pear, length=st.integers(1, 99)),
)
BASKETS = st.builds(Basket, first=FRUITS, rest=st.dictionaries(st.text(max_size=3), FRUITS, max_size=3))


def test_a_family_knows_its_members_and_no_others():
    assert Fruit.registry == {"apple": Apple, "cooker": Cooker, "pear": Pear}
    assert Vehicle.registry == {"lorry": Lorry}
    assert Component.registry == {}


def test_kind_picks_the_member_at_any_depth():
    assert build(Fruit, {"kind": "pear", "length": 9}) == Pear(length=9)
    basket = build(Basket, {"first": {"kind": "cooker"}, "rest": {"a": {"kind": "pear"}}})
    assert basket == Basket(first=Cooker(), rest={"a": Pear()})
    assert build(Apple, {"grams": 3.0}) == build(Apple, {"kind": "apple", "grams": 3.0}) == Apple(grams=3.0)
    assert build(Apple, {"kind": "cooker"}) == Cooker()


@settings(deadline=None, derandomize=True, max_examples=40)
@given(basket=BASKETS)
def test_settings_and_pickles_make_the_round_trip(basket):
    assert Basket.model_validate(basket.settings()) == basket
    assert pickle.loads(pickle.dumps(basket)) == basket
    assert Basket.model_validate(basket.settings()).fingerprint() == basket.fingerprint()


@settings(deadline=None, derandomize=True, max_examples=60)
@given(one=BASKETS, two=BASKETS)
def test_fingerprints_agree_where_components_do(one, two):
    assert (one.fingerprint() == two.fingerprint()) == (one == two)


def test_a_fingerprint_does_not_see_the_order_or_the_spelling_of_numbers():
    assert fingerprint({"a": 1, "b": {"c": 2, "d": 3}}) == fingerprint({"b": {"d": 3, "c": 2}, "a": 1})
    assert build(Apple, {"grams": 100, "colors": ["red"]}).fingerprint() == Apple(grams=100.0).fingerprint()


def test_the_fingerprint_of_a_study_sees_every_setting():
    study = compose()
    flat = flatten(study.settings())
    prints = {fingerprint({**flat, key: "another"}) for key in flat} | {study.fingerprint()}
    assert len(prints) == len(flat) + 1


def test_equal_components_hash_alike():
    assert len({Apple(grams=3.0), Apple(grams=3.0), Cooker(grams=3.0)}) == 2


def test_components_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Apple().grams = 3.0


@pytest.mark.parametrize(
    ("family", "given_", "sentence"),
    [
        (Fruit, {"kind": "aple"}, "kind: 'aple' is unknown; did you mean 'apple'? known: apple, cooker, pear"),
        (Fruit, {"kind": "zzz"}, "kind: 'zzz' is unknown; known: apple, cooker, pear"),
        (Fruit, {"kind": ["pear"]}, "did you mean 'pear'? known: apple, cooker, pear"),
        (Fruit, {"ripe": True}, "kind is missing; known: apple, cooker, pear"),
        (Pear, {"kind": "apple"}, "kind 'apple' does not fit here; 'pear' is needed"),
        (
            Fruit,
            {"kind": "pear", "lenght": 3},
            "Fruit: 'lenght' is unknown; did you mean 'length'? known: length, ripe",
        ),
        (Pear, {"lenght": 3}, "Pear: 'lenght' is unknown; did you mean 'length'? known: length, ripe"),
        (Pear, {"length": 0}, "length: input should be greater than or equal to 1, not 0"),
        (Basket, {}, "first: field required"),
        (Basket, {"first": {"kind": "aple"}}, "first.kind: 'aple' is unknown; did you mean 'apple'?"),
        (Basket, {"first": {"kind": "pear", "lenght": 3}}, "first: 'lenght' is unknown; did you mean 'length'?"),
        (
            Basket,
            {"first": {"kind": "pear"}, "rest": {"b": {"kind": "cooker", "sur": 1}}},
            "rest.b: 'sur' is unknown; did you mean 'sour'? known: colors, grams, ripe, sour",
        ),
        (
            Vehicle,
            {"kind": "lorry", "load": {"kind": "pear", "lenght": 3}},
            "load: 'lenght' is unknown; did you mean 'length'? known: length, ripe",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(family, given_, sentence):
    with pytest.raises(InputError) as caught:
        build(family, given_)
    assert sentence in str(caught.value)
    with pytest.raises(InputError) as caught:
        build(family, given_, "place")
    assert str(caught.value).startswith("place")


def test_every_fault_has_a_sentence():
    with pytest.raises(InputError) as caught:
        build(Lorry, {"load": {"kind": "apple", "grams": -1}, "tyres": "many", "hron": 1})
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["load.grams", "tyres", "Lorry"]


def test_a_kind_is_given_once():
    with pytest.raises(TypeError, match=r"kind 'pear' is taken by .*\.Pear"):
        type("AnotherPear", (Fruit,), {"__module__": __name__}, kind="pear")
    with pytest.raises(TypeError, match=r"kind 'pear' is taken by .*\.Pear"):
        type("Pear", (Fruit,), {"__module__": "somewhere.else"}, kind="pear")
    assert Fruit.registry["pear"] is Pear


def test_remember_tells_arguments_apart_by_their_settings():
    calls = []

    @remember(2)
    def taste(fruit, times):
        calls.append((fruit, times))
        return object()

    first = taste(Apple(), 1)
    assert taste(build(Fruit, {"kind": "apple"}), 1) is first
    assert taste(Apple(ripe=False), 1) is not first
    assert taste(Cooker(), 1) is not first  # a third result: the first one is forgotten
    assert len(calls) == 3
    assert taste(Apple(), 1) is not first
    assert len(calls) == 4


def test_where_there_is_nothing_to_set_it_says_so():
    sentence = unknown("liability", "strike", [])
    assert sentence == "liability: 'strike' is unknown; there is nothing to set or choose here"
