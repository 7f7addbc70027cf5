-- name: hash
-- The attribute hash of change drivers in their declared order. A fragment.
encode(substring(sha256(record_send(row({drivers}))) for 16), 'hex')::uuid
