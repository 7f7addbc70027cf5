-- Rows as Python has them, in a table whose columns they name.

-- name: insert
-- Add a row. One row.
insert into {table} ({columns})
values ({values});

-- name: insert_or_change
-- Add a row, or change the one that has its key. One row.
insert into {table} ({columns})
values ({values})
on conflict ({key}) do update
    set ({columns}) = ({excluded});
