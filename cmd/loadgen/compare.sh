#!/usr/bin/env bash
# compare.sh measures Portvakt on PostgreSQL beside a bare net/http server on the same core, and prints for each
# operation its share of that yardstick, the goal, and whether it is met. A share travels between machines; a bare
# figure does not. Each operation is measured in short rounds, with the yardstick before and after it; the share is the
# median of the rounds. Where the host of a virtual machine took more than 2 % of a measurement it tells of the host: another
# round is made, TRIES in all; the column "rounds" says how many were counted.
#
# Of the columns before the last, "trips" is the bare server that makes the same reads and durable writes of the same
# Postgres, by the same storage, and does nothing else, and "of those" Portvakt's share of that. Where a disk's fsync decides, the
# first share tells of the disk and this one of Portvakt; a goal over what the trips alone reach cannot be met on that machine.
#
# It needs Linux with two cores, taskset, Go and PostgreSQL's server binaries, and leaves nothing behind.
#
#   DURATION=1s   how long each measurement of a round lasts
#   ROUNDS=5      rounds of an operation
#   TRIES=20      rounds at most, with those that are not counted
#   WORKERS=8     concurrent clients
#
# Exit status: 0 every goal is met, 1 a goal is missed or could not be measured.
set -euo pipefail
cd "$(dirname "$0")/../.."

duration=${DURATION:-1s}
rounds=${ROUNDS:-5}
tries=${TRIES:-20}
workers=${WORKERS:-8}
redirect=http://127.0.0.1:5555/callback
user=bench
totp=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP
client=bench

work=$(mktemp -d)
pgdir=$(mktemp -d)
pids=()
pgbin=
failed=0

die() {
  printf 'compare.sh: %s\n' "$*" >&2
  exit 1
}

# as_pg runs PostgreSQL's programs, which refuse to run as root, as the user that Debian's packages make.
as_pg() (
  cd /
  if [ "$(id -u)" -eq 0 ]; then
    runuser -u postgres -- "$@"
  else
    "$@"
  fi
)

# shellcheck disable=SC2317 # called by trap
cleanup() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  if [ -f "$pgdir/data/postmaster.pid" ]; then
    as_pg "$pgbin/pg_ctl" -D "$pgdir/data" -m immediate stop >/dev/null 2>&1 || true
  fi
  rm -rf "$work" "$pgdir"
}
trap cleanup EXIT

random() { od -An -tx1 -N 24 /dev/urandom | tr -d ' \n'; }

# free_port prints a port of 127.0.0.1 on which nobody answers, and from which nobody has just gone.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 10000))
    if ! grep -qi ":$(printf '%04x' "$port") " /proc/net/tcp /proc/net/tcp6; then
      printf '%s\n' "$port"
      return
    fi
  done
}

# http_get PORT PATH prints the whole answer. HTTP/1.0: no chunks, and the server closes.
http_get() (
  exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
  printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\n\r\n' "$2" "$1" >&3
  cat <&3
) 2>/dev/null

# wait_200 PORT PATH PID LOG returns when PATH answers 200, and ends the script when the process does or after 30 s.
wait_200() {
  local i answer
  for ((i = 0; i < 300; i++)); do
    kill -0 "$3" 2>/dev/null || die "the server ended before it answered: $(tail -n 3 "$4")"
    answer=$(http_get "$1" "$2") || answer=
    case ${answer%%$'\r'*} in
    'HTTP/1.'?' 200'*) return ;;
    esac
    sleep 0.1
  done
  die "no 200 from $2 in 30 s: $(tail -n 3 "$4")"
}

find_postgres() {
  local dir
  for dir in "$(pg_config --bindir 2>/dev/null)" "$(dirname "$(command -v initdb || true)")" /usr/lib/postgresql/*/bin; do
    if [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ]; then
      pgbin=$dir
    fi
  done
  [ -n "$pgbin" ] || die 'PostgreSQL is missing; run: .ci/setup'
}

# start_postgres makes a cluster with the settings of a plain installation: every commit is durable.
start_postgres() {
  find_postgres
  if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$pgdir"
  fi
  pgport=$(free_port)
  as_pg "$pgbin/initdb" -D "$pgdir/data" -U portvakt -A trust -E UTF8 --locale=C >"$work/initdb.log" 2>&1 ||
    die "initdb: $(tail -n 3 "$work/initdb.log")"
  as_pg "$pgbin/pg_ctl" -D "$pgdir/data" -l "$pgdir/log" -w \
    -o "-p $pgport -c listen_addresses=127.0.0.1 -k $pgdir" start >/dev/null || die "pg_ctl: $(tail -n 3 "$pgdir/log")"
  as_pg "$pgbin/createdb" -h 127.0.0.1 -p "$pgport" -U portvakt portvakt
  as_pg "$pgbin/createdb" -h 127.0.0.1 -p "$pgport" -U portvakt bare
}

build() {
  make -s build
  CGO_ENABLED=0 go build -o bin/loadgen ./cmd/loadgen
}

start_hello() {
  hello_port=$(free_port)
  taskset -c 0 bin/loadgen -mode serve-hello -listen "127.0.0.1:$hello_port" \
    -database "postgres://portvakt@127.0.0.1:$pgport/bare?sslmode=disable" 2>"$work/hello.log" &
  pids+=($!)
  wait_200 "$hello_port" / $! "$work/hello.log"
}

start_portvakt() {
  local port
  port=$(free_port)
  secret=$(random)
  password=$(random)
  issuer=http://127.0.0.1:$port
  export PORTVAKT_ISSUER=$issuer PORTVAKT_LISTEN=127.0.0.1:$port PORTVAKT_KEYS=$work/keys
  export PORTVAKT_DATABASE="postgres://portvakt@127.0.0.1:$pgport/portvakt?sslmode=disable"
  cat >"$work/apply.yaml" <<EOF
groups: [staff]
users:
  - username: $user
    name: Bench
    groups: [staff]
    password: $password
    totp: otpauth://totp/Portvakt:$user?secret=$totp&issuer=Portvakt
clients:
  - client_id: $client
    client_name: Bench
    client_secret: $secret
    redirect_uris: ["$redirect"]
    grant_types: [authorization_code, refresh_token, client_credentials]
    token_endpoint_auth_method: client_secret_basic
    id_token_signed_response_alg: ES256
    scope: openid profile email offline_access
EOF
  bin/portvakt migrate >"$work/portvakt.log" 2>&1 || die "migrate: $(tail -n 3 "$work/portvakt.log")"
  bin/portvakt apply -f "$work/apply.yaml" >"$work/portvakt.log" 2>&1 || die "apply: $(tail -n 3 "$work/portvakt.log")"
  taskset -c 0 bin/portvakt serve >"$work/portvakt.log" 2>&1 &
  server=$!
  pids+=("$server")
  wait_200 "$port" /readyz "$server" "$work/portvakt.log"
  discovery=$(http_get "$port" /.well-known/openid-configuration)
}

# endpoint NAME prints a URL of the discovery document, where every other address is found (docs/contract.md §3).
endpoint() {
  local url
  url=$(printf '%s\n' "$discovery" | sed -n 's/.*"'"$1"'"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p')
  [ -n "$url" ] || die "discovery has no $1"
  printf '%s\n' "$url"
}

# sign_in prints the Cookie value ("name=value; name=value") of a session in which $user has given password and code.
sign_in() {
  bin/loadgen -mode sign-in -base "$issuer" -form "username=$user&password=$password" -totp "$totp" 2>>"$work/loadgen.log"
}

# ticks prints how many the host took from the two cores since the machine came up, and how many there were.
ticks() { awk '/^cpu[01] / { for (i = 2; i <= 9; i++) all += $i; taken += $9 } END { printf "%.0f %.0f\n", taken, all }' /proc/stat; }

# measure ARGUMENTS sets ops and errs from one run of loadgen on core 1, and robbed to 1 if the host took more than 2 % of it.
measure() {
  local taken0 all0 taken all
  rm -f "$work/line"
  read -r taken0 all0 < <(ticks)
  taskset -c 1 bin/loadgen -c "$workers" -d "$duration" -warm 200ms -json "$work/line" "$@" >>"$work/loadgen.log" 2>&1 ||
    die "loadgen: $(tail -n 3 "$work/loadgen.log")"
  read -r taken all < <(ticks)
  ops=$(sed -n 's/.*"ops":\([0-9.e+-]*\).*/\1/p' "$work/line")
  errs=$(sed -n 's/.*"errs":\([0-9]*\).*/\1/p' "$work/line")
  robbed=0
  [ $(((taken - taken0) * 50)) -le $((all - all0)) ] || robbed=1
}

# yardstick PATH measures the bare server.
yardstick() {
  measure -mode get -base "http://127.0.0.1:$hello_port" -path "$1"
  [ "$errs" -eq 0 ] || die "the bare server had $errs errors: $(tail -n 3 "$work/hello.log")"
}

# measure_hello sets hello, and hello_robbed as measure sets robbed.
measure_hello() {
  yardstick /
  hello=$ops hello_robbed=$robbed
}

# bare PATH… sets bare to what the bare server makes of requests for these in turn.
bare() {
  local path seconds=0 any=0
  for path; do
    yardstick "$path"
    any=$((any + robbed))
    seconds=$(awk -v s="$seconds" -v ops="$ops" 'BEGIN { print s + 1 / ops }')
  done
  bare=$(awk -v s="$seconds" 'BEGIN { print 1 / s }')
  robbed=$any
}

# round PATHS ARGUMENTS measures one operation between two yardsticks, and the same trips of the bare server, and adds a line to
# $work/rounds. It fails if the host took too much of any of them.
round() {
  local paths=$1 before=$hello any=$hello_robbed got
  shift
  measure -pid "$server" -id "$client" -secret "$secret" -redirect "$redirect" -scope 'openid offline_access' \
    -token "$(endpoint token_endpoint)" -authz "$(endpoint authorization_endpoint)" \
    -userinfo "$(endpoint userinfo_endpoint)" -introspect "$(endpoint introspection_endpoint)" "$@"
  got=$ops
  any=$((any + robbed)) errors=$((errors + errs))
  # shellcheck disable=SC2086 # several
  bare $paths
  any=$((any + robbed))
  measure_hello
  [ $((any + hello_robbed)) -eq 0 ] || return 1
  awk -v got="$got" -v bare="$bare" -v a="$before" -v b="$hello" 'BEGIN { h = (a + b) / 2; print got / h, got, bare, got / bare, bare / h }' >>"$work/rounds"
}

# median COLUMN prints that of $work/rounds.
median() {
  sort -n -k "$1,$1" "$work/rounds" | awk -v c="$1" '{ v[NR] = $c } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# row NAME GOAL PATHS ARGUMENTS measures one operation in rounds and prints its line; goal "-" is for interest.
row() {
  local name=$1 goal=$2 i n=0
  shift 2
  errors=0
  : >"$work/rounds"
  for ((i = 0; i < tries && n < rounds; i++)); do
    if round "$@"; then n=$((n + 1)); fi
  done
  if [ "$n" -eq 0 ]; then
    printf '%-12s the host took too much of each of %d rounds\n' "$name" "$i"
    failed=1
    return
  fi
  awk -v name="$name" -v goal="$goal" -v n="$n" -v bad="$errors" -v share="$(median 1)" -v got="$(median 2)" -v bare="$(median 3)" -v of="$(median 4)" -v most="$(median 5)" \
    -v low="$(sort -n "$work/rounds" | head -n 1)" -v high="$(sort -n "$work/rounds" | tail -n 1)" 'BEGIN {
    ok = bad > 0 ? bad " errors" : goal == "-" ? "-" : share >= goal ? "yes" : "NO"
    printf "%-12s %8.0f %15.3f %.3f-%.3f %6s  %-4s %8.0f %15.3f %9.2f %6d\n", name, got, share, low, high, goal, ok, bare, most, of, n
    exit !(ok == "yes" || ok == "-")
  }' || failed=1
}

build
start_postgres
start_hello
start_portvakt
measure_hello

printf '%-12s %8s %15s %11s %6s  %-4s %8s %15s %9s %6s\n' op req/s 'share of hello' range goal ok trips 'share of hello' 'of those' rounds
row cc 0.15 /write -mode cc
row introspect 0.25 /read -mode introspect
row discovery 0.7 /bytes -mode get -path "$issuer/.well-known/openid-configuration"
row jwks 0.7 /bytes -mode get -path "$(endpoint jwks_uri)"
cookie=$(sign_in) || die "nobody could sign in: $(tail -n 1 "$work/loadgen.log")"
row flow 0.03 "/both /use /read" -mode flow -cookie "$cookie"
row refresh 0.08 /use -mode refresh -cookie "$cookie"
row userinfo - /read -mode userinfo -cookie "$cookie"
exit "$failed"
