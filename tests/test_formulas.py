"""docs/formulas.md is what the docstrings of theory say, all of it, and their examples hold."""

import doctest
import importlib
import runpy
from pathlib import Path

import pytest

import theodolite.theory

ROOT = Path(__file__).parent.parent
SCRIPT = runpy.run_path(str(ROOT / "docs" / "make_formulas.py"))
THEORY = sorted(path.stem for path in Path(theodolite.theory.__path__[0]).glob("[a-z]*.py"))

COMPLETE = '''"""What is added."""
def total(values):
    """Sum of values, in their unit: *all* of W* < c*, `d*`.

    Holds when: they are
    finite.

    Source: Peano (1889).

    Parameters
    ----------
    values : numbers
    """
def _hidden(values): ...
'''


GROUPS = {"Arithmetic": ["sums"]}


def theory(folder, text):
    (folder / "__init__.py").write_text("")
    (folder / "sums.py").write_text(text)
    return folder


def test_the_page_is_what_the_docstrings_say():
    text, missing = SCRIPT["page"]()
    assert missing == []
    assert SCRIPT["PAGE"].read_text(encoding="utf-8") == text, "run: python docs/make_formulas.py"


def test_every_public_function_of_theory_is_there():
    text = SCRIPT["PAGE"].read_text(encoding="utf-8")
    for name in THEORY:
        assert f"### theory.{name}\n" in text
        module = importlib.import_module(f"theodolite.theory.{name}")
        for value in vars(module).values():
            if callable(value) and getattr(value, "__module__", "") == module.__name__ and hasattr(value, "__code__"):
                assert value.__name__.startswith("_") or f"#### {value.__name__}\n" in text


def test_a_formula_is_written_with_what_it_assumes_and_its_source(tmp_path):
    text, missing = SCRIPT["page"](theory(tmp_path, COMPLETE), GROUPS)
    assert missing == []
    assert "## Arithmetic\n\n### theory.sums\n\nWhat is added.\n\n#### total\n\n`total(values)`" in text
    assert r"Sum of values, in their unit: *all* of W\* &lt; c\*, `d*`." in text
    assert "- *Holds when:* they are\n  finite.\n- *Source:* Peano (1889).\n" in text
    assert "Parameters" not in text
    assert "_hidden" not in text


@pytest.mark.parametrize(("cut", "what"), [("Holds when:", "'Holds when:'"), ("Source:", "'Source:'")])
def test_what_a_formula_fails_to_say_is_an_error(tmp_path, cut, what):
    _, missing = SCRIPT["page"](theory(tmp_path, COMPLETE.replace(cut, "")), GROUPS)
    assert missing == [f"sums.total has no {what}"]


def test_a_module_without_a_place_is_an_error(tmp_path):
    folder = theory(tmp_path, COMPLETE)
    (folder / "products.py").write_text('"""Products."""\n')
    assert SCRIPT["page"](folder, GROUPS)[1] == ["products is in none of GROUPS"]


@pytest.mark.parametrize("name", THEORY)
def test_examples_in_docstrings_hold(name):
    assert doctest.testmod(importlib.import_module(f"theodolite.theory.{name}")).failed == 0
