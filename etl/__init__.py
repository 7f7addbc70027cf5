"""The ACA warehouse: feeds in, a star schema and cubes on PostgreSQL out."""

from etl.pipeline import stopping

stopping.end_while_loading()
