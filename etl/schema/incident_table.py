"""The ledger's table of incidents: when a service level was broken, noticed and met again."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    Double,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from etl.schema.ledger_tables import INSTANT, one_of


def incidents(metadata: MetaData) -> None:
    """Incidents, also those of times at which the database was down."""
    incident = Table(
        "incident",
        metadata,
        Column(
            "incident_id",
            Text,
            nullable=False,
            comment="When it was detected, UTC, with the objective and its subject.",
        ),
        Column("objective", Text, nullable=False, comment="The service level that was broken."),
        Column(
            "subject",
            Text,
            nullable=False,
            server_default=text("''"),
            comment="The feed, report or sender that it is about, where there is more than one.",
        ),
        Column("severity", Text, nullable=False, comment="warning or breach."),
        Column("began_at", INSTANT, nullable=False, comment="When the objective was first broken."),
        Column("detected_at", INSTANT, nullable=False, comment="When make health noticed."),
        Column(
            "measured",
            Double,
            comment="What was measured then, in the objective's unit (docs/operations); empty if "
            "nothing could be.",
        ),
        Column("allowed", Double, comment="What was allowed then, in the same unit."),
        Column("acknowledged_at", INSTANT, comment="When somebody took it on."),
        Column("acknowledged_by", Text, comment="Who took it on."),
        Column("resolved_at", INSTANT, comment="When make health saw the objective met again."),
        Column("alerted_at", INSTANT, comment="When a receiver took the latest alert about it."),
        Column(
            "recovery_alerted_at", INSTANT, comment="When a receiver took the alert of its end."
        ),
        PrimaryKeyConstraint("incident_id"),
        one_of("severity", ("warning", "breach")),
        CheckConstraint("began_at <= detected_at", name="detected"),
        CheckConstraint("resolved_at >= detected_at", name="resolved"),
        CheckConstraint(
            "(acknowledged_at is null) = (acknowledged_by is null)", name="acknowledged"
        ),
        schema="ledger",
        comment="Times at which a service level was broken. One row per incident.",
    )
    Index(
        None,
        incident.c.objective,
        incident.c.subject,
        unique=True,
        postgresql_where=text("resolved_at is null"),
    )
