"""The stage ``stage``: the files of a batch into their staging tables."""
