#!/bin/sh
# Makes, starts and stops a cluster of its own in a directory.
#
#   cluster.sh make DIR PORT     initdb, settings, start, and the schema in database "peers"
#   cluster.sh start DIR         of one that was made
#   cluster.sh stop DIR          in order, with a checkpoint
#   cluster.sh remove DIR        stops it and deletes the directory
#
# PostgreSQL refuses to run as root; root gets the user postgres instead. Sessions need no password,
# from loopback and DIR/socket only. PG_BIN says where the programs are, when not in Debian's place.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
bin=${PG_BIN:-/usr/lib/postgresql/15/bin}

as_user() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid postgres --regid postgres --init-groups env HOME=/tmp "$@"
  else
    "$@"
  fi
}

start() {
  as_user "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -s start
}

make() {
  if [ -e "$dir/data" ]; then
    echo "$dir/data exists" >&2
    exit 1
  fi
  mkdir -p "$dir/socket"
  if [ "$(id -u)" = 0 ]; then chown postgres "$dir" "$dir/socket"; fi
  as_user "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale C >"$dir/initdb.log"
  {
    cat "$here/postgresql.fragment.conf"
    echo "port = $1"
    echo "unix_socket_directories = '$dir/socket'"
  } >>"$dir/data/postgresql.conf"
  start
  "$bin/createdb" -h "$dir/socket" -p "$1" -U postgres peers
  "$bin/psql" -h "$dir/socket" -p "$1" -U postgres -d peers -q -v ON_ERROR_STOP=1 \
    -f "$here/schema.sql"
}

stop() {
  as_user "$bin/pg_ctl" -D "$dir/data" -m fast -w -s stop
}

[ $# -ge 2 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2; }
work=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
case $work in
  make) make "${3:?a port}" ;;
  start) start ;;
  stop) stop ;;
  remove)
    if as_user "$bin/pg_ctl" -D "$dir/data" status >"$dir/status.log" 2>&1; then stop; fi
    rm -rf "$dir"
    ;;
  *) echo "no such work: $work" >&2; exit 2 ;;
esac
