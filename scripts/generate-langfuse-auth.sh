#!/usr/bin/env bash
# Two keys of Langfuse in, what Codex needs out: the header for its environment, and the TOML.
# Needs bash 3.2 or newer, base64 and tr; curl and awk for --check. The secret key is never on a command line.
{ set +xv; } 2>/dev/null # A trace of this script would show the secret key.
if [ -z "${BASH_VERSION:-}" ]; then
  echo "error: this script needs bash. Run it so: bash $0" >&2
  exit 2
fi
set +o posix # It is set where bash was started as sh.
set -euo pipefail
export LC_ALL=C # One byte a character, so that a pattern sees what Langfuse will see.

readonly site=https://YOUR_ORG.github.io/codex-langfuse
readonly page_keys=$site/quickstart/#keys
readonly page_refused=$site/guide/troubleshooting/#refused-keys
readonly page_unreachable=$site/guide/troubleshooting/#unreachable
readonly page_path=$site/guide/troubleshooting/#endpoint-path
readonly variable=OTEL_EXPORTER_OTLP_TRACES_HEADERS
readonly marker='# Written by codex-langfuse. It holds a secret key: keep it readable by you only.'

usage() {
  cat <<'TEXT'
Usage: generate-langfuse-auth.sh [options]

Make the header that Codex sends to Langfuse, and the TOML that goes with it. Asks for what is not given.

Options:
  --region NAME      Langfuse Cloud: eu, us, jp or hipaa.
  --base-url URL     Your own Langfuse, such as http://localhost:3000.
  --public-key KEY   The public key (pk-lf-...).
  --secret-stdin     Read the secret key (sk-lf-...) from standard input. There is no option for the key
                     itself: other users could see it in the list of processes.
  --any-key-form     Take keys that do not begin with pk-lf- and sk-lf-.
  --check            Ask Langfuse whether it accepts the keys, before anything is printed or written.
  --write FILE       Put keys and address into FILE, readable by you only, instead of printing the key.
  --force            With --write: replace FILE whatever is in it.
  --quiet            Print only the header's value: Basic <base64>. With --write: print nothing.
  --headers          Print the header of ~/.config/codex-langfuse/env as JSON, as Codex's headers_helper
                     wants it. It takes no other option.
  -h, --help         Show this.

Environment: LANGFUSE_PUBLIC_KEY, LANGFUSE_SECRET_KEY, LANGFUSE_BASE_URL (or LANGFUSE_HOST). Options win.
--check uses HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE; a request to this machine takes no proxy. NO_COLOR turns colour off.

Exit status: 0 done, 1 refused or failed, 2 a wrong option or value.

Examples:
  ./generate-langfuse-auth.sh
  ./generate-langfuse-auth.sh --region eu --check --write ~/.config/codex-langfuse/env
  pass show langfuse | ./generate-langfuse-auth.sh --region us --public-key pk-lf-... --secret-stdin --quiet
  ./generate-langfuse-auth.sh --headers
TEXT
}

red='' yellow='' plain=''
if [ -t 2 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
  red=$'\033[1;31m' yellow=$'\033[33m' plain=$'\033[0m'
fi

note() { printf '%snote:%s %s\n' "$yellow" "$plain" "$1" >&2; }

# Prints what is wrong, and further lines: what to do, and the page.
error() {
  printf '%serror:%s %s\n' "$red" "$plain" "$1" >&2
  shift
  if [ $# -gt 0 ]; then printf '  %s\n' "$@" >&2; fi
}

fail() {
  error "$@"
  exit 1
}

wrong_usage() {
  if [ $# = 1 ]; then set -- "$1" 'See --help.'; fi
  error "$@"
  exit 2
}

# --- Forms of keys and addresses. Each function leaves its result in a variable of its name's noun. ---

# Leaves out what copying adds at both ends: white space, and one pair of quotes. Result: trimmed.
trim() {
  strip_space "$1"
  case $trimmed in
    \"*\" | \'*\')
      if [ ${#trimmed} -ge 2 ]; then
        trimmed=${trimmed#?}
        strip_space "${trimmed%?}"
      fi
      ;;
  esac
}

strip_space() {
  trimmed=${1#"${1%%[![:space:]]*}"}
  trimmed=${trimmed%"${trimmed##*[![:space:]]}"}
}

# Trims $2, and says so if that changed it; $1 is what it is.
trim_and_note() {
  trim "$2"
  if [ "$trimmed" != "$2" ]; then note "left out spaces, line breaks or quotes around the $1"; fi
}

# Guesses what an address without its scheme was to be; $trimmed is one. A number or a name without a dot is
# of the reader's own network, where no certificate is to be expected. Result: guess, to follow a message.
guess_address() {
  local valid='^[A-Za-z0-9._-]+(:[0-9]{1,5})?$' scheme=http
  [[ $trimmed =~ $valid ]] || return 0
  case ${trimmed%%:*} in
    localhost | *.localhost) ;;
    *.*[A-Za-z]* | *[A-Za-z]*.*) scheme=https ;;
    *) case $trimmed in *[.:]*) ;; *) return 0 ;; esac ;;
  esac
  guess=". Did you mean $scheme://$trimmed?"
}

# Reads a region's name or an address. Results: base_url, place, on_this_machine. Fails with the error printed.
read_base_url() {
  local scheme rest before authority host port path root corrected name valid guess=''
  on_this_machine=''
  trim_and_note address "$1"
  case $(printf '%s' "$trimmed" | tr '[:upper:]' '[:lower:]') in
    '') refuse_address 'the address is empty' || return 1 ;;
    eu) base_url=https://cloud.langfuse.com ;;
    us) base_url=https://us.cloud.langfuse.com ;;
    jp | japan) base_url=https://jp.cloud.langfuse.com ;;
    hipaa) base_url=https://hipaa.cloud.langfuse.com ;;
    sk-* | pk-*) refuse_address 'that is a key, not an address' || return 1 ;;
    *) base_url='' ;;
  esac
  if [ -z "$base_url" ]; then
    valid='^[][A-Za-z0-9._~:/?#@%=&+-]*$'
    if ! [[ $trimmed =~ $valid ]]; then
      refuse_address 'the address contains a character that does not belong there' || return 1
    fi
    case $trimmed in
      [Hh][Tt][Tt][Pp]://* | [Hh][Tt][Tt][Pp][Ss]://*) ;;
      *@*) refuse_address 'the address contains a user name or a password; the keys go elsewhere' || return 1 ;;
      *)
        guess_address
        refuse_address "\"$trimmed\" is neither a region (eu, us, jp, hipaa) nor an address with http:// or https://$guess" ||
          return 1
        ;;
    esac
    scheme=$(printf '%s' "${trimmed%%://*}" | tr '[:upper:]' '[:lower:]')
    rest=${trimmed#*://}
    before=${rest%%[?#]*}
    authority=$(printf '%s' "${before%%/*}" | tr '[:upper:]' '[:lower:]')
    path=${before#"${before%%/*}"}
    while [ "${path%/}" != "$path" ]; do path=${path%/}; done
    case $authority in
      *@*) refuse_address 'the address contains a user name or a password; the keys go elsewhere' || return 1 ;;
    esac
    valid='^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?$'
    if ! [[ $authority =~ $valid ]]; then
      refuse_address 'the address has no valid host or port' || return 1
    fi
    host=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]:-:0}
    if [ "$((10#${port#:}))" -gt 65535 ]; then
      refuse_address 'the address has no valid host or port' || return 1
    fi
    root=$path
    case $authority in
      langfuse.com | www.langfuse.com)
        refuse_address 'langfuse.com is the website; give the address where you log in' || return 1
        ;;
      cloud.langfuse.com | *.cloud.langfuse.com)
        root=''
        if [ "$scheme" = http ]; then
          refuse_address "Langfuse Cloud is reached with https:// only: https://$authority" || return 1
        fi
        ;;
      *)
        # Langfuse's own paths: pasted from a browser, or from an OTLP endpoint.
        for name in api otel v1 project organization auth setup account; do
          case $root/ in */"$name"/*) root=$root/ root=${root%%"/$name/"*} ;; esac
        done
        while [ "${root%/}" != "$root" ]; do root=${root%/}; done
        ;;
    esac
    corrected=$scheme://$authority$root
    if [ "$before" != "$rest" ] || [ "$root" != "$path" ]; then
      refuse_address "give only the address of Langfuse: $corrected" || return 1
    fi
    if [ -n "$path" ]; then
      note "$path is kept; that is right only for a Langfuse built with NEXT_PUBLIC_BASE_PATH=$path"
    fi
    case $host in localhost | *.localhost | 127.* | '[::1]') on_this_machine=yes ;; esac
    if [ "$scheme$on_this_machine" = http ]; then
      note "$corrected is not encrypted; whoever is on the way can read your keys"
    fi
    base_url=$corrected
  fi
  case $base_url in
    https://cloud.langfuse.com) place='Langfuse Cloud, EU' ;;
    https://us.cloud.langfuse.com) place='Langfuse Cloud, US' ;;
    https://jp.cloud.langfuse.com) place='Langfuse Cloud, Japan' ;;
    https://hipaa.cloud.langfuse.com) place='Langfuse Cloud, HIPAA' ;;
    *) place='your own Langfuse' ;;
  esac
}

refuse_address() {
  error "$1" "See $page_keys"
  return 1
}

# Says what is wrong with a trimmed key ($2) of a kind ($1), if anything. Result: complaint.
check_key() {
  local kind=$1 key=$2 prefix other other_prefix
  complaint=''
  if [ "$kind" = 'public key' ]; then
    prefix=pk-lf- other='secret key' other_prefix=sk-lf-
  else
    prefix=sk-lf- other='public key' other_prefix=pk-lf-
  fi
  case $key in
    '') complaint="the $kind is empty" ;;
    *[!\ -~]*) complaint="the $kind contains a character that no key has: a line break, or one beyond ASCII" ;;
    *:*) complaint="the $kind contains a colon; paste one key at a time" ;;
  esac
  if [ -n "$complaint" ] || [ -n "$any_key_form" ]; then return; fi
  case $key in
    "$other_prefix"*)
      complaint="that is a $other ($other_prefix), not the $kind ($prefix)"
      ;;
    "$prefix" | "$prefix"*...) complaint="the $kind is incomplete; copy all of it" ;;
    "$prefix"*' '*) complaint="the $kind contains a space" ;;
    "$prefix"*) ;;
    sk-ant-*) complaint="the $kind is one of Anthropic (sk-ant-), not of Langfuse" ;;
    sk-*) complaint="the $kind is one of OpenAI (sk-), not of Langfuse" ;;
    'Basic '* | cGstbGYt*) complaint="the $kind is a header made of both keys already, not a key" ;;
    *)
      complaint="the $kind does not begin with $prefix. If your own Langfuse was set up with such a key, add --any-key-form"
      ;;
  esac
}

# --- Asking ---

terminal=''
restore_terminal() {
  if [ -n "$terminal" ]; then
    stty "$terminal" 2>/dev/null || :
    terminal=''
  fi
}

# Prints a prompt and reads a line. Result: answer.
ask() {
  printf '%s' "$1" >&2
  if ! IFS= read -r answer && [ -z "$answer" ]; then
    printf '\n' >&2
    fail 'no answer'
  fi
}

# The same, and what is typed is not shown: from before the prompt on, as a paste may be quick. It stays so
# until the last key was read, as a paste may hold both.
ask_hidden() {
  local got=yes
  if [ -z "$terminal" ]; then
    terminal=$(stty -g)
    stty -echo
  fi
  printf '%s' "$1" >&2
  IFS= read -rs answer || [ -n "$answer" ] || got=''
  printf '\n' >&2
  if [ -z "$got" ]; then
    restore_terminal
    fail 'no answer'
  fi
}

ask_base_url() {
  cat >&2 <<'TEXT'
Where is your Langfuse?
  1  EU        https://cloud.langfuse.com
  2  US        https://us.cloud.langfuse.com
  3  Japan     https://jp.cloud.langfuse.com
  4  HIPAA     https://hipaa.cloud.langfuse.com
  5  your own
TEXT
  for _ in 1 2 3; do
    ask 'Number, region or address: '
    trim "$answer"
    case $trimmed in
      1) answer=eu ;;
      2) answer=us ;;
      3) answer=jp ;;
      4) answer=hipaa ;;
      5) ask 'Address of your Langfuse: ' ;;
    esac
    if read_base_url "$answer"; then return; fi
  done
  exit 1
}

# Asks for a key of kind $1 with a prompt $2, up to three times. Result: trimmed.
ask_key() {
  for _ in 1 2 3; do
    ask_hidden "$2"
    trim_and_note "$1" "$answer"
    check_key "$1" "$trimmed"
    if [ -z "$complaint" ]; then return; fi
    error "$complaint" "See $page_keys"
  done
  exit 1
}

# --- Asking Langfuse ---

# Reads what matters of an answer in JSON, with its order, white space and escapes. Results: json_project, the
# id of the first project in "data"; json_message, "message" or else "error", in one line. Empty when the text
# is not JSON or has no such thing.
read_json() {
  local read
  json_project='' json_message=''
  read=$(printf '%s' "$1" | awk "$json_reader") || return 0
  read=${read%$'\n'.}
  json_project=${read%%$'\n'*}
  printf -v json_message '%b' "${read#*$'\n'}"
  if ! [[ $json_project =~ ^[A-Za-z0-9_-]*$ ]]; then json_project=''; fi
}

# A parser for JSON in what every awk knows. It prints the project's id, the message as the shell's %b takes it
# (awks differ in what a character is), and a dot, so that no line is lost.
# shellcheck disable=SC2016
readonly json_reader='
  function fail() { failed = 1; exit 1 }
  function space() { while (substr(text, at, 1) ~ /[ \t\r\n]/ && at <= length(text)) at++ }
  function hex(digits,   i, n) {
    if (digits !~ /^[0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f][0-9A-Fa-f]$/) fail()
    for (i = 1; i <= 4; i++) n = n * 16 + index("0123456789abcdef", tolower(substr(digits, i, 1))) - 1
    return n
  }
  function octal(n) { return sprintf("\\0%03o", n) }
  function tail(n) { return octal(128 + n % 64) }
  function utf8(n) {
    if (n < 32 || (n > 126 && n < 160) || (n > 8202 && n < 8208) || (n > 8231 && n < 8239)) return " "
    if (n < 128) return octal(n)
    if (n < 2048) return octal(192 + int(n / 64)) tail(n)
    if (n < 65536) return octal(224 + int(n / 4096)) tail(int(n / 64)) tail(n)
    return octal(240 + int(n / 262144)) tail(int(n / 4096)) tail(int(n / 64)) tail(n)
  }
  function string(   result, c, n) {
    for (at++; (c = substr(text, at, 1)) != "\""; at++) {
      if (at > length(text)) fail()
      if (c != "\\") { result = result c; continue }
      c = substr(text, ++at, 1)
      if (c == "u") {
        n = hex(substr(text, at + 1, 4)); at += 4
        if (n >= 55296 && n < 56320 && substr(text, at + 1, 2) == "\\u") {
          n = 65536 + (n - 55296) * 1024 + hex(substr(text, at + 3, 4)) - 56320; at += 6
        }
        result = result utf8(n)
      } else if (c == "\\") result = result "\\\\"
      else if (c == "\"" || c == "/") result = result c
      else if (c ~ /[bfnrt]/) result = result " "
      else fail()
    }
    at++
    return result
  }
  function value(path,   c, i, name, start) {
    space(); c = substr(text, at, 1)
    if (c == "\"") { if (!(path in found)) found[path] = ""; found[path] = string(); return }
    if (c == "{" || c == "[") {
      at++; space()
      if (substr(text, at, 1) == (c == "{" ? "}" : "]")) { at++; return }
      for (i = 0; ; i++) {
        name = i; space()
        if (c == "{") {
          if (substr(text, at, 1) != "\"") fail()
          name = string(); space()
          if (substr(text, at++, 1) != ":") fail()
        }
        value(path "/" name); space(); start = substr(text, at++, 1)
        if (start == (c == "{" ? "}" : "]")) return
        if (start != ",") fail()
      }
    }
    start = at
    while (at <= length(text) && substr(text, at, 1) ~ /[-+.0-9A-Za-z]/) at++
    if (substr(text, start, at - start) !~ /^(true|false|null|-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?)$/) fail()
  }
  { text = text (NR > 1 ? "\n" : "") $0 }
  END {
    if (failed) exit 1
    at = 1; value(""); space()
    if (at <= length(text)) exit 1
    message = (found["/message"] != "") ? found["/message"] : found["/error"]
    gsub(/[\001-\037\177]|\302[\200-\237]/, " ", message)
    gsub(/  +/, " ", message)
    print found["/data/0/id"]
    print message
    print "."
  }
'

# Says whether Langfuse accepts the pair. The header goes to curl through a pipe, so ps does not show it.
check_with_langfuse() {
  local answer status=0 code body project said=''
  command -v curl >/dev/null || fail 'curl is needed for --check and was not found'
  answer=$(
    printf 'header = "Authorization: Basic %s"\nurl = "%s/api/public/projects"\n' "$encoded" "$base_url" |
      curl --disable --silent --globoff --max-time 20 --proto '=http,https' ${on_this_machine:+--noproxy '*'} \
        ${SSL_CERT_FILE:+--cacert "$SSL_CERT_FILE"} --write-out '\n%{http_code}' --config -
  ) || status=$?
  case $status in
    0) ;;
    6)
      fail "the name in $base_url cannot be resolved" \
        'Check the spelling and the network of this machine.' "See $page_unreachable"
      ;;
    28)
      fail "$base_url does not answer within 20 seconds" \
        'Check for a firewall or a proxy (HTTPS_PROXY).' "See $page_unreachable"
      ;;
    35 | 51 | 53 | 54 | 58 | 59 | 60 | 64 | 66 | 77 | 80 | 82 | 83 | 90 | 91)
      fail "no trusted TLS connection to $base_url" \
        'For a private certificate authority, set SSL_CERT_FILE to its file.' "See $page_unreachable"
      ;;
    *)
      fail "$base_url cannot be reached" \
        'Check the port, the server, and the proxy (HTTPS_PROXY) if you use one.' "See $page_unreachable"
      ;;
  esac
  code=${answer##*$'\n'}
  body=${answer%$'\n'*}
  read_json "$body"
  project=$json_project
  if [ -n "$json_message" ]; then said="Langfuse says: $json_message"; fi
  case $code in
    401)
      fail "Langfuse at $base_url refuses the keys (401)" \
        'They belong to another region or project, or were not copied completely.' ${said:+"$said"} "See $page_refused"
      ;;
    403)
      fail "the keys do not belong to a project (403)" 'Make a pair in the project: Settings, API Keys.' \
        ${said:+"$said"} "See $page_refused"
      ;;
    407 | 429 | 5??)
      fail "$base_url answers with status $code" \
        'Try again later; 407 means that the proxy requires a password.' ${said:+"$said"} "See $page_unreachable"
      ;;
  esac
  if [ "$code" != 200 ] || [ -z "$project" ]; then
    fail "$base_url answers, but not as Langfuse does (status $code)" \
      'Give the address that the browser shows, up to the host.' "See $page_path"
  fi
  printf 'Langfuse at %s accepts the keys (project %s).\n' "$base_url" "$project" >&2
}

# --- Results ---

print_export() { printf 'export %s="Authorization=Basic%%20%s"\n' "$variable" "$encoded"; }

# Prints a variable as a shell reads it; the usual values need no quotes.
print_variable() {
  local single="'" escaped="'\\''" unusual='[^A-Za-z0-9_./:@%+=,-]'
  if [[ $2 =~ $unusual ]]; then
    printf "%s='%s'\n" "$1" "${2//$single/$escaped}"
  else
    printf '%s=%s\n' "$1" "$2"
  fi
}

# The same text as the file for this place in examples/codex.
print_toml() {
  printf '# Codex to Langfuse, traces only: %s.\n' "$place"
  cat <<'TOML'
# The key is not in this file: it comes from OTEL_EXPORTER_OTLP_TRACES_HEADERS.
[otel]
environment = "prod"
metrics_exporter = "none"            # without this line Codex sends metrics to OpenAI

[otel.trace_exporter.otlp-http]      # no line `trace_exporter = "otlp-http"` beside it
TOML
  printf 'endpoint = "%s/api/public/otel/v1/traces"\n' "$base_url"
  cat <<'TOML'
protocol = "binary"
headers = { x-langfuse-ingestion-version = "4" }

[otel.span_attributes]               # on every span; Codex 0.130 and newer
"langfuse.environment" = "prod"

[shell_environment_policy]
exclude = ["OTEL_*", "LANGFUSE_*"]   # keeps the key out of the commands that Codex runs
TOML
}

# True if a file holds nothing but what --write, or the quickstart, puts there.
is_ours() {
  local before="(export |declare -x |set -gx |[\$]env:)?"
  local names='LANGFUSE_(PUBLIC_KEY|SECRET_KEY|BASE_URL|HOST)|OTEL_EXPORTER_OTLP_TRACES_HEADERS'
  ! grep -Ev -e '^# Written by codex-langfuse\.' -e "^$before($names)[ =]" -e '^[[:space:]]*$' "$1" >/dev/null
}

# Sets $1 to the value of variable $2 in file $3, or to nothing.
read_variable() {
  local line value='' found="^[[:space:]]*(export |declare -x |set -gx )?$2[= ](.*)$"
  local single="'" escaped="'\\''"
  while IFS= read -r line || [ -n "$line" ]; do
    if [[ $line =~ $found ]]; then value=${BASH_REMATCH[2]%$'\r'}; fi
  done <"$3"
  case $value in
    \'*\') value=${value#?} value=${value%?} value=${value//"$escaped"/$single} ;;
    \"*\") value=${value#?} value=${value%?} ;;
  esac
  printf -v "$1" '%s' "$value"
}

# Prints the header of the key file as JSON.
print_headers() {
  local file=${HOME:-}/.config/codex-langfuse/env mode public='' secret='' header=''
  local again="Make it: $0 --write ~/.config/codex-langfuse/env"
  [ -f "$file" ] || fail "$file is not there. $again" "See $page_keys"
  mode=$(ls -Lld -- "$file")
  case $mode in
    ????------*) ;;
    *) fail "others may read $file. Run: chmod 600 '$file'" "See $page_keys" ;;
  esac
  read_variable public LANGFUSE_PUBLIC_KEY "$file"
  read_variable secret LANGFUSE_SECRET_KEY "$file"
  read_variable header "$variable" "$file"
  if [ -n "$public" ] && [ -n "$secret" ]; then
    header=$(printf '%s:%s' "$public" "$secret" | base64 | tr -d '\r\n')
  else
    header=${header#Authorization=Basic}
    header=${header#%20}
  fi
  case $header in
    '' | *[!A-Za-z0-9+/=]*) fail "$file has no keys. $again" "See $page_keys" ;;
  esac
  printf '{"Authorization": "Basic %s"}\n' "$header"
}

temporary=''
write_export() {
  local folder=.
  case $1 in */*) folder=${1%/*} ;; esac
  [ -n "$folder" ] || folder=/
  umask 077
  mkdir -p -- "$folder" || fail "the folder $folder cannot be made"
  if [ -e "$1" ] || [ -L "$1" ]; then
    if [ -L "$1" ] || ! [ -f "$1" ]; then
      if ! [ -L "$1" ] || [ -z "$force" ]; then fail "$1 is not a regular file; nothing was written"; fi
    elif [ -z "$force" ] && ! is_ours "$1"; then
      fail "$1 contains something else; nothing was written" 'Choose another file, or add --force to replace it.'
    fi
  fi
  temporary=$(mktemp "$folder/.codex-langfuse.XXXXXX") || fail "nothing can be written into $folder"
  chmod 600 "$temporary"
  {
    printf '%s\n' "$marker"
    print_variable LANGFUSE_PUBLIC_KEY "$public_key"
    print_variable LANGFUSE_SECRET_KEY "$secret_key"
    print_variable LANGFUSE_BASE_URL "$base_url"
    print_export
  } >"$temporary" || fail "$1 cannot be written"
  mv -f -- "$temporary" "$1" || fail "$1 cannot be written"
  temporary=''
}

# Prints the command that loads file $1: quoted for the shell, and never searched for on PATH.
print_load() {
  local path=$1 single="'" escaped="'\\''"
  case $path in */*) ;; *) path=./$path ;; esac
  printf ". '%s'\n" "${path//$single/$escaped}"
}

clean_up() {
  if [ -n "$terminal" ]; then printf '\n' >&2; fi
  restore_terminal
  if [ -n "$temporary" ]; then rm -f -- "$temporary"; fi
}
trap clean_up EXIT # Bash runs it when a signal ends the script, too.

if [ "$*" = --headers ]; then
  print_headers
  exit 0
fi

region='' address='' public_key='' secret_stdin='' any_key_form='' check='' file='' force='' quiet=''
while [ $# -gt 0 ]; do
  case $1 in
    --region | --base-url | --public-key | --write)
      if [ $# -lt 2 ] || [ -z "$2" ]; then wrong_usage "$1 needs a value"; fi
      case $1 in
        --region) region=$2 ;;
        --base-url) address=$2 ;;
        --public-key) public_key=$2 ;;
        --write) file=$2 ;;
      esac
      shift 2
      ;;
    --region=* | --base-url=* | --public-key=* | --write=*)
      option=${1%%=*} value=${1#*=}
      shift
      set -- "$option" "$value" "$@"
      ;;
    --secret-key | --secret-key=*)
      wrong_usage 'the secret key is no option: others could see it in the list of processes. Use --secret-stdin'
      ;;
    --secret-stdin) secret_stdin=yes && shift ;;
    --any-key-form) any_key_form=yes && shift ;;
    --check) check=yes && shift ;;
    --force) force=yes && shift ;;
    --quiet) quiet=yes && shift ;;
    --headers) wrong_usage '--headers takes no other option: it reads the key file' ;;
    -h | --help)
      usage
      exit 0
      ;;
    -*) wrong_usage "unknown option ${1%%=*}" ;;
    *) wrong_usage 'an argument without an option' ;;
  esac
done
if [ -n "$region" ] && [ -n "$address" ]; then wrong_usage 'give --region or --base-url, not both'; fi
if [ -n "$force" ] && [ -z "$file" ]; then wrong_usage '--force goes with --write'; fi
case $region in
  '' | eu | us | jp | hipaa) ;;
  *) wrong_usage 'the regions are eu, us, jp and hipaa' ;;
esac

address=${region:-${address:-${LANGFUSE_BASE_URL:-${LANGFUSE_HOST:-}}}}
public_key=${public_key:-${LANGFUSE_PUBLIC_KEY:-}}
secret_key=${LANGFUSE_SECRET_KEY:-}
unset LANGFUSE_SECRET_KEY # The programs called from here need not have it.
if [ -n "$secret_stdin" ]; then
  if [ -t 0 ]; then wrong_usage '--secret-stdin is for a pipe or a file; without it you are asked for the key'; fi
  IFS= read -r secret_key || :
fi

interactive=''
if [ -t 0 ] && [ -z "$secret_stdin" ]; then interactive=yes; fi
if [ -z "$interactive" ]; then
  if [ -z "$address" ]; then wrong_usage 'no address: give --region or --base-url, or set LANGFUSE_BASE_URL'; fi
  if [ -z "$public_key" ]; then wrong_usage 'no public key: give --public-key, or set LANGFUSE_PUBLIC_KEY'; fi
  if [ -z "$secret_key$secret_stdin" ]; then
    wrong_usage 'no secret key: give --secret-stdin, or set LANGFUSE_SECRET_KEY'
  fi
fi

if [ -n "$address" ]; then read_base_url "$address" || exit 2; else ask_base_url; fi

if [ -n "$public_key" ]; then
  trim_and_note 'public key' "$public_key"
  public_key=$trimmed
fi
if [ -n "$secret_key" ]; then
  trim_and_note 'secret key' "$secret_key"
  secret_key=$trimmed
fi
if [ -z "$any_key_form" ]; then
  case $public_key/$secret_key in
    sk-lf-*/pk-lf-*)
      wrong_usage 'the two keys are swapped: the public key begins with pk-lf-, the secret key with sk-lf-' "See $page_keys"
      ;;
  esac
fi
if [ -n "$public_key" ] || [ -z "$interactive" ]; then
  check_key 'public key' "$public_key"
  if [ -n "$complaint" ]; then wrong_usage "$complaint" "See $page_keys"; fi
else
  ask_key 'public key' 'Public key (pk-lf-...): '
  public_key=$trimmed
  printf '%s\n' "$public_key" >&2
fi
if [ -n "$secret_key" ] || [ -z "$interactive" ]; then
  check_key 'secret key' "$secret_key"
  if [ -n "$complaint" ]; then wrong_usage "$complaint" "See $page_keys"; fi
else
  ask_key 'secret key' 'Secret key (sk-lf-..., not shown): '
  secret_key=$trimmed
fi
restore_terminal

encoded=$(printf '%s:%s' "$public_key" "$secret_key" | base64 | tr -d '\r\n')

if [ -n "$check" ]; then check_with_langfuse; fi
if [ -n "$file" ]; then write_export "$file"; fi

if [ -n "$quiet" ]; then
  if [ -z "$file" ]; then printf 'Basic %s\n' "$encoded"; fi
  exit 0
fi
if [ -n "$file" ]; then
  printf '# 1. The key is in a file that only you can read. Before you start Codex, load it:\n'
  print_load "$file"
else
  printf '# 1. Where you start Codex. The shell keeps this line in its history; the option write does not:\n'
  print_export
fi
printf '\n# 2. Into ~/.codex/config.toml, in place of any [otel] there:\n'
print_toml
printf '\n# 3. See whether it arrives: %s/configuration-only/#verify\n' "$site"
