-- Rows of a snapshot that the snapshot before it has too: access.row_fingerprint.

-- name: before
-- The load before of a feed whose rows were read in the same way, with their fingerprints.
-- At most one row.
select
    r.load_id,
    r.fingerprints
from access.row_fingerprint as r
inner join load as l on r.load_id = l.load_id
inner join load as own on own.load_id = %(load_id)s
inner join load_file as f on r.load_id = f.load_id and r.feed = f.feed
where r.feed = %(feed)s and r.form = %(form)s and r.load_id < %(load_id)s
    and f.status = 'loaded'
    and octet_length(r.fingerprints) = 16 * f.rows_loaded
    and l.build_id = own.build_id
order by r.load_id desc
limit 1;

-- name: forget
-- Forget what is kept of other loads of the feed. While a rebuild is made, what readers see keeps
-- its own. One row per load.
delete from access.row_fingerprint as r
using load as l, load as own
where r.load_id = l.load_id and own.load_id = %(load_id)s
    and r.feed = %(feed)s and r.load_id <> %(load_id)s
    and (l.build_id = own.build_id or l.status not in ('running', 'loaded'));

-- name: record
-- Keep the fingerprints of a load's rows, and which lines the load before does not have. One row.
insert into access.row_fingerprint (load_id, feed, form, fingerprints, same_as_load_id, other_lines)
values (
    %(load_id)s,
    %(feed)s,
    %(form)s,
    %(fingerprints)s,
    %(same_as_load_id)s,
    %(other_lines)s::bigint[]
);

-- name: forget_all
-- Forget what is kept of every load: a row of it may be of a member who is erased. One row per load
-- and feed.
delete from access.row_fingerprint;
