-- How a server says that it skips a row, asked where that may not be in English.

-- name: language
-- The language of the server's messages, empty where its environment says it. One row.
select current_setting('lc_messages') as language;

-- name: filled
-- A number that is never missing. No row.
create domain pg_temp.filled as bigint not null;

-- name: table
-- A table of such numbers. No row.
create temporary table probe (probed_column pg_temp.filled);

-- name: copy_in
-- Rows of the table, of which one has another value and one has none. One row per number.
copy probe from stdin with (format csv, on_error ignore, log_verbosity verbose);
