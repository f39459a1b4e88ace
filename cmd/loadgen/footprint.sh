#!/usr/bin/env bash
# footprint.sh measures what Portvakt takes before it does anything: the size of the stripped binary, the time from
# exec to the first answer on a migrated SQLite file (median of 15), and its memory when idle. It leaves nothing behind.
#
# Exit status: 0 every goal is met, 1 a goal is missed.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
  printf 'footprint.sh: %s\n' "$*" >&2
  exit 1
}

# free_port prints a port of 127.0.0.1 on which nobody answers.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 20000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      printf '%s\n' "$port"
      return
    fi
  done
}

make -s build
CGO_ENABLED=0 go build -o bin/loadgen ./cmd/loadgen

port=$(free_port)
export PORTVAKT_ISSUER=http://127.0.0.1:$port PORTVAKT_LISTEN=127.0.0.1:$port
export PORTVAKT_DATABASE=sqlite:$work/portvakt.db PORTVAKT_KEYS=$work/keys
bin/portvakt migrate >"$work/log" 2>&1 || die "migrate: $(tail -n 3 "$work/log")"

# The first start makes the keys; it is not the one that is meant, so it is taken apart from the rest.
cold() {
  bin/loadgen -mode cold -base "$PORTVAKT_ISSUER" -path /.well-known/openid-configuration -exec 'bin/portvakt serve' "$@" \
    >>"$work/log" 2>&1 || die "cold start: $(tail -n 3 "$work/log")"
}
cold -n 1
cold -n 15 -json "$work/line"

value() { sed -n 's/.*"'"$1"'":\([0-9.e+-]*\).*/\1/p' "$work/line"; }

bytes=$(wc -c <bin/portvakt)
awk -v bytes="$bytes" -v ms="$(value cold_ms)" -v rss="$(value rss_mib)" 'BEGIN {
  printf "%-12s %10s %8s  %s\n", "what", "is", "goal", "ok"
  missed += line("binary MiB", bytes / 1048576, 22)
  missed += line("cold ms", ms, 30)
  missed += line("idle MiB", rss, 40)
  exit missed > 0
}
function line(what, is, goal) {
  printf "%-12s %10.1f %8d  %s\n", what, is, goal, is <= goal ? "yes" : "NO"
  return is > goal
}'
