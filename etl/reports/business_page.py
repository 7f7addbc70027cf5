"""The page on the business: from rows of the marts to one self-contained HTML page.

A pure function. Its script draws what is embedded for the chosen year, state and metal tier; what
may not be seen is not embedded (``business_data.py``).
"""

from __future__ import annotations

import json
from functools import cache

import jinja2

from etl.reports.business_data import embedded
from etl.reports.business_rows import Business
from etl.reports.frame import environment
from etl.schema.masked import FEWEST_PERSONS
from etl.warehouse.measures import MEASURES

# The measures that the page shows, in the order of its list.
SHOWN = (
    *("members", "member_months", "beginnings", "endings", "premium_usd", "paid_usd"),
    *("paid_pmpm_usd", "loss_ratio"),
)


def business_page(business: Business) -> str:
    """The page as HTML text."""
    data = embedded(business)
    complete = [month["first"][:7] for month in data["months"] if month["complete"]]
    going_on = [month["first"][:7] for month in data["months"] if not month["complete"]]
    return (
        _environment()
        .get_template("business.html.j2")
        .render(
            business=business,
            complete=complete,
            going_on=going_on,
            years=sorted({month["first"][:4] for month in data["months"]}),
            states=data["states"],
            tiers=data["tiers"],
            few=FEWEST_PERSONS - 1,
            measures=[MEASURES[name] for name in SHOWN],
            data=_as_json(data),
        )
    )


def _as_json(data: object) -> str:
    """JSON that ends no element of HTML and begins none, whatever names are in it."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


@cache
def _environment() -> jinja2.Environment:
    return environment("reports/page")
