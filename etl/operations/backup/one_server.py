"""Backups are of one server: what several have at one moment is no matter of one of them."""

from __future__ import annotations

from etl.server.topology import require_one_server


def refuse_cluster(url: str) -> None:
    """Raise ``ServerError`` where the database is that of a cluster."""
    require_one_server(
        url,
        "Backups and restores are of one server, and the database is a cluster of several.",
        "Back up all of its nodes at one point: docs/runbooks/cluster.md. Nothing was changed.",
    )
