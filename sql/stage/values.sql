-- Values that fit their type and that no row can be placed by.

-- name: set_aside
-- Take out the rows with a value for which no row can stay.
-- One row per line taken out, with the first column at fault.
delete from {table}
where load_id = %(load_id)s and ({is_fault})
returning source_line, {at_fault};

-- name: empty_references
-- Empty references to other feeds that are words for a missing value. One row per line.
update {table}
set {reference} = null
where load_id = %(load_id)s and {is_null_word};
