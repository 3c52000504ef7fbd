#!/bin/sh
# Set up what a make target needs: `testbed/setup.sh demo|bench|test`, from the checkout.
#
# As root the missing system packages are installed (Debian, Ubuntu); otherwise it tells which they are and goes on.
# Everything of Python's goes into a virtual environment of the checkout's own, .venv.
set -eu

purpose=${1:?demo, bench or test}
venv=.venv

say() { printf 'setup: %s\n' "$*" >&2; }

# The command that a package is there for, and the package.
wanted="curl:curl nginx:nginx-light ping:iputils-ping ip:iproute2"
[ "$purpose" = demo ] || wanted="$wanted ab:apache2-utils wrk:wrk iperf3:iperf3 nft:nftables haproxy:haproxy"
# What compiles the data path; a demo does without.
[ "$purpose" = demo ] || wanted="$wanted gcc:gcc"
[ "$purpose" = test ] && wanted="$wanted tshark:tshark setpriv:util-linux dockerd:docker.io docker:docker.io docker-compose:docker-compose debootstrap:debootstrap promtool:prometheus"

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
    # nginx and haproxy are wanted as programs, not as services of this machine: do not let their packages start them.
    policy=/usr/sbin/policy-rc.d
    ours=""
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        ours=yes
        trap 'rm -f "$policy"' EXIT
    fi
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
    if [ -n "$ours" ]; then
        rm -f "$policy"
        trap - EXIT
    fi
    # Tests start a Docker of their own, and use Prometheus's promtool only.
    case "$missing" in *nginx*) systemctl disable nginx >/dev/null 2>&1 || true ;; esac
    case "$missing" in *haproxy*) systemctl disable haproxy >/dev/null 2>&1 || true ;; esac
    case "$missing" in *prometheus*) systemctl disable prometheus prometheus-node-exporter >/dev/null 2>&1 || true ;; esac
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

stamp="$venv/.ready-for-$purpose"
# Whatever is compiled is compiled anew when a source of it has changed.
if [ ! -e "$stamp" ] || [ -n "$(find pyproject.toml setup.py atmdepot -newer "$stamp" \
        \( -name '*.toml' -o -name '*.py' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h' \) -print -quit)" ]; then
    [ -x "$venv/bin/python" ] || { say "making $venv with $("$python" --version)"; "$python" -m venv "$venv"; }
    extra=""
    [ "$purpose" = test ] && extra="[dev]"
    say "installing atmdepot and what it needs into $venv (where there is a compiler, this takes a minute)"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check -e ".$extra"
    touch "$stamp"
fi
