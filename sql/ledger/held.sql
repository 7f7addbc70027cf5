-- Feeds of a sender whose files wait because several in a row were refused. A sender is the
-- contract that a manifest names, or else that of the feed itself, which has its name.

-- name: trip
-- Let the files of a sender and feed wait of which so many in a row were refused: distinct files in
-- the order in which they first came, each as it was judged last. What came before the feed was
-- last resumed does not count. One row per feed that waits from now on.
with resumed as (
    select
        sender,
        feed,
        max(after_load_id) as load_id
    from held_feed
    where resumed_at is not null
    group by sender, feed
),

files as (
    select
        coalesce(f.sender, f.feed) as sender,
        f.feed,
        min(f.load_id) as load_id,
        (array_agg(f.status order by f.load_id desc))[1] = 'refused' as is_refused
    from load_file as f
    where f.status in ('loaded', 'skipped', 'refused', 'superseded')
    group by coalesce(f.sender, f.feed), f.feed, f.xxh3_128
),

refused as (
    select
        f.sender,
        f.feed,
        max(f.load_id) as after_load_id
    from files as f
    left join resumed as r on f.sender = r.sender and f.feed = r.feed
    where f.is_refused
        and f.load_id > coalesce(r.load_id, 0)
        and not exists (
            select 1
            from files as good
            where good.sender = f.sender and good.feed = f.feed
                and not good.is_refused and good.load_id > f.load_id
        )
    group by f.sender, f.feed
    having count(*) >= %(most)s
)

insert into held_feed (sender, feed, after_load_id)
select
    sender,
    feed,
    after_load_id
from refused
on conflict (sender, feed) where resumed_at is null do nothing
returning
    sender,
    feed;

-- name: open
-- Feeds of senders whose files wait, since when. One row per sender and feed.
select
    sender,
    feed,
    held_since
from held_feed
where resumed_at is null
order by sender, feed;

-- name: resume
-- Let the files of a sender load again, of all feeds or one. One row per feed that waited.
update held_feed
set
    resumed_at = clock_timestamp(),
    resumed_by = %(os_user)s
where sender = %(sender)s and resumed_at is null
    and (%(feed)s::text is null or feed = %(feed)s)
returning feed;
