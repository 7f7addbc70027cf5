-- What a statement that returns the rows that break rules comes to.

-- name: counted
-- The rows that break rules, counted, with the keys of up to a hundred a rule, and how many rows
-- there are of which the rule can say anything. One row per rule.
with failing as materialized (
    {failing}
),

counted as (
    select
        rule,
        count(*) as rows_failed
    from failing
    group by rule
),

shown as (
    select
        rule,
        jsonb_agg(to_jsonb(keys) - 'rule' - 'place' order by place) as failing_keys
    from (
        select
            rule,
            {keys},
            row_number() over (partition by rule order by {keys}) as place
        from failing
    ) as keys
    where place <= 100
    group by rule
)

select
    r.rule,
    checked.rows_checked,
    coalesce((checked.judged ->> r.rule)::bigint, checked.rows_checked) as rows_judged,
    coalesce(c.rows_failed, 0) as rows_failed,
    coalesce(s.failing_keys, '[]') as failing_keys
from unnest(%(rules)s::text[]) as r (rule)
cross join ({checked}) as checked
left join counted as c on r.rule = c.rule
left join shown as s on r.rule = s.rule;
