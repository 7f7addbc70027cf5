#!/bin/sh
# What the container of docker-compose.yml needs before its server starts: a password, and in a folder
# server.key (mode 0600), server.crt, and ca.crt, by which clients know the server. Files that are
# there stay, until a month before they end: then clients need the new ca.crt.
#
#   prepare.sh FOLDER OWNER     OWNER: the system user that runs the server
#   PASSWORD_GIVEN: variable or file, as POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE is set
#   PASSWORD_FILE: where that file is, if not where compose puts it
set -eu
folder=$1
owner=$2

refuse() {
    echo "$1" >&2
    exit 2
}

# The rules of etl/config.py for the files of secrets.
check_file() {
    [ -r "$1" ] || refuse 'POSTGRES_PASSWORD_FILE names a file that cannot be read.'
    grep -q '[^[:space:]]' "$1" || refuse 'POSTGRES_PASSWORD_FILE names a file that is empty.'
    case $(stat -c %a "$1") in
    *00) ;;
    *) refuse 'POSTGRES_PASSWORD_FILE names a file that others may read: chmod 600 it.' ;;
    esac
}

case ${PASSWORD_GIVEN:-} in
variable) ;;
file) check_file "${PASSWORD_FILE:-/run/secrets/postgres_password}" ;;
*) refuse 'Set one of POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE in .env, and not both.' ;;
esac
# The certificate is put in place last: where it is, the others are.
if openssl x509 -in "$folder/server.crt" -noout -checkend 2592000 >/dev/null 2>&1; then
    exit 0
fi

umask 077
new=$folder/new
rm -rf "$new"
mkdir -p "$new"
key='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
# shellcheck disable=SC2086  # several words each
openssl req -x509 $key -keyout "$new/ca.key" -out "$new/ca.crt" -days 3650 \
    -subj '/CN=ACA warehouse authority' -addext 'keyUsage=critical,keyCertSign'
# shellcheck disable=SC2086
openssl req $key -keyout "$new/server.key" -out "$new/server.csr" -subj '/CN=localhost'
cat >"$new/names" <<'EOF'
subjectAltName = DNS:localhost, DNS:postgres, IP:127.0.0.1, IP:::1
extendedKeyUsage = serverAuth
EOF
openssl x509 -req -in "$new/server.csr" -CA "$new/ca.crt" -CAkey "$new/ca.key" -CAcreateserial \
    -extfile "$new/names" -days 3650 -out "$new/server.crt"

chown "$owner" "$new/server.key" "$new/server.crt"
chmod 755 "$folder"
chmod 644 "$new/ca.crt" "$new/server.crt"
for file in server.key ca.crt server.crt; do
    mv "$new/$file" "$folder/$file"
done
# With it goes the authority's own key: nobody can sign another certificate.
rm -rf "$new"
