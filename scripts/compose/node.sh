#!/bin/sh
# Begin a container of a cluster: write the file from which libpq takes the password when a node logs
# in to another, whatever role asks; then do what the image does.
#
#   node.sh COMMAND...     PGPASSFILE: that file; POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE
set -eu
escaped() {
    if [ -n "${POSTGRES_PASSWORD-}" ]; then
        printf '%s' "$POSTGRES_PASSWORD"
    else
        printf '%s' "$(cat "$POSTGRES_PASSWORD_FILE")"
    fi | sed 's/[\\:]/\\&/g'
}
umask 077
# A colon ends a field of the file, and a backslash takes the next sign as it is.
printf '*:*:*:*:%s\n' "$(escaped)" >"$PGPASSFILE"
if [ "$1" = postgres ]; then
    chown postgres "$PGPASSFILE"
    exec docker-entrypoint.sh "$@"
fi
exec "$@"
