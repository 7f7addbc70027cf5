-- Steps that are the same for any table, temporary ones among them.

-- name: analyze
-- Statistics of all columns of a table. No rows.
analyze {table};

-- name: analyze_columns
-- Statistics of the columns by which a table is joined and grouped, of which sorting the values
-- costs least. No rows.
analyze {table} ({columns});

-- name: drop
-- Make room for another table of this name. No rows.
drop table {table};
