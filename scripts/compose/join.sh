#!/bin/sh
# Let the coordinator of a cluster know its workers. Those that it knows stay as they are.
#
#   join.sh COORDINATOR WORKER...     names of hosts; then it waits, so that compose sees that it is done
set -eu
coordinator=$1
shift
ask() {
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --host="$coordinator" --username=aca_owner \
        --dbname=aca_warehouse --output=/dev/null --set=host="$2" <<EOF
$1
EOF
}
ask "select citus_set_coordinator_host(:'host', 5432);" "$coordinator"
for worker in "$@"; do
    ask "select citus_add_node(:'host', 5432);" "$worker"
done
touch /run/joined
exec sleep infinity
