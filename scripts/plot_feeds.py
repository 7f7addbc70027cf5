"""Plot what the synthetic feeds look like, next to the published counts they are drawn from.

Generates a first batch in a temporary folder, reads its CSV files back as any receiver would, and
writes the plots of docs/synthetic-feeds.md. The figures that the page quotes are printed as a
Markdown table. The same arguments give the same bytes with the locked version of matplotlib.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from received_feeds import Feeds, month_of, read_feeds

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from etl.cli.guard import guarded
from etl.config import ROOT
from etl.synthetic.core.reference import AGE_COLUMNS, AGE_GROUPS, FPL_COLUMNS, open_enrollment
from etl.synthetic.generate import DEFAULT_SEED, generate

IMAGES = ROOT / "docs" / "images"
DEFAULT_MEMBERS = 40_000
_CLAIM_TYPES = ("Pharmacy", "Professional", "Outpatient", "Inpatient")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Columns of the published counts, by the labels that go with them.
_METALS = {
    "Catastrophic": "Ctstrphc",
    "Bronze": "Brnz",
    "Silver": "Slvr",
    "Gold": "Gld",
    "Platinum": "Pltnm",
}
_VARIANTS = {
    "06: silver 94 %": ("CSR_Cnsmr_94", ("06",)),
    "05: silver 87 %": ("CSR_Cnsmr_87", ("05",)),
    "04: silver 73 %": ("CSR_Cnsmr_73", ("04",)),
    "02, 03: tribal": ("CSR_Cnsmr_AIAN", ("02", "03")),
}
_INCOMES = (
    *("under 100 %", "100 to 150 %", "150 to 200 %", "200 to 250 %", "250 to 300 %"),
    *("300 to 400 %", "400 to 500 %", "over 500 %"),
)
_INCOME_EDGES = (0.999, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)

# Blue and orange of the palette of Okabe and Ito, which the color-blind can distinguish.
_FEEDS, _PUBLISHED, _QUIET, _INK = "#0072B2", "#E69F00", "#8A8A8A", "#222222"
_STYLE: Any = {
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "#FFFFFF",  # opaque, so that a dark page does not hide the text
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "svg.fonttype": "path",
    "svg.hashsalt": "synthetic feeds",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


@dataclass(frozen=True, slots=True)
class Measure:
    """A measured figure and, where there is one, the published one to compare it with."""

    name: str
    feeds: str
    published: str = ""


def main(
    members: Annotated[int, typer.Option(help="Members in the batch.")] = DEFAULT_MEMBERS,
    seed: Annotated[int, typer.Option(help="Seed number.")] = DEFAULT_SEED,
    out: Annotated[
        Path, typer.Option(help="Folder for the plots.", show_default="docs/images")
    ] = IMAGES,
) -> None:
    """Plot synthetic feeds of two plan years and print what was measured.

    The feeds go to a temporary folder and are deleted afterwards.
    """
    with tempfile.TemporaryDirectory() as folder:
        feeds = read_feeds(generate(Path(folder) / "inbox", members=members, years=2, seed=seed))
    out.mkdir(parents=True, exist_ok=True)
    measured: list[Measure] = []
    with mpl.rc_context(_STYLE):
        for name, plot in PLOTS.items():
            figure, measures = plot(feeds)
            # No date and no version of matplotlib: the bytes are those of the feeds alone.
            figure.savefig(out / f"{name}.svg", metadata={"Date": None, "Creator": None})
            measured += measures
    typer.echo("| measure | feeds | published |\n|---|---:|---:|")
    for found in (*measured, *money(feeds)):
        typer.echo(f"| {found.name} | {found.feeds} | {found.published} |")


# Figures


def published(*columns: str) -> NDArray[np.int64]:
    """The open-enrollment counts of the generator's states, added up; withheld ones are none."""
    return np.array([sum(row[column] for row in open_enrollment()) for column in columns])


def published_mean(column: str, of: str = "Cnsmr") -> float:
    """An average of the published table over the states, weighted by the consumers it is of."""
    rows = open_enrollment()
    return float(np.average([row[column] for row in rows], weights=[row[of] for row in rows]))


def _position(keys: NDArray, wanted: NDArray) -> NDArray[np.int64]:
    """Where each wanted key is among all keys."""
    order = np.argsort(keys)
    return order[np.searchsorted(keys, wanted, sorter=order)]


def _percent(shares: NDArray) -> NDArray[np.float64]:
    return 100 * np.asarray(shares, dtype=np.float64) / np.sum(shares)


# Plots


def spend_concentration(feeds: Feeds) -> tuple[Figure, list[Measure]]:
    """How much of the allowed amount the costliest members bear."""
    first, last = date(feeds.complete, 1, 1), date(feeds.complete, 12, 31)
    covered = np.unique(feeds.enrollments["member_id"][feeds.covered_days(first, last) > 0])
    claims = {name: feeds.claims[name][feeds.settled] for name in ("member_id", "allowed_amount")}
    spend = np.zeros(len(covered), dtype=np.int64)
    np.add.at(spend, _position(covered, claims["member_id"]), claims["allowed_amount"])
    spend = np.sort(spend)[::-1]
    total = np.concatenate([[0], np.cumsum(spend)]) / spend.sum() * 100

    def of_costliest(percent: float) -> float:
        return float(total[round(len(spend) * percent / 100)])

    grid = np.concatenate([np.arange(0, 10, 0.1), np.arange(10, 101, 1)])
    figure = Figure((7.2, 3.8))
    axes = figure.subplots()
    axes.plot(grid, [of_costliest(p) for p in grid], color=_FEEDS, linewidth=2)
    for percent in (1, 5, 20):
        share = of_costliest(percent)
        axes.plot(percent, share, "o", color=_FEEDS)
        axes.annotate(
            f"costliest {percent} % of members: {share:.0f} % of the amount",
            (percent, share),
            xytext=(9, -4),
            textcoords="offset points",
            va="top",
        )
    axes.set(
        xlim=(0, 100),
        ylim=(0, 102),
        xlabel=f"members covered in {feeds.complete}, costliest first (%)",
        ylabel="share of the allowed amount (%)",
    )
    return figure, [
        Measure(f"members covered in {feeds.complete}", f"{len(covered):,}"),
        _share("allowed amount borne by the costliest 1 % of members", of_costliest(1)),
        _share("by the costliest 5 %", of_costliest(5)),
        _share("by the costliest 20 %", of_costliest(20)),
        _share("members covered without a settled claim", 100 * np.mean(spend == 0)),
        Measure("median of a member's allowed amount", f"${np.median(spend) / 100:,.0f}"),
        Measure("highest", f"${spend[0] / 100:,.0f}"),
    ]


def age_mix(feeds: Feeds) -> tuple[Figure, list[Measure]]:
    """Ages at the start of coverage."""
    chosen = {n: feeds.enrollments[n][feeds.chosen] for n in ("member_id", "start_date")}
    who = _position(feeds.members["member_id"], chosen["member_id"])
    born, start = feeds.members["dob"][who], chosen["start_date"]
    # Not yet, if this year's birthday is still to come.
    days = [(d - d.astype("datetime64[M]")).astype(np.int64) for d in (born, start)]
    age = (month_of(start) - month_of(born) - (days[1] < days[0])) // 12
    band = np.searchsorted((17, 25, 34, 44, 54, 64), age)
    found = _percent(np.bincount(band, minlength=len(AGE_GROUPS)))
    official = _percent(published(*AGE_COLUMNS))
    labels = [name.replace("-", " to ") for name in AGE_GROUPS]
    women = 100 * np.mean(feeds.members["gender"][who] == "F")
    counted = published("Female", "Cnsmr")
    return _selections(3.9, "age", labels, found, official), [
        Measure("plan selections", f"{len(age):,}", f"{counted[1]:,}"),
        *_compared([f"age {name}" for name in AGE_GROUPS], found, official),
        _share("women", women, 100 * counted[0] / counted[1]),
    ]


def metal_mix(feeds: Feeds) -> tuple[Figure, list[Measure]]:
    """Metals and cost-sharing variants."""
    chosen = feeds.chosen
    keys = np.char.add(feeds.plans["plan_id"], feeds.plans["effective_year"])
    held = np.char.add(feeds.enrollments["plan_id"][chosen], str(feeds.as_of.year))
    metal = feeds.plans["metal_tier"][_position(keys, held)]
    metal = np.where(metal == "Expanded Bronze", "Bronze", metal)
    found = _percent(np.array([np.sum(metal == name) for name in _METALS]))
    official = _percent(published(*_METALS.values()))
    variant = feeds.enrollments["csr_variant"][chosen]
    reduced = [100 * np.mean(np.isin(variant, codes)) for _, codes in _VARIANTS.values()]
    counted = published(*(column for column, _ in _VARIANTS.values()), "Cnsmr")
    counted = 100 * counted[:-1] / counted[-1]
    figure = Figure((7.2, 4.8))
    above, below = figure.subplots(2, height_ratios=(5, 4), sharex=True)
    _pairs(above, ["Bronze*" if name == "Bronze" else name for name in _METALS], found, official)
    above.set(ylabel="metal tier")
    _pairs(below, list(_VARIANTS), np.array(reduced), counted, legend=False)
    below.set(
        xlabel="share of plan selections (%)     * bronze and expanded bronze together",
        ylabel="reduced cost sharing",
    )
    return figure, [
        *_compared(_METALS, found, official),
        *_compared((f"variant {name}" for name in _VARIANTS), reduced, counted),
    ]


def income_mix(feeds: Feeds) -> tuple[Figure, list[Measure]]:
    """Incomes in relation to the federal poverty level."""
    who = _position(feeds.members["member_id"], feeds.enrollments["member_id"][feeds.chosen])
    ratio = feeds.members["fpl_ratio"][who].astype(np.float64)
    band = np.searchsorted(_INCOME_EDGES, ratio)
    found = _percent(np.bincount(band, minlength=len(_INCOMES)))
    counted = published(*FPL_COLUMNS)
    # Who stated none asked for no help; the generator counts them in the highest band.
    counted[-1] += published("FPL_OTHR")[0]
    official = _percent(counted)
    figure = _selections(4.2, "income / poverty level", _INCOMES, found, official)
    return figure, list(_compared((f"income {name}" for name in _INCOMES), found, official))


def payment_lag(feeds: Feeds) -> tuple[Figure, list[Measure]]:
    """Days from service to payment, and how a month's claims are paid over the months after."""
    rows = feeds.settled
    claims = {name: values[rows] for name, values in feeds.claims.items()}
    days = (claims["paid_date"] - claims["service_date"]).astype(np.int64)
    figure = Figure((7.2, 3.6))
    left, right = figure.subplots(1, 2)
    measured = []
    for height, name in enumerate(_CLAIM_TYPES):
        lag = days[claims["claim_type"] == name]
        low, quarter, median, three, high = np.percentile(lag, (5, 25, 50, 75, 95)).astype(int)
        left.plot((low, high), (height, height), color=_FEEDS, linewidth=1.5)
        left.plot((quarter, three), (height, height), color=_FEEDS, linewidth=7, alpha=0.55)
        left.plot(median, height, "o", color=_INK, markersize=4)
        text = "the day itself" if high == 0 else f"half by day {median}"
        left.annotate(
            text, (median, height), xytext=(0, 8), textcoords="offset points",
            ha="left" if high == 0 else "center",
        )  # fmt: skip
        measured.append(Measure(f"median days to payment, {name.lower()}", f"{median}"))
        measured.append(Measure(f"95 % within, {name.lower()}", f"{high} days"))
    left.set_yticks(range(len(_CLAIM_TYPES)), _CLAIM_TYPES)
    left.tick_params(axis="y", length=0)
    left.spines["left"].set_visible(False)
    left.set(
        xlim=(-2, 80),
        ylim=(-0.5, 3.6),
        xlabel="days from service to payment\n(line: 5 to 95 %, bar: middle half of claims)",
    )
    later = np.minimum(month_of(claims["paid_date"]) - month_of(claims["service_date"]), 12)
    for name, kind, at, where in (("medical", False, 1, (8, -3)), ("pharmacy", True, 0, (0, 6))):
        of_kind = (claims["claim_type"] == "Pharmacy") == kind
        paid = np.bincount(later[of_kind], claims["paid_amount"][of_kind], minlength=13)
        share = 100 * np.cumsum(paid) / paid.sum()
        right.plot(range(12), share[:12], "o-", color=_PUBLISHED if kind else _FEEDS, markersize=4)
        right.annotate(name, (at, share[at]), xytext=where, textcoords="offset points")
        measured += [
            _share(f"{name} amount paid by the end of month {month}", share[month])
            for month in ((0, 1, 2, 3, 6) if not kind else (0,))
        ]
    right.set(
        xlim=(-0.3, 11.3),
        ylim=(0, 110),
        xticks=range(12),
        xlabel="months after the month of service",
        ylabel=f"share of the amount paid for {feeds.complete} (%)",
    )
    return figure, measured


def seasonality(feeds: Feeds) -> tuple[Figure, list[Measure]]:
    """Services by month, respiratory ones and all others."""
    year = feeds.complete
    starts = [date(year, month, 1) for month in range(1, 13)] + [date(year + 1, 1, 1)]
    months = [(first, after - timedelta(days=1)) for first, after in pairwise(starts)]
    covered = np.array([feeds.covered_days(*month).sum() for month in months])
    rows = feeds.served
    month = month_of(feeds.claims["service_date"][rows]) % 12
    lungs = feeds.claims["ccsr_system_description"][rows] == "Respiratory system"
    figure = Figure((7.2, 3.4))
    axes = figure.subplots()
    measured = []
    for name, kind, color, at, above in (
        ("respiratory diagnoses", lungs, _PUBLISHED, 6, -16),
        ("all others", ~lungs, _FEEDS, 6, 8),
    ):
        rate = np.bincount(month[kind], minlength=12) / covered
        index = 100 * rate / (rate @ covered / covered.sum())
        axes.plot(range(12), index, "o-", color=color, markersize=4)
        axes.annotate(name, (at, index[at]), xytext=(0, above), textcoords="offset points")
        what = f"services of the busiest and the quietest month, {name} (average 100)"
        measured.append(Measure(what, f"{index.max():.0f}, {index.min():.0f}"))
    axes.set_xticks(range(12), _MONTHS)
    axes.set(ylim=(0, 165), ylabel="services per covered day\n(average of the year = 100)")
    axes.set_xlabel(f"month of service, {year}")
    return figure, measured


_PLOTS = (spend_concentration, age_mix, metal_mix, income_mix, payment_lag, seasonality)
PLOTS = {plot.__name__.replace("_", "-"): plot for plot in _PLOTS}


def _selections(
    height: float, ylabel: str, labels: Sequence[str], found: NDArray, official: NDArray
) -> Figure:
    """A plot of the plan selections by one thing, ``height`` in inches."""
    figure = Figure((7.2, height))
    axes = figure.subplots()
    _pairs(axes, labels, found, official)
    axes.set(xlabel="share of plan selections (%)", ylabel=ylabel)
    return figure


def _pairs(
    axes: Axes, labels: Sequence[str], found: NDArray, official: NDArray, *, legend: bool = True
) -> None:
    """Two bars a label, each with its figure."""
    at = np.arange(len(labels))
    for values, offset, color in ((found, -0.2, _FEEDS), (official, 0.2, _PUBLISHED)):
        bars = axes.barh(at + offset, values, height=0.38, color=color)
        axes.bar_label(bars, [f"{v:.1f}" for v in values], padding=3, fontsize=8)
    axes.set_yticks(at, labels)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.1)
    if legend:
        names = ("in the feeds", "published, eight states, 2025 open enrollment")
        drawn = [container[0] for container in axes.containers]
        axes.legend(drawn, names, frameon=False, loc="lower right")


def _compared(
    names: Iterable[str], found: Sequence[float | np.floating] | NDArray, official: NDArray
) -> Iterable[Measure]:
    for measure in zip(names, found, official, strict=True):
        yield _share(*measure)


def _share(name: str, ours: float | np.floating, theirs: float | None = None) -> Measure:
    """A measure in percent."""
    return Measure(name, f"{ours:.1f} %", "" if theirs is None else f"{theirs:.1f} %")


# Money


def money(feeds: Feeds) -> list[Measure]:
    """Premiums of open enrollment next to the published ones, and the complete year's ratios."""
    year, spans, chosen = feeds.complete, feeds.enrollments, feeds.chosen
    credit = spans["aptc_amount"][chosen]
    new = 100 * np.mean(spans["enrollment_reason"][chosen] == "open_enrollment")
    official = published("New_Cnsmr", "APTC_Cnsmr", "Cnsmr")
    credited = 100 * official[1] / official[2]
    days = feeds.covered_days(date(year, 1, 1), date(year, 12, 31))
    months = days * 12 / (date(year + 1, 1, 1) - date(year, 1, 1)).days
    premium = float(months @ spans["premium"])
    allowed = feeds.claims["allowed_amount"][feeds.settled]
    paid = feeds.claims["paid_amount"][feeds.settled]
    kinds = feeds.claims["claim_type"][feeds.settled]
    stays = np.sum(feeds.claims["claim_type"][feeds.served] == "Inpatient")
    statuses = feeds.claims["status"][feeds.served]

    def dollars(name: str, cents: float, column: str | None = None) -> Measure:
        theirs = f"${published_mean(column):,.0f}" if column else ""
        return Measure(name, f"${cents / 100:,.0f}", theirs)

    before, after = spans["premium"][chosen].mean(), spans["premium_paid"][chosen].mean()
    return [
        _share("new consumers", new, 100 * official[0] / official[2]),
        dollars("average monthly premium before tax credit", before, "Avg_Prm"),
        dollars("average monthly premium after it", after, "Avg_Prm_Aftr_APTC"),
        _share("consumers with a tax credit", 100 * np.mean(credit > 0), credited),
        dollars("premium per member per month (PMPM)", premium / months.sum()),
        dollars("allowed PMPM", allowed.sum() / months.sum()),
        dollars("paid PMPM", paid.sum() / months.sum()),
        _share("medical loss ratio: paid over premium", 100 * paid.sum() / premium),
        _share("paid over allowed", 100 * paid.sum() / allowed.sum()),
        Measure("claims a member-year", f"{12 * len(statuses) / months.sum():.1f}"),
        Measure("inpatient stays per 1,000 member-years", f"{12_000 * stays / months.sum():.0f}"),
        *(
            Measure(
                f"allowed amount for {name.lower()} claims",
                f"{100 * allowed[kinds == name].sum() / allowed.sum():.0f} %",
            )
            for name in reversed(_CLAIM_TYPES)
        ),
        *(
            _share(f"claims {status}", 100 * np.mean(statuses == status))
            for status in ("approved", "denied", "adjusted", "reversed")
        ),
    ]


if __name__ == "__main__":
    sys.exit(guarded(lambda: typer.run(main)))
