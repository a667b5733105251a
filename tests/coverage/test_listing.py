import csv
import io
from types import SimpleNamespace

import numpy as np

from theodolite.coverage.listing import harmless, missed_csv

RESULT = SimpleNamespace(
    missed=np.array([True, False, True, True]),
    p_values=np.array([0.01, 0.5, 0.001, 0.01]),
    discriminator=np.array([0.91, 0.4, 0.99, 0.95]),
    cluster=np.array([1, -1, 0, 1]),
)


def read(text):
    return list(csv.reader(io.StringIO(text)))


def test_the_named_are_listed_the_surest_first():
    rows = read(missed_csv(RESULT, ()))
    assert rows[0] == ["index", "file", "p", "D", "group"]
    assert [row[0] for row in rows[1:]] == ["2", "3", "0"]
    assert rows[1] == ["2", "", "0.001", "0.99", "1"]
    assert [row[4] for row in rows[1:]] == ["1", "2", "2"]


def test_hostile_file_names_stay_one_cell_and_no_formula():
    names = ("=HYPERLINK(1).png", "b.png", 'a,"b"\n.png', "\x1b[2J\u202egnp.png")
    text = missed_csv(RESULT, names)
    rows = {row[0]: row for row in read(text)}
    assert all(len(row) == 5 for row in rows.values())
    assert rows["0"][1] == "'=HYPERLINK(1).png"
    assert rows["2"][1] == 'a,"b"\\n.png'
    assert rows["3"][1] == "\\x1b[2J\\u202egnp.png"
    assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_harmless_leaves_plain_names_alone():
    assert harmless("ünïcode 1.png") == "ünïcode 1.png"
    for start in "=+-@":
        assert harmless(f"{start}1") == f"'{start}1"


def test_nothing_named_is_a_head_alone():
    nothing = SimpleNamespace(**{**vars(RESULT), "missed": np.zeros(4, dtype=bool)})
    assert missed_csv(nothing, ()) == "index,file,p,D,group\n"
