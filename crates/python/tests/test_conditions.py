"""Conditions on strings, timestamps, other keys and items, in Python."""

import datetime as dt

import pytest

import dictrack
from dictrack import (
    ITEM,
    AllItems,
    AllOf,
    AnyItem,
    AnyOf,
    BaseCondition,
    DefinitionError,
    KeyEQKey,
    KeyGEKey,
    KeyGTKey,
    KeyLEKey,
    KeyLTKey,
    KeyNEKey,
    KeyValueBefore,
    KeyValueEndsWith,
    KeyValueEQ,
    KeyValueGE,
    KeyValueMatches,
    KeyValueSince,
    KeyValueStartsWith,
)
from dictrack.conditions.read import condition_of

MOMENT = dt.datetime(2026, 6, 1, tzinfo=dt.timezone.utc)

HOLDS: list[tuple[BaseCondition, dict[str, object], dict[str, object]]] = [
    (KeyValueStartsWith("v", "/api"), {"v": "/api/x"}, {"v": ["/api"]}),
    (KeyValueStartsWith("v", "ß", case_sensitive=False), {"v": "SSx"}, {"v": "sx"}),
    (KeyValueEndsWith("v", ".jpg"), {"v": "a.jpg"}, {"v": "a.JPG"}),
    (KeyValueMatches("v", "^[0-9]+$"), {"v": "12"}, {"v": 12}),
    (KeyValueBefore("v", MOMENT), {"v": "2026-05-31"}, {"v": MOMENT}),
    (KeyValueSince("v", "2026-06-01T02:00:00+02:00"), {"v": MOMENT}, {"v": "soon"}),
    (KeyEQKey("a", "b"), {"a": 1, "b": 1.0}, {"a": 1}),
    (KeyNEKey("a", "b"), {"a": 1, "b": "1"}, {"a": 1}),
    (KeyLTKey("a", "b"), {"a": 1, "b": 2}, {"a": 1, "b": 1}),
    (KeyLEKey("a", "b"), {"a": 1, "b": 1}, {"a": 2, "b": 1}),
    (KeyGTKey("a", "b"), {"a": 2, "b": 1}, {"a": 1, "b": 1}),
    (KeyGEKey("a", "b"), {"a": 1, "b": 1}, {"a": 1, "b": 2}),
    (
        AnyItem("items", KeyValueEQ("sku", "a"), KeyValueGE("qty", 2)),
        {"items": [{"sku": "b"}, {"sku": "a", "qty": 2}]},
        {"items": [{"sku": "a", "qty": 1}, {"sku": "b", "qty": 2}]},
    ),
    (AllItems("items", KeyValueGE("qty", 1)), {"items": [{"qty": 1}]}, {"items": []}),
    (AnyItem("tags", KeyValueEQ(ITEM, "gift")), {"tags": ["x", "gift"]}, {"tags": "gift"}),
    (AnyItem("rows", AnyItem(ITEM, KeyValueEQ(ITEM, 7))), {"rows": [[1], [7]]}, {"rows": [7]}),
    (AllItems("n", KeyValueGE(ITEM, 5) | KeyValueEQ(ITEM, 0)), {"n": [0, 6]}, {"n": [1]}),
]


@pytest.mark.parametrize(("condition", "match", "miss"), HOLDS, ids=lambda value: repr(value)[:60])
def test_a_condition_holds_alone_and_in_a_tracker(
    condition: BaseCondition, match: dict[str, object], miss: dict[str, object]
) -> None:
    manager = dictrack.TrackingManager()
    manager.add_tracker("g", dictrack.CountTracker("t", [condition], target=9))
    for document, holds in ((match, True), (miss, False)):
        assert condition.check(document) is holds
        assert bool(manager.track("g", document).dirtied) is holds


@pytest.mark.parametrize("condition", [row[0] for row in HOLDS], ids=repr)
def test_a_condition_reads_back_from_its_definition(condition: BaseCondition) -> None:
    again = condition_of(condition.to_dict())
    assert type(again) is type(condition)
    assert again == condition
    assert hash(again) == hash(condition)


def test_a_condition_about_an_item_is_for_lists_only() -> None:
    about = KeyValueEQ(ITEM, 5)
    assert about.check(5) and not about.check(6)
    assert (about & KeyValueGE(ITEM, 1)).check(5)
    assert about != KeyValueEQ("ITEM", 5)
    assert AllOf(about) == AllOf(KeyValueEQ(ITEM, 5)) != AnyOf(about)
    for condition in (about, AllOf(about), ~about):
        with pytest.raises(DefinitionError, match="key"):
            dictrack.CountTracker("t", [condition], target=1)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: KeyValueMatches("v", "("), DefinitionError, "matches: invalid regular expression: unclosed group"),
        (lambda: KeyValueMatches("v", "(a{1000}){1000}"), DefinitionError, "compiles to more than"),
        (lambda: KeyValueBefore("v", "soon"), DefinitionError, "before.*RFC 3339"),
        (lambda: KeyEQKey("a", ""), DefinitionError, "eq_key"),
        (lambda: AnyItem("a"), DefinitionError, "any_item"),
        (lambda: KeyValueStartsWith("v", 5), TypeError, "value is an int; expected str"),  # type: ignore[arg-type]
        (lambda: KeyEQKey("a", 5), TypeError, "other is an int; expected str"),  # type: ignore[arg-type]
        (lambda: AnyItem("a", "b"), TypeError, "expected conditions; found a str"),  # type: ignore[arg-type]
    ],
)
def test_what_is_not_a_condition_is_refused(make: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()  # type: ignore[operator]
