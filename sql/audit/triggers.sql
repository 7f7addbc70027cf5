-- What keeps the tables of audit append-only and chains their rows.

-- name: add_link
-- Chains the rows of {chain}.
create or replace trigger {trigger} before insert on {table}
for each row execute function {schema}.add_link();

-- name: refuse_change
-- Refuses changes of rows of {chain}.
create or replace trigger {trigger} before update or delete or truncate on {table}
for each statement execute function {schema}.refuse_change();
