# What deploy/try, deploy/test and deploy/plone/* share. Sourced by them, after `set -euo pipefail`.
# shellcheck shell=bash

deploy=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$deploy")

# What building the gate and installing Plone need of Debian. Plone's own parts come as wheels.
debian_packages=(build-essential python3 python3-venv)

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# Zope refuses to start in a locale that is named but not installed, as after ssh from elsewhere.
export LC_ALL=C.UTF-8
# The gate refuses a store in a folder that others may write to.
umask 022

# ---- what must be installed ----

need_debian_packages() {
  command -v dpkg-query >/dev/null || return 0 # not Debian: the tools themselves are looked for below
  local lock
  mkdir -p "$deploy/.run"
  exec {lock}>"$deploy/.run/.apt-lock"
  flock "$lock" # several installations may start at the same time
  local missing=() package
  for package in "${debian_packages[@]}"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  if ((${#missing[@]})); then
    say "installing ${missing[*]}"
    apt_get install "${missing[@]}" || die "could not install ${missing[*]}; install them by hand and start again"
  fi
  exec {lock}>&-
}

# What apt-get says is shown only if it fails the second time: a machine that was never updated knows no packages.
apt_get() {
  local as_root=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "apt-get $* must be run, and there is no sudo: do it as root"
    as_root=(sudo)
  fi
  local apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends)
  "${apt_get[@]}" "$@" >/dev/null 2>&1 || { "${apt_get[@]}" update && "${apt_get[@]}" "$@"; } >/dev/null
}

# Unpacks what Debian has into a folder, and sets nothing up: `.stamp` there says that it is complete.
unpack_debian_packages() { # FOLDER PACKAGE...
  local folder=$1
  shift
  mkdir -p "$folder"
  folder=$(cd "$folder" && pwd)
  (
    exec 9>"$folder/.lock"
    flock 9 # two tests may start at the same time
    [[ $(cat "$folder/.stamp" 2>/dev/null) == "$*" ]] && exit
    say "unpacking $*"
    rm -rf "$folder/usr" "$folder/deb"
    mkdir "$folder/deb"
    cd "$folder/deb"
    apt_get download "$@" || die "could not fetch $*"
    for package in *.deb; do dpkg-deb --fsys-tarfile "$package" | tar -x -C "$folder" ./usr/share; done
    rm -r "$folder/deb"
    printf '%s\n' "$*" >"$folder/.stamp"
  )
}

# Becomes PHP's own web server, which answers one request at a time. Mails become files.
serve_php() { # PORT MAIL_FOLDER DOCUMENT_ROOT ROUTER
  exec php -d "sendmail_path=$deploy/sendmail '$2'" -d display_errors=0 -d log_errors=1 -S "127.0.0.1:$1" -t "$3" "$4"
}

# Debian 12's own rustc is older than the gate needs, so it is asked for and never installed behind one's back.
need_rust() {
  local wanted found
  [[ -d $HOME/.cargo/bin ]] && PATH=$PATH:$HOME/.cargo/bin
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
  found=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
  if ! command -v cargo >/dev/null || [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -1) != "$wanted" ]]; then
    die "needs Rust $wanted or newer (found: ${found:-none}). Install it with:
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
  fi
}

# Prints a Python that can make Plone's virtual environment; the pins are for 3.11.
plone_python() {
  local python
  for python in python3.11 python3 /usr/bin/python3.11; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
      command -v "$python"
      return
    fi
  done
  die "needs Python 3.11 with venv, as Debian 12 has it (packages python3 and python3-venv)"
}

# ---- ports and waiting ----

port_in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

need_free_port() { # PORT, what for, the variable that changes it
  ! port_in_use "$1" || die "port $1, wanted for $2, is in use; stop what listens there or set $3 to another port"
}

free_port() {
  "$(plone_python)" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# Waits until the service's http://localhost:PORT/PATH answers 2xx, for as long as it lives and at most SECONDS.
wait_until_ready() { # NAME PORT PATH SECONDS
  local deadline=$((SECONDS + $4))
  until answers "$2" "$3"; do
    kill -0 "${service_pid[$1]}" 2>/dev/null || broken "$1" "stopped before it answered"
    ((SECONDS < deadline)) || broken "$1" "did not answer within $4 s"
    sleep 0.2
  done
}

answers() ( # PORT PATH
  exec 2>/dev/null 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
  printf 'GET %s HTTP/1.1\r\nHost: localhost:%s\r\nConnection: close\r\n\r\n' "$2" "$1" >&3
  read -r -t 30 _ status _ <&3 && [[ $status == 2* ]]
)

# ---- background services ----
# Each runs in a session of its own, so that stopping it stops its children, and the kernel ends it should this
# script be killed outright.

declare -A service_pid=() service_log=()

start_service() { # NAME LOG COMMAND...; the pid is in ${service_pid[NAME]}
  local name=$1 log=$2
  shift 2
  setsid setpriv --pdeathsig TERM "$@" >"$log" 2>&1 </dev/null &
  service_pid[$name]=$!
  service_log[$name]=$log
}

stop_services() {
  local name pid deadline=$((SECONDS + 10))
  for name in "${!service_pid[@]}"; do kill -TERM -- "-${service_pid[$name]}" 2>/dev/null || true; done
  for name in "${!service_pid[@]}"; do
    pid=${service_pid[$name]}
    while kill -0 -- "-$pid" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.1; done
    kill -KILL -- "-$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    unset "service_pid[$name]"
  done
}

broken() { # NAME WHAT
  say "---- the end of ${service_log[$1]}:" >&2
  tail -n 20 "${service_log[$1]}" >&2 || true
  die "$1 $2"
}

# To be called before the first start_service: however the script ends, its services end first.
stop_services_at_exit() {
  trap 'stop_services' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}
