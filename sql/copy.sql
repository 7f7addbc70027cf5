-- name: out
-- Stream a query's rows out in binary. One row a row of the query.
copy {query} to stdout (format binary);  -- noqa: PRS, the linter knows this of tables only

-- name: into
-- Take rows in binary into a table. One row a row sent.
copy {table} from stdin (format binary);  -- noqa: PRS, the linter knows no binary form
