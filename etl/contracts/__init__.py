"""What data must look like: feeds, their columns, senders, and the words of checks.

Nothing here imports from elsewhere but the errors.
"""
