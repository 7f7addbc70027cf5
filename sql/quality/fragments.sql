-- Parts of other statements.

-- name: is_open
-- Whether rejected rows q of a load l and its file f wait for somebody: rows of the live build, and
-- of a refused file until another of its batch and feed comes, through or not. A fragment.
(  -- noqa: PRS, a condition
    l.status in ('loaded', 'running')
    or (
        f.status = 'refused'
        and not exists (
            select 1
            from ledger.load as later
            inner join ledger.load_file as other on later.load_id = other.load_id
            where later.load_id > q.load_id
                and later.batch_id = l.batch_id
                and other.feed = q.feed
                and (not later.is_rebuild or later.status = 'loaded')
        )
    )
)
