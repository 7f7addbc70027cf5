-- Temporary tables of a stage. They are dropped after use, because a stage makes them once a load.

-- name: analyze
-- Statistics for the joins that follow. No rows.
analyze {name};

-- name: drop
-- Make room for the next load, fact or dimension. No rows.
drop table {name};
