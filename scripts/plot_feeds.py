"""Plot what the synthetic feeds look like, next to the published counts they are drawn from.

Generates a first batch in a temporary folder, reads its CSV files back as any receiver would, and
writes the plots of docs/synthetic-feeds.md. The figures that the page quotes are printed as a
Markdown table. The same arguments give the same bytes with the locked version of matplotlib.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import matplotlib as mpl
import numpy as np
import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from etl.config import ROOT
from etl.errors import AcaError
from etl.synthetic.core.reference import AGE_GROUPS, STATES, read
from etl.synthetic.generate import DEFAULT_SEED, generate

IMAGES = ROOT / "docs" / "images"
DEFAULT_MEMBERS = 40_000
_COLUMNS = {
    "members": ("member_id", "dob", "gender", "fpl_ratio"),
    "plans": ("plan_id", "effective_year", "metal_tier"),
    "enrollments": (
        *("member_id", "plan_id", "start_date", "end_date", "premium_paid", "aptc_amount"),
        *("csr_variant", "enrollment_reason"),
    ),
    "claims": (
        *("member_id", "service_date", "status", "allowed_amount", "paid_amount", "paid_date"),
        *("claim_type", "ccsr_system_description"),
    ),
}
_CLAIM_TYPES = ("Pharmacy", "Professional", "Outpatient", "Inpatient")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Columns of the published counts, in the order of the labels that go with them.
_AGES = ("0_17", "18_25", "26_34", "35_44", "45_54", "55_64", "GE65")
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
_INCOMES = {
    "under 100 %": "FPL_LT100",
    "100 to 150 %": "FPL_100_150",
    "150 to 200 %": "FPL_150_200",
    "200 to 250 %": "FPL_200_250",
    "250 to 300 %": "FPL_250_300",
    "300 to 400 %": "FPL_300_400",
    "400 to 500 %": "FPL_400_500",
    "over 500 %": "FPL_GT500",
}
_INCOME_EDGES = (0.999, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)

# Blue and orange of the palette of Okabe and Ito, which the color-blind can distinguish.
_FEEDS, _PUBLISHED, _QUIET, _INK = "#0072B2", "#E69F00", "#8A8A8A", "#222222"
_STYLE: Any = {
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.facecolor": "#FFFFFF",  # opaque, so that a dark page does not swallow the text
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9,
    "svg.fonttype": "path",
    "svg.hashsalt": "synthetic feeds",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}

Table = dict[str, NDArray]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Measure:
    """A measured figure and, where there is one, the published one to compare it with."""

    name: str
    feeds: str
    published: str = ""


@dataclass(frozen=True, slots=True)
class Feeds:
    """The columns of a first batch that the plots need: days, cents, or text as it is.

    ``as_of``: the batch's day. ``complete``: the plan year before, whose claims are all but in.
    ``premium``: a month's, before the tax credit.
    """

    members: Table
    plans: Table
    enrollments: Table
    claims: Table
    as_of: date

    @property
    def complete(self) -> int:
        """The last plan year that is over."""
        return self.as_of.year - 1

    @property
    def settled(self) -> Flags:
        """Claims of the complete year that were paid or fell to the member, for good."""
        return self.served & np.isin(self.claims["status"], ("approved", "adjusted"))

    @property
    def served(self) -> Flags:
        """Claims for services of the complete year."""
        return _year(self.claims["service_date"]) == self.complete

    @property
    def chosen(self) -> Flags:
        """Enrollments that the open enrollment for the year of the batch counts."""
        starts = [f"{self.as_of.year}-{month:02d}-01" for month in (1, 2)]
        reasons = ("renewal", "open_enrollment")
        return np.isin(
            self.enrollments["start_date"], np.array(starts, dtype="datetime64[D]")
        ) & np.isin(self.enrollments["enrollment_reason"], reasons)

    def covered_days(self, first: date, last: date) -> NDArray[np.int64]:
        """Days of each enrollment from one day to another."""
        start = np.maximum(self.enrollments["start_date"], np.datetime64(first))
        end = np.minimum(self.enrollments["last_day"], np.datetime64(last))
        return np.maximum((end - start).astype(np.int64) + 1, 0)


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
        try:
            batch = generate(Path(folder) / "inbox", members=members, years=2, seed=seed)
        except AcaError as error:
            typer.echo(f"{error.message} {error.hint}".strip(), err=True)
            raise typer.Exit(error.exit_code) from error
        feeds = read_feeds(batch)
    out.mkdir(parents=True, exist_ok=True)
    measured: list[Measure] = []
    with mpl.rc_context(_STYLE):
        for name, plot in PLOTS.items():
            figure, measures = plot(feeds)
            # No date and no version of matplotlib: the bytes are those of the feeds alone.
            figure.savefig(out / f"{name}.svg", metadata={"Date": None, "Creator": None})
            measured += measures
    typer.echo("| measure | feeds | published |\n|---|---:|---:|")
    for found in [*measured, *money(feeds)]:
        typer.echo(f"| {found.name} | {found.feeds} | {found.published} |")


# Reading


def read_feeds(batch: Path) -> Feeds:
    """Read a batch back from its CSV files."""
    tables = {name: _read(batch / f"{name}.csv", columns) for name, columns in _COLUMNS.items()}
    enrollments = tables["enrollments"]
    year_end = (enrollments["start_date"].astype("datetime64[Y]") + np.timedelta64(1, "Y")).astype(
        "datetime64[D]"
    ) - np.timedelta64(1, "D")
    ends = enrollments["end_date"]
    enrollments["last_day"] = np.where(np.isnat(ends), year_end, ends)
    enrollments["premium"] = enrollments["premium_paid"] + enrollments["aptc_amount"]
    return Feeds(**tables, as_of=date.fromisoformat(batch.name))


def _read(path: Path, columns: Sequence[str]) -> Table:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        at = [header.index(name) for name in columns]
        rows = [[row[i] for i in at] for row in reader]
    return {name: _typed(name, [row[n] for row in rows]) for n, name in enumerate(columns)}


def _typed(name: str, values: Sequence[str]) -> NDArray:
    if name.endswith(("_amount", "_paid")):
        return np.array([int(v.replace(".", "") or 0) for v in values], dtype=np.int64)
    if name.endswith("_date") or name == "dob":
        return np.array(values, dtype="datetime64[D]")
    return np.array(values)


def published(*columns: str) -> NDArray[np.int64]:
    """The open-enrollment counts of the generator's states, added up; withheld ones are none."""
    rows = [row for row in read("oep_state_2025.csv") if row["State_Abrvtn"] in STATES]
    return np.array([sum(_count(row[column]) for row in rows) for column in columns])


def published_mean(column: str, of: str = "Cnsmr") -> float:
    """An average of the published table over the states, weighted by the consumers it is of."""
    rows = [row for row in read("oep_state_2025.csv") if row["State_Abrvtn"] in STATES]
    weights = [_count(row[of]) for row in rows]
    return float(np.average([_count(row[column]) for row in rows], weights=weights))


def _count(text: str) -> int:
    digits = text.replace(",", "").replace("$", "").strip()
    return int(digits) if digits.isdigit() else 0


def _year(days: NDArray) -> NDArray[np.int64]:
    return days.astype("datetime64[Y]").astype(np.int64) + 1970


def _month(days: NDArray) -> NDArray[np.int64]:
    """Months since January 1970."""
    return days.astype("datetime64[M]").astype(np.int64)


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
        Measure("allowed amount borne by the costliest 1 % of members", f"{of_costliest(1):.1f} %"),
        Measure("by the costliest 5 %", f"{of_costliest(5):.1f} %"),
        Measure("by the costliest 20 %", f"{of_costliest(20):.1f} %"),
        Measure("members covered without a settled claim", f"{100 * np.mean(spend == 0):.1f} %"),
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
    age = (_month(start) - _month(born) - (days[1] < days[0])) // 12
    band = np.searchsorted((17, 25, 34, 44, 54, 64), age)
    found = _percent(np.bincount(band, minlength=len(_AGES)))
    official = _percent(published(*(f"Age_{name}" for name in _AGES)))
    figure = Figure((7.2, 3.9))
    axes = figure.subplots()
    _pairs(axes, [name.replace("-", " to ") for name in AGE_GROUPS], found, official)
    axes.set(xlabel="share of plan selections (%)", ylabel="age")
    women = 100 * np.mean(feeds.members["gender"][who] == "F")
    counted = published("Female", "Cnsmr")
    return figure, [
        Measure("plan selections", f"{len(age):,}", f"{counted[1]:,}"),
        *_compared([f"age {name}" for name in AGE_GROUPS], found, official),
        Measure("women", f"{women:.1f} %", f"{100 * counted[0] / counted[1]:.1f} %"),
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
    counted = published(*_INCOMES.values())
    # Who stated none asked for no help; the generator counts them in the highest band.
    counted[-1] += published("FPL_OTHR")[0]
    official = _percent(counted)
    figure = Figure((7.2, 4.2))
    axes = figure.subplots()
    _pairs(axes, list(_INCOMES), found, official)
    axes.set(
        xlabel="share of plan selections (%)",
        ylabel="income / poverty level",
    )
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
    later = np.minimum(_month(claims["paid_date"]) - _month(claims["service_date"]), 12)
    for name, kind, at, where in (("medical", False, 1, (8, -3)), ("pharmacy", True, 0, (0, 6))):
        of_kind = (claims["claim_type"] == "Pharmacy") == kind
        paid = np.bincount(later[of_kind], claims["paid_amount"][of_kind], minlength=13)
        share = 100 * np.cumsum(paid) / paid.sum()
        right.plot(range(12), share[:12], "o-", color=_PUBLISHED if kind else _FEEDS, markersize=4)
        right.annotate(name, (at, share[at]), xytext=where, textcoords="offset points")
        measured += [
            Measure(f"{name} amount paid by the end of month {month}", f"{share[month]:.1f} %")
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
    covered = np.array(
        [
            feeds.covered_days(first, date.fromordinal(after.toordinal() - 1)).sum()
            for first, after in pairwise(starts)
        ]
    )
    rows = feeds.served
    month = _month(feeds.claims["service_date"][rows]) % 12
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
        measured.append(
            Measure(
                f"services of the busiest and the quietest month, {name} (average 100)",
                f"{index.max():.0f}, {index.min():.0f}",
            )
        )
    axes.set_xticks(range(12), _MONTHS)
    axes.set(ylim=(0, 165), ylabel="services per covered day\n(average of the year = 100)")
    axes.set_xlabel(f"month of service, {year}")
    return figure, measured


PLOTS = {
    "spend-concentration": spend_concentration,
    "age-mix": age_mix,
    "metal-mix": metal_mix,
    "income-mix": income_mix,
    "payment-lag": payment_lag,
    "seasonality": seasonality,
}


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
    for name, ours, theirs in zip(names, found, official, strict=True):
        yield Measure(name, f"{ours:.1f} %", f"{theirs:.1f} %")


# Money


def money(feeds: Feeds) -> list[Measure]:
    """Premiums of open enrollment next to the published ones, and the complete year's ratios."""
    year, spans, chosen = feeds.complete, feeds.enrollments, feeds.chosen
    credit = spans["aptc_amount"][chosen]
    new = 100 * np.mean(spans["enrollment_reason"][chosen] == "open_enrollment")
    official = published("New_Cnsmr", "APTC_Cnsmr", "Cnsmr")
    days = feeds.covered_days(date(year, 1, 1), date(year, 12, 31))
    months = days * 12 / (date(year + 1, 1, 1) - date(year, 1, 1)).days
    premium = float(months @ spans["premium"])
    allowed = feeds.claims["allowed_amount"][feeds.settled]
    paid = feeds.claims["paid_amount"][feeds.settled]
    kinds = feeds.claims["claim_type"][feeds.settled]
    stays = np.sum(feeds.claims["claim_type"][feeds.served] == "Inpatient")
    statuses = feeds.claims["status"][feeds.served]

    def dollars(cents: float) -> str:
        return f"${cents / 100:,.0f}"

    return [
        Measure("new consumers", f"{new:.1f} %", f"{100 * official[0] / official[2]:.1f} %"),
        Measure(
            "average monthly premium before tax credit",
            dollars(spans["premium"][chosen].mean()),
            f"${published_mean('Avg_Prm'):,.0f}",
        ),
        Measure(
            "average monthly premium after it",
            dollars(spans["premium_paid"][chosen].mean()),
            f"${published_mean('Avg_Prm_Aftr_APTC'):,.0f}",
        ),
        Measure(
            "consumers with a tax credit",
            f"{100 * np.mean(credit > 0):.1f} %",
            f"{100 * official[1] / official[2]:.1f} %",
        ),
        Measure("premium per member per month (PMPM)", dollars(premium / months.sum())),
        Measure("allowed PMPM", dollars(allowed.sum() / months.sum())),
        Measure("paid PMPM", dollars(paid.sum() / months.sum())),
        Measure("medical loss ratio: paid over premium", f"{100 * paid.sum() / premium:.1f} %"),
        Measure("paid over allowed", f"{100 * paid.sum() / allowed.sum():.1f} %"),
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
            Measure(f"claims {status}", f"{100 * np.mean(statuses == status):.1f} %")
            for status in ("approved", "denied", "adjusted", "reversed")
        ),
    ]


if __name__ == "__main__":
    typer.run(main)
