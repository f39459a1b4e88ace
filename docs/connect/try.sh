#!/usr/bin/env bash
# Tries the guides of this folder, and what Portvakt prints at /apps, with the programs that they are about, on loopback, and prints a table.
#
#   docs/connect/try.sh [oauth2-proxy | apache | node | single-page | spring | go | nginx]…
#
# Every configuration is taken from its page as it stands there; addresses of example.se become ones of loopback, and what only makes sense with
# TLS is left out. What /apps prints for the same client is then run as it was printed, copied from the page by the client's owner. A trial whose program is not there says "missing" and what would bring it; the exit status is 1 if a trial failed.
#
#   OAUTH2_PROXY  the program (default: oauth2-proxy on the PATH)
#   NGINX_BINARY  the program (default: nginx on the PATH)
#   CHROMIUM      the browser (default: chromium on the PATH)
#   PORT          the first of 10 free ports (default: 18400)
#   KEEP          a folder to work in, kept afterwards: npm's and Maven's downloads need not come twice
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=${KEEP:-$(mktemp -d)}
mkdir -p "$work"
work=$(cd "$work" && pwd)
port=${PORT:-18400}
issuer=http://localhost:$port
password='correct horse battery staple'
totp=48656c6c6f21deadbeef48656c6c6f21deadbeef # of cecilia, in hexadecimal
started=()

# stop ends what was started.
stop() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
}

finish() {
  stop
  [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap finish EXIT

# start LOG COMMAND…: runs it until the script ends.
start() {
  local log=$1
  shift
  "$@" >"$work/$log" 2>&1 &
  started+=($!)
}

# answers URL: waits until something answers there.
answers() {
  for _ in $(seq 900); do
    [ "$(curl -s -o /dev/null -w '%{http_code}' "$1")" != 000 ] && return
    sleep 0.2
  done
  echo "nothing answers at $1" >&2
  return 1
}

# block PAGE NAME: the code block of a page that carries this name.
block() { awk -v name="$2" '/^```/ { if (on) exit; if ($2 == name) { on = 1; next } } on' "$here/$1"; }

# place N: puts loopback's addresses in; N is the application's port, counted from $port.
place() {
  sed -e "s#https://login\.example\.se#$issuer#g" -e "s#login\.example\.se#localhost:$port#g" -e "s#https://[a-z]*\.example\.se\([/\"' ]\|\]\|\$\)#http://127.0.0.1:$((port + $1))\1#g"
}

# visit JAR URL [CURL ARGUMENT…]: opens it as a browser would, redirects and all; the page is kept beside the jar. curl -L is no help: it
# reads the jar anew at each redirect, and so keeps cookies that were taken away.
visit() {
  local jar=$1 url=$2
  shift 2
  for _ in $(seq 20); do
    url=$(curl -sS -c "$jar" -b "$jar" -o "$jar.html" -w '%{redirect_url}' "$@" "$url")
    [ -n "$url" ] || return 0
    set --
  done
  echo "redirects without an end: $url" >&2
  return 1
}

# submit JAR FIELD=VALUE…: sends the first form of the page.
submit() {
  local jar=$1 form field
  shift
  form=$(awk '/<form [^>]*method="post"/ { on = 1 } on { print } /<\/form>/ { exit }' "$jar.html")
  local data=()
  while IFS= read -r field; do data+=(--data-urlencode "$field"); done < <(grep -o '<input type="hidden" name="[^"]*" value="[^"]*"' <<<"$form" |
    sed -e 's/.* name="\([^"]*\)" value="\([^"]*\)"/\1=\2/' -e 's/&amp;/\&/g' -e 's/&#43;/+/g')
  for field in "$@"; do data+=(--data-urlencode "$field"); done
  visit "$jar" "$issuer$(sed -n 's/.* action="\([^"]*\)".*/\1/p;q' <<<"$form")" "${data[@]}"
}

# sign_in JAR URL USER: opens URL and answers what Portvakt asks.
sign_in() {
  rm -f "$1"
  visit "$1" "$2"
  submit "$1" "username=$3" "password=$password"
  if grep -q 'name="code"' "$1.html"; then submit "$1" "code=$(code)"; fi
}

# code: what cecilia's phone shows (RFC 6238).
code() {
  local step mac at
  step=$(printf '%016x' $(($(date +%s) / 30)) | sed 's/../\\x&/g')
  mac=$(printf '%b' "$step" | openssl dgst -sha1 -mac HMAC -macopt "hexkey:$totp" | sed 's/.*= //')
  at=$((16#${mac:39:1} * 2))
  printf '%06d' $(((16#${mac:at:8} & 0x7fffffff) % 1000000))
}

# shows JAR TEXT…: every text stands on the page.
shows() {
  local jar=$1 text
  shift
  for text in "$@"; do
    grep -qF -- "$text" "$jar.html" || { echo "the page lacks: $text" >&2; head -c 600 "$jar.html" >&2; return 1; }
  done
}

# asks JAR URL: whoever comes there now has to sign in.
asks() {
  visit "$1" "$2"
  shows "$1" 'name="password"'
}

# forgotten JAR URL: becomes true when the application has heard of a sign-out elsewhere.
forgotten() {
  for _ in $(seq 50); do
    if visit "$1" "$2" && grep -q 'name="password"' "$1.html"; then return; fi
    sleep 0.2
  done
  echo "the application did not hear of the sign-out" >&2
  return 1
}

# register PAGE N: makes the clients of a page, which anna looks after.
register() { block "$1" portvakt.yaml | place "$2" | owned | portvakt apply -f - && sleep 1; }
owned() { sed 's/^  - client_id: .*/&\n    owners: [anna]/'; }

# printed CLIENT STACK: what /apps prints for a client, as an owner copies it.
printed() {
  sign_in "$work/owner.jar" "$issuer/apps/$1?for=$2" anna
  shows "$work/owner.jar" '<pre ' && ! grep -q 'class="alert note"' "$work/owner.jar.html" || { echo "/apps/$1 has nothing that fits for $2" >&2; return 1; }
  sed -n '/<pre /,/<\/pre>/p' "$work/owner.jar.html" | sed -e 's/.*<pre[^>]*><code>//' -e 's/<\/code><\/pre>.*//' \
    -e 's/&lt;/</g' -e 's/&gt;/>/g' -e 's/&#34;/"/g' -e "s/&#39;/'/g" -e 's/&#43;/+/g' -e 's/&amp;/\&/g'
}

# around FRAME: puts the three parts of what comes in (the setting up, the sign-in, the answer) into the frame.
around() {
  awk 'FNR == NR { if (/^\/\/ To sign in/) n = 1; if (/^\/\/ At the redirect URI/) n = 2; part[n + 0] = part[n + 0] $0 "\n"; next }
    /^[ \t]*\/\/part [012]$/ { printf "%s", part[$2]; next } { print }' - "$here/try/$1"
}

# anew: ends what the guide's part of a trial started; what fails from here on is what /apps prints.
anew() {
  stop
  started=()
  echo "with what /apps prints:" >&2
}
portvakt() { (cd "$work/portvakt" && ./portvakt "$@" --database "sqlite:portvakt.db" --keys keys); }
missing() { echo "missing: $1"; exit 3; }

try_oauth2_proxy() {
  local program=${OAUTH2_PROXY:-oauth2-proxy} jar=$work/wiki.jar app=http://127.0.0.1:$((port + 1))
  command -v "$program" >/dev/null || missing "oauth2-proxy; put it on the PATH or name it in OAUTH2_PROXY"
  command -v node >/dev/null || missing "Node, for what stands behind the proxy"
  register oauth2-proxy.md 1
  block oauth2-proxy.md oauth2-proxy.cfg | place 1 | sed -e "s/127\.0\.0\.1:4180/127.0.0.1:$((port + 1))/" -e "s/127\.0\.0\.1:8000/127.0.0.1:$((port + 2))/" -e 's/cookie_secure = true/cookie_secure = false/' >"$work/wiki.cfg"
  start echo.log node "$here/try/echo.mjs" $((port + 2))
  start wiki.log "$program" --config "$work/wiki.cfg"
  answers "$app/ping"
  sign_in "$jar" "$app/page" anna
  shows "$jar" '"x-forwarded-preferred-username":"anna"' '"x-forwarded-groups":"staff,admins"' '"x-forwarded-email":"anna@example.se"'
  visit "$jar" "$(grep -o 'https://wiki.example.se/oauth2/sign_out?rd=[^ ]*' "$here/oauth2-proxy.md" | sed -e "s#https%3A%2F%2Flogin.example.se#http%3A%2F%2Flocalhost%3A$port#" \
    -e "s#https%253A%252F%252Fwiki.example.se#http%253A%252F%252F127.0.0.1%253A$((port + 1))#" -e "s#https://wiki.example.se#$app#")"
  asks "$jar" "$app/page"
  asks "$jar" "$issuer/account"
  anew
  printed wiki oauth2-proxy >"$work/printed.cfg"
  printf a-long-random-string-for-wiki >"$work/wiki.secret" # the rest is of this machine
  start echo.log node "$here/try/echo.mjs" $((port + 2))
  start wiki.log env OAUTH2_PROXY_COOKIE_SECRET=0123456789abcdef0123456789abcdef OAUTH2_PROXY_COOKIE_SECURE=false "$program" --config "$work/printed.cfg" \
    --client-secret-file "$work/wiki.secret" --http-address "127.0.0.1:$((port + 1))" --upstream "http://127.0.0.1:$((port + 2))/" --skip-provider-button
  answers "$app/ping"
  sign_in "$jar" "$app/page" anna
  shows "$jar" '"x-forwarded-preferred-username":"anna"' '"x-forwarded-groups":"staff,admins"' '"x-forwarded-email":"anna@example.se"'
  echo "$("$program" --version 2>&1 | head -n 1): signed in, headers, groups, signed out; signed in with what /apps prints"
}

try_apache() {
  local jar=$work/archive.jar app=http://127.0.0.1:$((port + 3)) modules=/usr/lib/apache2/modules name dir=$work/apache
  command -v apache2 >/dev/null && [ -e $modules/mod_auth_openidc.so ] || missing "apt-get install apache2 libapache2-mod-auth-openidc"
  register apache.md 3
  mkdir -p "$dir/pages"
  echo 'in the archive of <!--#echo var="REMOTE_USER" -->, <!--#echo var="OIDC_CLAIM_groups" -->, <!--#echo var="OIDC_CLAIM_acr" -->' >"$dir/pages/index.html"
  {
    echo "ServerRoot $dir"
    echo "ServerName 127.0.0.1"
    echo "Listen 127.0.0.1:$((port + 3))"
    echo "PidFile $dir/pid"
    echo "DefaultRuntimeDir $dir"
    echo "ErrorLog $dir/error.log"
    echo "DocumentRoot $dir/pages"
    for name in mpm_event authn_core authz_core authz_user dir include env auth_openidc; do echo "LoadModule ${name}_module $modules/mod_$name.so"; done
    printf 'DirectoryIndex index.html\n<Directory %s/pages>\nOptions +Includes\nSetOutputFilter INCLUDES\n</Directory>\n' "$dir"
    [ "$(id -u)" != 0 ] || printf 'User www-data\nGroup www-data\n'
    echo "Include $dir/archive.conf"
  } >"$dir/httpd.conf"
  block apache.md archive.conf | place 3 >"$dir/archive.conf"
  chmod 755 "$work" "$dir" "$dir/pages"
  start apache.log apache2 -X -d "$dir" -f "$dir/httpd.conf"
  answers "$app/"
  sign_in "$jar" "$app/" cecilia
  shows "$jar" 'in the archive of cecilia' 'staff' 'urn:portvakt:acr:2fa'
  portvakt user end-sessions cecilia >/dev/null
  forgotten "$jar" "$app/"
  sleep $((31 - $(date +%s) % 30)) # a code works once
  sign_in "$jar" "$app/" cecilia
  shows "$jar" 'in the archive of cecilia'
  visit "$jar" "$app/signed-in?logout=$(sed 's#:#%3A#g; s#/#%2F#g' <<<"$app/")"
  asks "$jar" "$app/"
  asks "$jar" "$issuer/account"
  anew
  printed archive apache >"$dir/archive.conf"
  start apache.log env OIDC_CLIENT_SECRET=a-long-random-string-for-archive OIDC_CRYPTO_PASSPHRASE=passphrase apache2 -X -d "$dir" -f "$dir/httpd.conf"
  answers "$app/"
  sleep $((31 - $(date +%s) % 30))
  sign_in "$jar" "$app/" cecilia
  shows "$jar" 'in the archive of' 'staff' 'urn:portvakt:acr:2fa'
  echo "mod_auth_openidc $(dpkg-query -W -f '${Version}' libapache2-mod-auth-openidc): signed in with two factors, group, back-channel logout, signed out; signed in with what /apps prints"
}

# npm_packages NAME…: brings them to $work/npm.
npm_packages() {
  command -v npm >/dev/null || missing "Node and npm"
  mkdir -p "$work/npm"
  (cd "$work/npm" && npm install --no-audit --no-fund --silent "$@" >"$work/npm.log" 2>&1) || missing "npm install $*"
}

try_node() {
  local jar=$work/desk.jar app=http://127.0.0.1:$((port + 4))
  npm_packages openid-client@6
  register node.md 4
  block node.md desk.mjs | place 4 | sed -e "s/8090/$((port + 4))/" -e 's/; Secure//' -e 's/\(ClientSecretBasic("[^"]*")\));/\1, { execute: [client.allowInsecureRequests] });/' >"$work/npm/desk.mjs"
  start desk.log node "$work/npm/desk.mjs"
  answers "$app/"
  sign_in "$jar" "$app/" anna
  shows "$jar" 'Anna Ångström' 'staff,admins'
  visit "$jar" "$app/sign-out"
  asks "$jar" "$app/"
  anew
  printed desk node | around printed.mjs >"$work/npm/printed.mjs"
  start desk.log env OIDC_CLIENT_SECRET=a-long-random-string-for-desk node "$work/npm/printed.mjs" "$app"
  answers "$app/none"
  sign_in "$jar" "$app/" anna
  shows "$jar" 'at the desk: Anna Ångström, bearer'
  stop
  started=()
  { block node.md portvakt.yaml | place 4 | owned; echo '    require_pushed_authorization_requests: true'; echo '    dpop_bound_access_tokens: true'; } | portvakt apply -f - && sleep 1
  printed desk node | around printed.mjs >"$work/npm/printed.mjs"
  start desk.log env OIDC_CLIENT_SECRET=a-long-random-string-for-desk node "$work/npm/printed.mjs" "$app"
  answers "$app/none"
  sign_in "$jar" "$app/" anna
  shows "$jar" 'at the desk: Anna Ångström, dpop'
  echo "openid-client $(cd "$work/npm" && node -p 'require("./node_modules/openid-client/package.json").version') on Node $(node -v): signed in, groups, signed out;" \
    "signed in with what /apps prints, also pushed and bound to a key"
}

try_single_page() {
  local chromium=${CHROMIUM:-chromium}
  command -v "$chromium" >/dev/null || missing "Chromium; name it in CHROMIUM"
  npm_packages oidc-client-ts@3 puppeteer-core
  register single-page.md 5
  block single-page.md app.js | place 5 >"$work/npm/app.js"
  local walk=(node "$here/try/board.mjs" "$work/npm" $((port + 5)) "$issuer" "$password" "$(command -v "$chromium")") said
  said=$("${walk[@]}" /revoke)
  anew
  { printed board browser | around printed.js; block single-page.md app.js | sed -n '/^export const renew/,$p'; } >"$work/npm/app.js"
  "${walk[@]}" /token >/dev/null
  echo "oidc-client-ts $(cd "$work/npm" && node -p 'require("./node_modules/oidc-client-ts/package.json").version'): $said; so does what /apps prints"
}

try_spring() {
  local jar=$work/orders.jar app=http://127.0.0.1:$((port + 6)) dir=$work/spring token
  command -v mvn >/dev/null && command -v java >/dev/null || missing "Maven and Java 17"
  register spring.md 6
  mkdir -p "$dir/src/main/java/app" "$dir/src/main/resources"
  cp "$here/try/pom.xml" "$dir/pom.xml"
  cp "$here/try/Application.java" "$dir/src/main/java/app/"
  block spring.md application.yaml | place 6 >"$dir/src/main/resources/application.yaml"
  { cat "$here/try/imports.txt"; block spring.md Security.java | place 6; } >"$dir/src/main/java/app/Security.java"
  (cd "$dir" && mvn -q -B package -DskipTests >"$work/maven.log" 2>&1) || missing "Maven could not build it: $(grep -m 1 ERROR "$work/maven.log")"
  start orders.log java -jar "$dir/target/app-1.jar" --server.port=$((port + 6)) --server.address=127.0.0.1
  answers "$app/"
  visit "$jar" "$app/staff"
  sign_in "$jar" "$app/staff" anna
  shows "$jar" 'anna' 'ROLE_staff' 'ROLE_admins'
  token=$(curl -sS -u orders-robot:a-long-random-string-for-the-robot -d grant_type=client_credentials -d scope=orders:read --data-urlencode "resource=$app/api" "$issuer/token" | sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl -sS -o "$jar.html" -H "Authorization: Bearer $token" "$app/api/me"
  shows "$jar" '"client_id":"orders-robot"'
  portvakt user end-sessions anna >/dev/null
  forgotten "$jar" "$app/staff"
  sign_in "$jar" "$app/staff" anna
  visit "$jar" "$app/logout" --data-urlencode "_csrf=$(sed 's/.*_csrf=//' "$jar.html")"
  asks "$jar" "$app/staff"
  asks "$jar" "$issuer/account"
  anew
  printed orders spring >"$work/printed.yml"
  start orders.log env OIDC_CLIENT_SECRET=a-long-random-string-for-orders java -jar "$dir/target/app-1.jar" "--spring.config.location=file:$work/printed.yml" \
    --server.port=$((port + 6)) --server.address=127.0.0.1
  answers "$app/"
  sign_in "$jar" "$app/staff" anna
  shows "$jar" 'anna' 'ROLE_staff'
  echo "Spring Boot $(sed -n '/<parent>/,/<\/parent>/s/.*<version>\(.*\)<\/version>.*/\1/p' "$here/try/pom.xml"): signed in, groups, an API with at+jwt, back-channel logout, signed out; signed in with what /apps prints"
}

try_go() {
  local jar=$work/till.jar app=http://127.0.0.1:$((port + 7)) auth
  mkdir -p "$work/go"
  for auth in client_secret_basic client_secret_post none; do
    stop
    started=()
    { printf 'clients:\n  - client_id: till\n    redirect_uris: [%s/callback]\n    scope: openid profile\n    token_endpoint_auth_method: %s\n' "$app" $auth
      [ $auth = none ] || echo '    client_secret: a-long-random-string-for-till'; } | owned | portvakt apply -f - && sleep 1
    printed till go | around printed.go.txt >"$work/go/main.go"
    (cd "$here/../.." && go build -o "$work/go/till" "$work/go/main.go")
    start till.log env OIDC_CLIENT_SECRET=a-long-random-string-for-till "$work/go/till" "127.0.0.1:$((port + 7))"
    answers "$app/callback"
    sign_in "$jar" "$app/" anna
    shows "$jar" 'in the till: Anna Ångström'
  done
  echo "$(cd "$here/../.." && go list -m github.com/coreos/go-oidc/v3): signed in with what /apps prints, with a secret in either place and without one"
}

try_nginx() {
  local program=${NGINX_BINARY:-nginx} dir=$work/nginx page=client-certificates.md behind=$((port + 6)) front=$((port + 7)) said
  command -v "$program" >/dev/null || missing "apt-get install nginx"
  block $page portvakt.yaml | portvakt apply -f - && sleep 1
  mkdir -p "$dir" && cd "$dir"
  block $page certificates.sh >certificates.sh
  sh -e certificates.sh | grep -qx "subject=$(sed -n 's/.*tls_client_auth_subject_dn: //p' "$here/$page")"
  openssl req -x509 -newkey rsa:2048 -noenc -keyout login.key -out login.pem -days 1 -subj /CN=login.example.se -addext subjectAltName=DNS:login.example.se
  {
    printf 'daemon off;\npid pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n'
    for name in client_body proxy fastcgi uwsgi scgi; do echo "${name}_temp_path $dir/$name;"; done
    block $page login.conf | sed -e "s#listen 443#listen 127.0.0.1:$front#" -e "s#/etc/nginx#$dir#" -e "s#127\.0\.0\.1:8080#127.0.0.1:$behind#"
    echo '}'
  } >nginx.conf
  # shellcheck disable=SC2046 # the settings are words
  start behind.log env -C "$work/portvakt" ./portvakt $(sed -n 's/^portvakt \(serve\) … \(.*\)/\1 \2/p' "$here/$page" | sed "s#clients-ca.pem#$dir/clients-ca.pem#") \
    --database sqlite:portvakt.db --keys keys --listen "127.0.0.1:$behind" --issuer "$issuer"
  start nginx.log "$program" -p "$dir" -c nginx.conf
  answers "http://127.0.0.1:$behind/livez"
  for _ in $(seq 50); do curl -sko nothing "https://127.0.0.1:$front/" && break || sleep 0.2; done
  ask() { $(block $page token.sh | sed -e "s#https://login.example.se#https://login.example.se:$front#" -e "s#^curl#curl -sS --cacert login.pem --connect-to ::127.0.0.1:#") "$@"; }
  ask | grep -q '"access_token"'
  said=$(curl -sS --cacert login.pem --connect-to "::127.0.0.1:" -d grant_type=client_credentials -d client_id=billing -H "X-SSL-Client-Cert: $(jq -sRr @uri billing.pem)" "https://login.example.se:$front/token")
  grep -q 'the proxy passed none on' <<<"$said" || { echo "a header that the client sent: $said" >&2; return 1; }
  portvakt audit list --json | grep -q "$(openssl x509 -in billing.pem -outform der | openssl dgst -sha256 -binary | base64 | tr '+/' '-_' | tr -d =)"
  echo "$("$program" -v 2>&1): a token by certificate, and none by a header alone"
}

mkdir -p "$work/portvakt"
rm -rf "$work"/portvakt/portvakt.db* "$work/portvakt/keys"
(cd "$here/../.." && go build -o "$work/portvakt/portvakt" ./cmd/portvakt)
start portvakt.log env -C "$work/portvakt" ./portvakt serve --database sqlite:portvakt.db --keys keys --listen "127.0.0.1:$port" --issuer "$issuer"
answers "$issuer/livez"
portvakt apply -f - >/dev/null <<END
groups: [staff, admins]
users:
  - {username: anna, name: Anna Ångström, email: anna@example.se, groups: [staff, admins], password: $password, locale: en}
  - {username: cecilia, name: Cecilia Sundström, email: cecilia@example.se, groups: [staff], password: $password, locale: en,
     totp: "otpauth://totp/Portvakt:cecilia?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Portvakt"}
policies:
  factors: {required: false}
END

failed=0
for name in ${*:-oauth2-proxy apache node single-page spring go nginx}; do
  set +e # a trial has its own errexit, which would not hold behind a ||
  said=$(started=() && trap stop EXIT && set -e && "try_${name//-/_}" 2>"$work/$name.err")
  status=$?
  set -e
  case $status in
    0) result=works ;;
    3) result=missing ;;
    *) result=FAILED failed=1 said=$(head -c 800 "$work/$name.err") ;;
  esac
  printf '%-14s %-8s %s\n' "$name" "$result" "$(tail -n 1 <<<"$said")"
done
exit $failed
