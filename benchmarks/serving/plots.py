"""Plots, all in one style: what is compared in one colour each, goals as dashed lines, ratios written beside points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1f5fa8", "#d1662f", "#3c8d57", "#8a4fa0", "#7a6a53", "#c23b5a")
"""Told apart with the common kinds of colour blindness, and on white paper."""
GOAL: dict[str, Any] = {"color": "#888888", "linestyle": "--", "linewidth": 1.0, "zorder": 1}
MARKS = ("o", "s", "^", "D", "v", "P")

STYLE: dict[str, Any] = {
    "figure.facecolor": "white",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "savefig.dpi": 110,
}


def panels(count: int, *, height: float = 4.0, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Side by side."""
    plt.rcParams.update(STYLE)
    columns = -(-count // rows)
    figure, axes = plt.subplots(rows, columns, figsize=(5.0 * columns, height * rows), layout="constrained")
    return figure, list(axes.flat) if count > 1 else [axes]


def callers_axis(axis: Axes, callers: list[int]) -> None:
    """Powers of two, named."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(callers, [str(count) for count in callers])
    axis.minorticks_off()
    axis.set_xlabel("callers")


def log_axis(axis: Axes) -> None:
    """The ordinate in powers of ten, with plain numbers."""
    axis.set_yscale("log")
    for formatted in (axis.yaxis.set_major_formatter, axis.yaxis.set_minor_formatter):
        formatted(FuncFormatter(lambda value, _: f"{value:,.0f}" if str(f"{value:.0e}")[0] in "125" else ""))


def goal(axis: Axes, value: float, text: str) -> None:
    """A dashed line across, named at its left end."""
    axis.axhline(value, **GOAL)
    axis.annotate(text, (0.01, value), xycoords=("axes fraction", "data"), va="bottom", fontsize=8, color="#555555")


def note(axis: Axes, x: float, y: float, text: str, colour: str = "#333333") -> None:
    """A few characters above a point."""
    axis.annotate(text, (x, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8, color=colour)


def save(figure: Figure, folder: Path, name: str) -> None:
    """As PNG."""
    folder.mkdir(exist_ok=True)
    figure.savefig(folder / name, metadata={"Software": None})
    plt.close(figure)
