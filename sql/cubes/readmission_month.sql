-- readmission_month: stays in hospital by month of discharge, and how many patients came back.
-- Grain: one row per month in which a stay ended.
-- Units: counts of stays; a rate of index stays.
-- Assumptions:
--   * Stays, index stays and readmissions: see inpatient_stay.
--   * A readmission counts in the month of the discharge that it follows.
--   * In the last months days after discharge are not complete yet: fewer stays are index stays,
--     and the rate is of these. It is empty where there are none.

-- name: definition
-- The cube as a plain query. One row per month of discharge.
select
    date_trunc('month', discharge_date::timestamp)::date as month,
    count(*) as stays,
    count(*) filter (where is_planned) as planned_stays,
    count(*) filter (where is_index) as index_stays,
    count(readmission_stay_id) as readmissions,
    round(
        count(readmission_stay_id)::numeric / nullif(count(*) filter (where is_index), 0), 4
    ) as readmission_rate
from inpatient_stay
group by date_trunc('month', discharge_date::timestamp);

-- name: columns
-- What each column means, for the catalog, and which identifier of a person it is, for
-- etl/access/classification.py, which reads it. Of a measure only what is so of this column: the
-- rest is declared in etl/warehouse/measures.py. One row per column.
select
    c.column_name,
    c.description
from (
    values
    ('month', 'none', 'First day of the month of discharge.'),
    ('stays', 'none', ''),
    ('planned_stays', 'none', ''),
    ('index_stays', 'none', ''),
    ('readmissions', 'none', ''),
    ('readmission_rate', 'none', '')
) as c (column_name, identifier, description);
