"""The stage ``dims``: from staging to the dimensions."""
