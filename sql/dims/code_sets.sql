-- Codes: each code that a load names gets one row, which the reference tables describe.
--
--   arrivals  claim  diagnosis_code      after  diagnosis_sk  diagnosis_code  title
--             C1     E11.9                      1             E119            Type 2 diabetes ...
--             C2     E119                       2             ZZZ             Unknown
--             C3     zzz

-- name: missing
-- The codes that the load names and that the dimension lacks. One row per code.
select named.code
from ({named}) as named
where named.code is not null
    and not exists (
        select 1
        from {dim} as d
        where d.{code} = named.code
    );

-- name: named
-- The codes that a column of the load's rows names, each spelling looked at once. One row per
-- code, or more where it is written in several ways. A fragment.
select {value} as code
from (select distinct {written} from {staging} where load_id = %(load_id)s) as s;

-- name: extend
-- Add codes, in order, so that a rebuild gives the same keys. One row per code.
insert into {dim} ({sk}, {code}, {attributes}, load_id)
select
    (select greatest(max({sk}), 0) from {dim}) + row_number() over (order by r.{code}),
    r.{code},
    {attributes_of_row},
    %(made_by)s
from jsonb_populate_recordset(null::{dim}, %(rows)s::jsonb) as r;

-- name: ensure_unknown
-- The row for no code. One row, once.
insert into {dim} ({sk}, {attributes}, load_id)
select
    -1,
    {attributes_of_row},
    0
from jsonb_populate_recordset(null::{dim}, %(rows)s::jsonb) as r
on conflict ({sk}) do nothing;
