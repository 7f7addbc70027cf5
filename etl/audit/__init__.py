"""Audit: who looked at whom, from the server's log to an answer for a member.

- ``server_log``: lines of the log to entries
- ``looks``: entries into ``audit.look``, each once
- ``chain``: whether rows are as they came, and which were the last
- ``disclosures``: what people disclosed
- ``who_looked``: who looked at a member
"""
