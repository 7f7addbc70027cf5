"""The stage ``facts``: from staging to the facts."""
