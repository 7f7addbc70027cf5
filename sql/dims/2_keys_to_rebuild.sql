-- Keys to rebuild: those of which the simple path might get the history wrong. They get a number.
-- Here the row of A is dated before the current version; B is left to the simple path.
--
-- before:
--   member_id | last_name | valid_from | valid_until
--   A         | Ames      | 1900-01-01 | 2025-03-01
--   A         | Archer    | 2025-03-01 | 9999-12-31
--   B         | Bell      | 1900-01-01 | 9999-12-31
--
-- arrivals, delta as of 2025-04-01:
--   member_id | last_name | source_updated_at
--   A         | Abbott    | 2025-02-01T00:00:00Z
--   B         | Baker     |
--
-- after, the table key_to_rebuild:
--   key_id | member_id
--   1      | A

-- name: create_candidate
-- Keys that the simple path might get wrong. One row per key and reason.
create temporary table rebuild_candidate on commit drop as
select {keys}
from {dim}
with no data;

-- name: add_late
-- Rows that are not the latest of their key. One row per arrival.
insert into rebuild_candidate ({keys})
select {keys}
from arrival
where class = 'late'
    or %(out_of_order)s
    or (class = 'absent' and effective_ts >= %(as_of)s::timestamptz at time zone 'UTC');

-- name: add_repeated
-- Keys that come more than once; rows that mean nothing by themselves are not among the arrivals.
-- One row per key.
insert into rebuild_candidate ({keys})
select {keys}
from arrival
where class <> 'absent'
group by {keys}
having count(*) > 1
union all
select {keys}
from arrival as a
where class in ('changed', 'same', 'gone')
    and exists (
        select 1
        from {staging} as s
        where s.load_id = %(load_id)s and {same_key_s_a} and s.source_line <> a.source_line
    );

-- name: add_returning
-- Keys that come again after a gap, and keys of which a delete marker came before they did.
-- One row per arrival.
insert into rebuild_candidate ({keys})
select {keys}
from arrival
where class = 'new' and ({keys}) in (select {keys} from {dim})
union all
select {keys}
from arrival
where class in ('new', 'inferred')
    and ({keys}) in (select {keys} from {staging} as s where {marked});

-- name: add_marked
-- A snapshot brings back what a marker removed, also where its row changes nothing, and ends at
-- its own time what was to end later. One row per key.
insert into rebuild_candidate ({keys})
select {keys}
from {staging} as s
where {marked} and ({keys}) in (select {keys} from {staging} where load_id = %(load_id)s)
union all
select {keys}
from {dim}
where not current_flag
    and validity_end_ts > %(as_of)s::timestamptz at time zone 'UTC';

-- name: add_all_versions
-- A snapshot that comes out of order may concern any key. One row per version.
insert into rebuild_candidate ({keys})
select {keys}
from {dim}
where {sk} > 0 and not is_inferred;

-- name: candidates_of_dimension
-- Every key that staging or the dimension has. One row per key.
create temporary table rebuild_candidate on commit drop as
select {keys}
from {staging}
where load_id in (select load_id from build_load)
union
select {keys}
from {dim}
where {sk} > 0;

-- name: candidates_of_corrections
-- The keys of rows that were corrected in staging. One row per row.
create temporary table rebuild_candidate on commit drop as
select {keys}
from {staging}
where load_id = any(%(loads)s) and source_line = any(%(lines)s);

-- name: number_keys
-- The keys whose history is rebuilt from all that staging has of them, numbered in key order: the
-- statements of the rebuild know a key by its number. One row per key.
create temporary table key_to_rebuild on commit drop as
select
    row_number() over (order by {keys}) as key_id,
    {keys}
from rebuild_candidate
group by {keys};

-- name: remove_from_arrivals
-- Keys to rebuild take no part in the simple path. One row per arrival removed.
delete from arrival
where ({keys}) in (select {keys} from key_to_rebuild);
