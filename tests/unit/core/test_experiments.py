from __future__ import annotations

import msgspec
import pytest
from support import sends

from gateway.core.experiments import HELD_OUT, NO_ARM, Arm, applied, arm, path_in, person_key
from gateway.core.request import Experiment, Money, Offer, Variant

GIFT = Offer(kind="gift", pool="mugs")
TEN = Offer(kind="amount_off", amount=Money("10.00", "EUR"))


def of(*variants: Variant, holdout: float = 0.0, name: str = "spring") -> Experiment:
    """An experiment of these variants."""
    return Experiment(name, list(variants), holdout)


# --- the person ---------------------------------------------------------------------------------


def test_two_profiles_with_one_address_are_one_person() -> None:
    """E-mail counts first, however it is written; the id then does not matter."""
    keys = {
        person_key(sends.data(person, recipient={"email": email, "phone": phone}))
        for person, email, phone in (
            ("ada", "Ada@Example.com", "+4512345678"),
            ("ada-2", "ada@example.com ", "+4587654321"),
            ("ada-3", "ADA@EXAMPLE.COM", None),
        )
    }
    assert len(keys) == 1


def test_without_an_address_the_number_then_the_id_counts() -> None:
    """The same text as address, number and id is three people."""
    number = {"email": None, "phone": "+4512345678"}
    nothing = {"email": None, "phone": None}
    by_number = {person_key(sends.data(one, recipient=number)) for one in ("ada", "bob")}
    by_id = {person_key(sends.data(one, recipient=nothing)) for one in ("ada", "bob")}
    assert len(by_number) == 1
    assert len(by_id) == 2
    same_text = sends.data("+4512345678", recipient=nothing)
    assert person_key(same_text) not in by_number


def test_an_address_of_spaces_is_none() -> None:
    """Not everybody without an address is the same person."""
    keys = {person_key(sends.data(one, recipient={"email": " ", "phone": None})) for one in "ab"}
    assert len(keys) == 2


def test_a_key_does_not_show_the_address() -> None:
    """Sixteen bytes that nobody reads as an address."""
    key = person_key(sends.data("ada"))
    assert len(key) == 16
    assert b"ada" not in key


# --- the arm ------------------------------------------------------------------------------------


def test_the_draws_are_the_same_for_ever() -> None:
    """An upgrade that moved people between arms would spoil every running experiment.

    What is pinned is what the first version drew.
    """
    spring = of(Variant("a", 1), Variant("b", 1), holdout=0.3)
    arms = [arm(spring, person_key(sends.data(f"p{n}"))) for n in range(12)]
    said = "".join("-" if one.is_holdout else str(one.variant) for one in arms)
    assert said == "-bbababaaaa-"


def test_all_are_held_out_and_none() -> None:
    """The ends of the scale are exact."""
    keys = [person_key(sends.data(f"p{n}")) for n in range(500)]
    assert {arm(of(Variant("a", 1), holdout=1), key) for key in keys} == {HELD_OUT}
    assert {arm(of(Variant("a", 1)), key) for key in keys} == {Arm("a", is_holdout=False)}


def test_without_weight_there_is_no_arm() -> None:
    """A hold-out alone is an experiment: the others get what the request says."""
    keys = [person_key(sends.data(f"p{n}")) for n in range(500)]
    assert {arm(of(holdout=0.5), key) for key in keys} == {HELD_OUT, NO_ARM}
    assert {arm(of(Variant("a", 0)), key) for key in keys} == {NO_ARM}


def test_weights_at_the_ends_of_floats_are_weights() -> None:
    """Nothing overflows; what is nothing beside the heaviest is never drawn."""
    keys = [person_key(sends.data(f"p{n}")) for n in range(300)]
    tiny = of(Variant("a", 5e-324), Variant("b", 5e-324), Variant("c", 0))
    huge = of(Variant("a", 1.7e308), Variant("b", 5e-324))
    assert {arm(tiny, key).variant for key in keys} == {"a", "b"}
    assert {arm(huge, key).variant for key in keys} == {"a"}


def test_of_variants_with_one_name_the_first_counts() -> None:
    """The arm that is drawn is the arm that is applied."""
    twice = of(Variant("a", 0), Variant("b", 1), Variant("a", 1e9))
    keys = [person_key(sends.data(f"p{n}")) for n in range(100)]
    assert {arm(twice, key).variant for key in keys} == {"b"}


# --- the request of an arm ----------------------------------------------------------------------


def test_a_variant_changes_what_it_names() -> None:
    """Template and offer whole, variables one by one; the rest is the request's."""
    variant = Variant("b", 1, template="bold", variables={"tone": "loud"}, offer=TEN)
    request = sends.data(variables={"tone": "calm", "name": "Ada"})
    request = msgspec.structs.replace(request, offer=GIFT, experiment=of(Variant("a", 1), variant))
    changed = applied(request, Arm("b", is_holdout=False))
    assert changed.template == "bold"
    assert changed.variables == {"tone": "loud", "name": "Ada"}
    assert changed.offer == TEN
    back = msgspec.structs.replace(
        changed, template=request.template, variables=request.variables, offer=GIFT
    )
    assert back == request
    assert request.variables == {"tone": "calm", "name": "Ada"}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("$.data.template", "$.data.experiment.variants[2].template"),
        ("$.data.offer.percent", "$.data.experiment.variants[2].offer.percent"),
        ("$.data.variables.tone[0].x", "$.data.experiment.variants[2].variables.tone[0].x"),
        ("$.data.variables.name", "$.data.variables.name"),
        ("$.data.recipient.name", "$.data.recipient.name"),
    ],
)
def test_a_fault_is_named_where_the_request_says_it(path: str, told: str) -> None:
    """What the variant brings is under the variant, the rest is where it always is."""
    variant = Variant("b", 1, template="bold", variables={"tone": "loud"}, offer=TEN)
    assert path_in(variant, 2, path) == told
    assert path_in(Variant("a", 1), 0, path) == path


@pytest.mark.parametrize("drawn", [NO_ARM, HELD_OUT, Arm("a", is_holdout=False)])
def test_an_arm_that_names_nothing_leaves_the_request_as_it_is(drawn: Arm) -> None:
    """Control, hold-out and people without an arm are compared with what was asked for."""
    request = msgspec.structs.replace(
        sends.data(variables={"tone": "calm"}), offer=GIFT, experiment=of(Variant("a", 1))
    )
    assert applied(request, drawn) == request


def test_a_request_without_an_experiment_has_no_arms() -> None:
    """An arm of another request is a bug, not another message."""
    assert applied(sends.data(), NO_ARM) == sends.data()
    with pytest.raises(ValueError, match="no such variant"):
        applied(sends.data(), Arm("b", is_holdout=False))
