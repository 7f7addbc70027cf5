"""Plans of PostgreSQL as EXPLAIN and auto_explain write them in JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg

from etl.access.roles import LOADER

Node = dict[str, Any]


def nodes(plan: Node) -> Iterator[Node]:
    """Every node of a plan, subplans included."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def looked_at(node: Node) -> int:
    """Rows that a node reads in all its loops."""
    removed = sum(amount for name, amount in node.items() if name.startswith("Rows Removed by"))
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


def watch(connection: psycopg.Connection[Any], note: Callable[[str, Node], None]) -> None:
    """Have every statement of a connection noted when it ends: its text and its plan as it ran."""

    def said(message: psycopg.errors.Diagnostic) -> None:
        text = message.message_primary or ""
        if "plan:\n" in text:
            found = json.loads(text.partition("plan:\n")[2])
            note(found["Query Text"], found["Plan"])

    connection.add_notice_handler(said)
    # A COPY adds handlers of its own, which must get notices only and not the plans.
    add, remove = connection.add_notice_handler, connection.remove_notice_handler
    wrapped: dict[Any, Any] = {}

    def add_for_notices(handler: Any) -> None:
        wrapped[handler] = lambda said: handler(said) if said.severity == "NOTICE" else None
        add(wrapped[handler])

    connection.add_notice_handler = add_for_notices  # type: ignore[method-assign]
    connection.remove_notice_handler = lambda handler: remove(  # type: ignore[method-assign]
        wrapped.pop(handler)
    )
    for setting in (
        "set role none",  # the owner's role is no superuser, and only one may load this
        "load 'auto_explain'",
        "set auto_explain.log_min_duration = 0",
        "set auto_explain.log_analyze = on",
        "set auto_explain.log_timing = off",
        "set auto_explain.log_format = json",
        "set client_min_messages = log",
        f"set role {LOADER}",
    ):
        connection.execute(setting)
