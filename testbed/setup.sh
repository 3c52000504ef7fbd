#!/bin/sh
# Set up what a make target needs, and run its command: `testbed/setup.sh demo|bench|test [COMMAND...]`, from the checkout.
#
# As root the missing system packages are installed (Debian, Ubuntu); otherwise it tells which they are and goes on.
# Everything of Python's goes into a virtual environment of the checkout's own, .venv.
set -eu

purpose=${1:?demo, bench or test}
shift
venv=.venv

say() { printf 'setup: %s\n' "$*" >&2; }

# With these, a signal ends by the trap of EXIT: sh alone would not go by it.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# The command that a package is there for, and the package.
wanted="curl:curl nginx:nginx-light ping:iputils-ping ip:iproute2"
[ "$purpose" = demo ] || wanted="$wanted ab:apache2-utils wrk:wrk iperf3:iperf3 nft:nftables haproxy:haproxy"
# What compiles the data path; a demo does without.
[ "$purpose" = demo ] || wanted="$wanted gcc:gcc"
[ "$purpose" = test ] && wanted="$wanted tshark:tshark setpriv:util-linux dockerd:docker.io docker:docker.io docker-compose:docker-compose debootstrap:debootstrap promtool:prometheus keepalived:keepalived etcd:etcd-server bird:bird2 faketime:faketime squid:squid dnsmasq:dnsmasq-base chromium:chromium chromedriver:chromium-driver systemd-analyze:systemd groff:groff dpkg-deb:dpkg"
# Debian has Dynamips in non-free, Ubuntu in multiverse: it is wanted where these are enabled.
if [ "$purpose" = test ] && apt-cache show dynamips >/dev/null 2>&1; then wanted="$wanted dynamips:dynamips"; fi

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

# nginx's stream module is no command: it is built in, or a file where Debian has it.
has_stream() {
    [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] ||
        PATH="$PATH:/usr/sbin:/sbin" nginx -V 2>&1 | tr ' ' '\n' | grep -qx -- --with-stream
}

# Python's own headers, without which nothing can be compiled for it.
has_headers() {
    "$(find_python)" -c 'import sys, sysconfig, os
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' 2>/dev/null
}

missing=""
for pair in $wanted; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
[ "$purpose" = demo ] || has_stream || missing="$missing libnginx-mod-stream"
[ -n "$(find_python)" ] || missing="$missing python3 python3-venv"
if [ "$purpose" != demo ]; then
    [ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
    has_headers || missing="$missing python3-dev"
fi

install_packages() {
    say "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # nginx, keepalived and others are wanted as programs, not as services of this machine: do not let their packages
    # start them.
    policy=/usr/sbin/policy-rc.d
    mark="# Of atmdepot's testbed/setup.sh, which removes it"
    # One that a killed setup has left is ours, too: it would keep every service of this machine from being started.
    if [ ! -e "$policy" ] || grep -qxF "$mark" "$policy"; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
        chmod +x "$policy"
    fi
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
    if grep -qxF "$mark" "$policy"; then rm -f "$policy"; fi
    trap - EXIT
    # Tests start a Docker of their own, and use Prometheus's promtool only.
    case "$missing" in *nginx*) systemctl disable nginx >/dev/null 2>&1 || true ;; esac
    case "$missing" in *haproxy*) systemctl disable haproxy >/dev/null 2>&1 || true ;; esac
    case "$missing" in *prometheus*) systemctl disable prometheus prometheus-node-exporter >/dev/null 2>&1 || true ;; esac
    case "$missing" in *keepalived*) systemctl disable keepalived >/dev/null 2>&1 || true ;; esac
    case "$missing" in *etcd-server*) systemctl disable etcd >/dev/null 2>&1 || true ;; esac
    case "$missing" in *squid*) systemctl disable squid >/dev/null 2>&1 || true ;; esac
    case "$missing" in *bird2*) systemctl disable bird >/dev/null 2>&1 || true ;; esac
    case "$missing" in *docker.io*) systemctl disable docker containerd >/dev/null 2>&1 || true ;; esac
    # Ubuntu 22.04's python3 is too old, but it has a newer one beside it.
    [ -n "$(find_python)" ] || apt-get install -y -qq python3.11 python3.11-venv >/dev/null || true
}

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        install_packages
    else
        say "these packages are missing, and only root can install them: apt-get install$missing"
    fi
fi

python=$(find_python)
if [ -z "$python" ]; then
    say "Python 3.11 or later with its venv module is needed: apt-get install python3 python3-venv"
    exit 5
fi

# What a program printed last, without pip's warnings.
last_line() { grep -v '^WARNING' "$1" | tail -n 1; }

# `watch PID WHAT LOG` waits for a process that prints to LOG: on a terminal with the seconds and its last line, elsewhere
# with a line each ten seconds. Where it fails, what it printed is shown.
watch() {
    began=$(date +%s) told=0
    while kill -0 "$1" 2>/dev/null; do
        sleep 0.2
        seconds=$(($(date +%s) - began))
        if [ -t 2 ]; then
            printf '\rsetup: %s s  %.60s\033[K' "$seconds" "$(last_line "$3")" >&2
        elif [ $((seconds - told)) -ge 10 ]; then
            told=$seconds
            line=$(last_line "$3" | cut -c 1-60)
            say "$seconds s${line:+: $line}"
        fi
    done
    [ ! -t 2 ] || printf '\r\033[K' >&2
    status=0
    wait "$1" || status=$?
    [ "$status" = 0 ] || { cat "$3" >&2; say "failed: $2"; }
    return "$status"
}

# `step WHAT COMMAND...` says what a command is for, and runs it as `watch` does. What runs beside this shell hears no
# Ctrl-C, so each has a session of its own, by which `tidy` ends all of it.
step() {
    what=$1
    shift
    say "$what"
    setsid "$@" >"$log" 2>&1 &
    running=$!
    watch "$running" "$what" "$log"
    running=""
}

# `install WHAT PACKAGE...`. Byte code is written when a module is first used. The package itself is not compiled here.
install() {
    what=$1
    shift
    step "$what" env ATMDEPOT_PURE=1 "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-compile \
        --no-build-isolation "$@"
}

# `compiled WHAT` waits for the compiler. The mark's time is that of its beginning: what changes in between is compiled
# next time.
compiled() {
    watch "$compiler" "$1" "$compile_log" || return
    mv "$venv/.compiling" "$venv/.compiled"
}

changed_since() {
    [ ! -e "$1" ] || [ -n "$(find pyproject.toml setup.py atmdepot -newer "$1" \( -name "$2" -o -name "${3:-$2}" \
        -o -name "${4:-$2}" -o -name "${5:-$2}" \) -print -quit)" ]
}

log=$(mktemp)
compile_log=$(mktemp)
compiler="" running=""
tidy() {
    for job in $running $compiler; do kill -s TERM -- "-$job" 2>/dev/null || true; done
    rm -f "$log" "$compile_log"
}
trap tidy EXIT

[ -x "$venv/bin/python" ] || step "making $venv with $("$python" --version)" "$python" -m venv "$venv"

# The demo's user looks at the pictures next, so what these need comes along.
extra="[top,view]" installed="$venv/.installed-with-pictures"
[ "$purpose" != test ] || extra="[dev]" installed="$venv/.installed-for-test"
"$venv/bin/python" -c 'import Cython, setuptools; assert int(setuptools.__version__.split(".")[0]) >= 77' 2>/dev/null ||
    install "installing Cython" "setuptools>=77" "cython>=3.1"

if [ -z "${ATMDEPOT_PURE:-}" ] && changed_since "$venv/.compiled" "*.py" "*.pyx" "*.pxd" "*.h"; then
    if command -v gcc >/dev/null 2>&1 && [ -e /usr/include/stdio.h ] && has_headers; then
        say "compiling the data path, which takes about a minute"
        touch "$venv/.compiling"
        setsid "$venv/bin/python" setup.py -q build_ext --inplace >"$compile_log" 2>&1 &
        compiler=$!
    else
        say "nothing is compiled, so the data path is plain Python: apt-get install gcc libc6-dev python3-dev"
    fi
fi

if changed_since "$installed" "*.toml"; then
    install "installing atmdepot and what it needs into $venv" -e ".$extra"
    touch "$installed"
fi

next_step() {
    [ "$purpose" = demo ] && [ "$outcome" = 0 ] || return 0
    say "next: \`. $venv/bin/activate\`, \`atmdepot lab up direct\`, then \`atmdepot view\` or the tour in README.md"
}

# A demo does not wait for the compiler.
if [ "$purpose" = demo ] && [ -n "$compiler" ] && kill -0 "$compiler" 2>/dev/null && [ $# -gt 0 ]; then
    say "the data path is being compiled: meanwhile the demo is in plain Python"
    outcome=0
    ATMDEPOT_PURE=1 "$@" || outcome=$?
    say "the data path is still being compiled, for what you run next"
    compiled "the data path stays plain Python" || true
    compiler=""
    next_step
    exit "$outcome"
fi
if [ -n "$compiler" ]; then
    compiled "compiling the data path"
    compiler=""
fi
outcome=0
[ $# = 0 ] || "$@" || outcome=$?
next_step
exit "$outcome"
