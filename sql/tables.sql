-- Steps that are the same for any table, temporary ones among them.

-- name: analyze
-- Statistics of all columns of a table. No rows.
analyze {table};

-- name: drop
-- Make room for another table of this name. No rows.
drop table {table};
