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
    -- A hundred of each rule, without all of them in order.
    select
        r.rule,
        jsonb_agg(to_jsonb(s.keys) - 'rule' order by s.place) as failing_keys
    from unnest(%(rules)s::text[]) as r (rule)
    cross join lateral (
        select
            keys,
            row_number() over () as place
        from (
            select
                rule,
                {keys}
            from failing
            where rule = r.rule
            order by {keys}
            limit 100
        ) as keys
    ) as s
    group by r.rule
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
