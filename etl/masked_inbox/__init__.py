"""The masked inbox: the inbox once more with invented people, a limited data set.

- ``people``: invented values in place of those that name a person
- ``rows``: the records of a file, one for one
- ``files``: a file's bytes, of which only the fields that are replaced differ
- ``copy``: the whole folder, there at its end or not at all

It is on the floor of the quarantine: like the quarantine it reads files as the stage does and asks
what becomes of rows that cannot be read, while ``etl/access`` only says what each column is.
"""
