from pathlib import Path

import pytest

from theodolite.data.names import said


@pytest.mark.parametrize("name", ["a.png", "dir/ä ö.tif", "%s{x}.npy"])
def test_usual_names_stand_as_they_are(name):
    assert said(Path(name)) == name


@pytest.mark.parametrize("name", ["new\nline", "\x1b[31mred", "\udcff", "tab\t", "\u2028"])
def test_other_names_stand_on_one_line_that_can_be_written(name):
    text = said(Path(name))
    assert text.isprintable()
    text.encode()
