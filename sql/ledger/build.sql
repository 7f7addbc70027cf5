-- Which loads a build of the warehouse consists of: what a person reads, or the next full load.

-- name: is_of_build
-- Whether a load (l) is one of the build, or on its way there; of a full load only its own are. A
-- fragment.
l.status = any(%(statuses)s)  -- noqa: PRS, a condition
and (l.is_rebuild or not %(is_rebuild)s)
