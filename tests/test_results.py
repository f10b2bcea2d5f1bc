"""Results: a bar that is met, one that is missed, and everything that is neither."""

import json
import math

import pytest
import torch

from genart_lessons import results


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("GENART_HOME", str(tmp_path))
    monkeypatch.delenv("GENART_STRICT", raising=False)
    monkeypatch.delenv("GENART_PROFILE", raising=False)


def test_the_sentence():
    result = results.record("test_elbo", 17.93, bar="<= 20", unit="nats per image", chapter="03")
    assert repr(result) == "✔ test_elbo = 17.9 nats per image (bar: <= 20)"
    assert result.ok and bool(result)
    missed = results.record("test_elbo", 21.5, bar="<=20", unit="nats per image")
    assert repr(missed) == "✘ test_elbo = 21.5 nats per image (bar: <= 20)"
    assert not missed.ok and not missed
    plain = results.record("seconds", 3)
    assert repr(plain) == "• seconds = 3" and plain.ok is None and bool(plain)
    with_error = results.record("kl", 17.93123, bar="> 17", se=0.0231)
    assert repr(with_error) == "✔ kl = 17.931 ± 0.023 (bar: > 17)"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (999.9, "1,000"), (1234567.9, "1,234,568"), (0.000123456, "0.000123")]
    + [(-17.93, "-17.9"), (0.5, "0.500"), (math.inf, "inf")],
)
def test_numbers_are_written_as_people_write_them(value, shown):
    assert repr(results.record("x", value)) == f"• x = {shown}"


@pytest.mark.parametrize(
    ("value", "bar", "ok"),
    [(20, "<= 20", True), (20, "< 20", False), (20, ">= 20", True), (20, "> 20", False)]
    + [(-1, "> -1.5", True), (0.001, "<1e-2", True), (math.inf, "< 3", False), (3, ">.5", True)],
)
def test_bars(value, bar, ok):
    assert results.record("x", value, bar=bar).ok is ok


@pytest.mark.parametrize("bar", ["< 20", "<= 20", "> 20", ">= 20", "> -1e300"])
def test_nan_misses_every_bar(bar):
    result = results.record("x", float("nan"), bar=bar)
    assert result.ok is False and repr(result).startswith("✘ x = nan")


def test_a_near_miss_shows_the_digit_that_missed():
    assert repr(results.record("x", 20.04, bar="<= 20")) == "✘ x = 20.04 (bar: <= 20)"
    assert repr(results.record("x", 19.999, bar="< 20")) == "✔ x = 19.999 (bar: < 20)"


@pytest.mark.parametrize(
    "bar", ["", "20", "= 20", "== 20", "<= twenty", "<= 20 nats", "< nan", "=< 20", "!= 3", 20]
)
def test_a_bar_that_makes_no_sense_is_an_error_that_shows_one_that_does(bar):
    with pytest.raises(ValueError, match="for example '<= 20'"):
        results.record("x", 1, bar=bar)


def test_values_that_are_not_one_number():
    assert results.record("x", torch.tensor([2.5], requires_grad=True)).value == 2.5
    for wrong in (torch.ones(2), "many", None, [1.0]):
        with pytest.raises(ValueError, match="not one number"):
            results.record("x", wrong)
    for wrong in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="standard error"):
            results.record("x", 1, se=wrong)
    with pytest.raises(ValueError, match="give the result a name"):
        results.record("", 1)


def test_strict_raises_on_a_miss_and_only_there(monkeypatch):
    monkeypatch.setenv("GENART_STRICT", "1")
    assert results.record("x", 1, bar="< 2").ok
    assert results.record("x", 1).ok is None
    with pytest.raises(results.BarMissed, match=r"✘ y = 3 \(bar: < 2\)"):
        results.record("y", 3, bar="< 2", chapter="03")
    with pytest.raises(results.BarMissed):
        results.record("z", float("nan"), bar="< 2")
    assert not results.load("03")["y"].ok  # the miss is on record too


def test_results_of_a_chapter_are_merged_by_name():
    results.record("a", 1, bar="< 2", chapter="03")
    results.record("b", float("nan"), bar="< 2", chapter="03", se=0.1)
    results.record("a", 5, bar="< 2", chapter="03")
    results.record("a", 7, chapter="04")
    kept = results.load("03")
    assert list(kept) == ["a", "b"] and kept["a"].value == 5 and kept["a"].profile == "quick"
    assert math.isnan(kept["b"].value) and kept["b"].ok is False
    assert results.load("05") == {}

    def no_constants(name):
        raise AssertionError(f"{name} is not JSON")

    json.loads(results.path("03").read_text(), parse_constant=no_constants)


@pytest.mark.parametrize(
    "damage", ['{"a": {"na', "", "[1, 2]", '{"a": 3}', '{"a": {"name": "a"}}', "\x00\xff"]
    + ['{"a": {"name": "a", "value": 1, "bar": "about 3"}}', '{"a": {"name": "a", "value": [1]}}']
)  # fmt: skip
def test_a_damaged_file_is_named_and_set_aside(damage):
    file = results.path("03")
    file.parent.mkdir(parents=True)
    file.write_text(damage, encoding="latin-1")
    with pytest.warns(UserWarning, match=r"03\.json was damaged .* set aside as 03\.damaged"):
        results.record("b", 1, chapter="03")
    assert list(results.load("03")) == ["b"]
    (aside,) = file.parent.glob("03.damaged-*.json")
    assert aside.read_text(encoding="latin-1") == damage


@pytest.mark.parametrize("chapter", ["../03", "a/b", "", "..", "a b", None, "03\n"])
def test_a_chapter_that_is_no_file_name_is_refused(chapter):
    with pytest.raises(ValueError, match="letters, digits"):
        results.path(chapter)


def test_a_disk_that_is_full_does_not_stop_a_chapter(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results.runtime, "atomic_write", full)
    with pytest.warns(UserWarning, match="could not be written .No space left"):
        assert results.record("a", 1, bar="< 2", chapter="03").ok


def test_the_card_escapes_what_it_shows():
    html = results.record("<b>", 1, bar="< 2", unit="<script>")._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html and "&lt; 2" in html


def test_a_tiny_value_is_written_with_its_power_of_ten():
    assert results.record("gap", 3.2e-15, bar="< 1e-9").number == "3.2e-15"
