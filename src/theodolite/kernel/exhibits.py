"""What a report shows beyond numbers. Families describe exhibits here; only `report` draws them.

Arrays are named, not embedded: ``array="missed.npy"`` is a file in the run's ``exhibits/`` folder, written by
`RunFolder.save_array`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ArrayName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.npy$")]
Cell = str | int | float | bool | None
Scale = Literal["linear", "log", "symlog"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Layer(_Part):
    """One layer of a chart.

    Attributes
    ----------
    mark : str
        ``rule`` draws a straight line at `x` alone (vertical) or `y` alone (horizontal).
    columns : dict of str to list
        The data, by column; all of one length.
    x, y : str or None
        Names of the columns on the axes.
    y2 : str or None
        Lower edge of an area (a band of uncertainty), or of a bar.
    color : str or None
        Column whose values name the series; one colour each, labelled directly.
    text : str or None
        Column written beside the point (mark ``text``).
    dashed : bool
        For what theory says, where practice is drawn solid.
    """

    mark: Literal["line", "point", "bar", "area", "rule", "text"]
    columns: dict[str, list[Cell]]
    x: str | None = None
    y: str | None = None
    y2: str | None = None
    color: str | None = None
    text: str | None = None
    dashed: bool = False

    @model_validator(mode="after")
    def _columns_fit(self) -> "Layer":
        if len({len(values) for values in self.columns.values()}) > 1:
            raise ValueError("the columns of a layer must have one length")
        for name in (self.x, self.y, self.y2, self.color, self.text):
            if name is not None and name not in self.columns:
                raise ValueError(f"column {name!r} is drawn but not given; given are {sorted(self.columns)}")
        return self


class Chart(_Part):
    """A chart of layers on common axes.

    `roles` ties names of series to fixed colours: ``"real"``, ``"generated"``, ``"theory"`` and ``"accent"`` mean the
    same everywhere in a report.
    """

    kind: Literal["chart"] = "chart"
    title: str = Field(description="the finding, not the axis")
    caption: str = Field(description="one sentence on how to read it")
    layers: tuple[Layer, ...] = Field(min_length=1)
    x_title: str
    y_title: str
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    x_domain: tuple[float, float] | None = None
    y_domain: tuple[float, float] | None = None
    square: bool = False
    roles: dict[str, Literal["real", "generated", "theory", "accent"]] = {}


class Slider(_Part):
    """A chart and numbers that follow one setting, at values computed beforehand.

    On a page with a script a slider goes from stop to stop: the numbers of that stop stand large, and a rule moves
    along the chart. Without one the numbers of the first stop shown and a table of all are there.

    Attributes
    ----------
    setting : str
        What the slider sets, such as ``"τ"``: the chart's horizontal axis.
    stops : tuple of float
        Its values, rising.
    start : int
        Which of them is shown first.
    columns : tuple of str
        What is read at a stop, in words that follow a number.
    rows : tuple of tuple of str
        The numbers, one row a stop.
    chart : Chart
        Over the setting.
    """

    kind: Literal["slider"] = "slider"
    title: str
    caption: str
    setting: str
    stops: tuple[float, ...] = Field(min_length=1)
    start: int = Field(ge=0)
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    chart: Chart

    @model_validator(mode="after")
    def _stops_fit(self) -> "Slider":
        if self.start >= len(self.stops) or len(self.rows) != len(self.stops):
            raise ValueError(f"{len(self.stops)} stops need as many rows, and a start among them")
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"every row needs {len(self.columns)} numbers, one a column")
        if list(self.stops) != sorted(set(self.stops)):
            raise ValueError("the stops of a slider must rise")
        return self


class Gallery(_Part):
    """Images as tiles, in order; `nearest` stands aligned below. Arrays (n, h, w) or (n, h, w, 3), uint8."""

    kind: Literal["gallery"] = "gallery"
    title: str
    caption: str
    array: ArrayName
    labels: tuple[str, ...] = Field(description="one a tile, shown below it")
    row_name: str = "real"
    nearest: ArrayName | None = None
    nearest_labels: tuple[str, ...] = ()
    nearest_row_name: str = "nearest generated"


class Strip(_Part):
    """Rows of video played in step. Array (rows, frames, h, w, 3), uint8."""

    kind: Literal["strip"] = "strip"
    title: str
    caption: str
    array: ArrayName
    row_names: tuple[str, ...]
    frames_per_second: float = Field(default=8.0, gt=0)


class Grid(_Part):
    """Heat maps side by side in one perceptually even scale. Array (panels, rows, columns), float; row 0 is the top."""

    kind: Literal["grid"] = "grid"
    title: str
    caption: str
    array: ArrayName
    panel_names: tuple[str, ...]
    x_title: str = ""
    y_title: str = ""
    x_domain: tuple[float, float] | None = None
    y_domain: tuple[float, float] | None = None
    shared_scale: bool = Field(default=False, description="one colour scale for all panels")


class Table(_Part):
    """A table; numbers are right-aligned. Integers are shown with separated thousands."""

    kind: Literal["table"] = "table"
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @model_validator(mode="after")
    def _rows_fit(self) -> "Table":
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"every row needs {len(self.columns)} cells, one a column")
        return self


class Text(_Part):
    """Paragraphs, plain."""

    kind: Literal["text"] = "text"
    title: str
    caption: str = ""
    paragraphs: tuple[str, ...]


class Box(_Part):
    """A box of a diagram: position and size in its own units (y downward), and lines of text inside."""

    key: str
    x: float
    y: float
    width: float = Field(gt=0)
    height: float = Field(gt=0)
    lines: tuple[str, ...]
    accent: bool = False


class Arrow(_Part):
    """An arrow between two boxes, by key; `dashed` for skip connections."""

    start: str
    end: str
    label: str = ""
    dashed: bool = False


class Diagram(_Part):
    """Boxes and arrows, drawn as SVG."""

    kind: Literal["diagram"] = "diagram"
    title: str
    caption: str
    boxes: tuple[Box, ...] = Field(min_length=1)
    arrows: tuple[Arrow, ...] = ()

    @model_validator(mode="after")
    def _arrows_land(self) -> "Diagram":
        keys = {box.key for box in self.boxes}
        for arrow in self.arrows:
            if not {arrow.start, arrow.end} <= keys:
                raise ValueError(f"the arrow {arrow.start} → {arrow.end} has no box at one end")
        return self


Exhibit = Annotated[Chart | Slider | Gallery | Strip | Grid | Table | Text | Diagram, Field(discriminator="kind")]
