"""The ACA warehouse: feeds in, a star schema and cubes on PostgreSQL out."""

from etl import early

early.listen()
