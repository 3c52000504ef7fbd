#!/bin/sh
# Build a Debian package of atmdepot with its Python dependencies: `packaging/debian.sh [DIRECTORY]`, from the checkout.
#
# Debian's own packages of some dependencies are too old, so the package has a virtual environment, /usr/lib/atmdepot, for
# the python3 of the Debian on which it is built. ATMDEPOT_WHEEL names a wheel to take in place of one built here. No root
# is needed.
set -eu

out=${1:-dist}
python=/usr/bin/python3
pip="${PIP:-.venv/bin/python -m pip}"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
home=usr/lib/atmdepot

say() { printf 'debian: %s\n' "$*" >&2; }

mkdir -p "$out"
if [ -z "${ATMDEPOT_WHEEL:-}" ]; then
    say "building the wheel, which takes a minute"
    # From the source distribution: what an earlier build left in the checkout must not be in it.
    .venv/bin/python -m build --no-isolation -o "$stage/wheel" . >"$stage/log" 2>&1 || { cat "$stage/log" >&2; exit 1; }
    ATMDEPOT_WHEEL=$(echo "$stage"/wheel/*.whl)
fi

say "installing it with its dependencies for $($python --version)"
root="$stage/root"
mkdir -p "$root/$home"
$python -m venv --without-pip "$root/$home"
# Wheels alone: what would be compiled here might need libraries that the package does not name.
$pip --python "$root/$home/bin/python3" install -q --disable-pip-version-check --no-compile --only-binary :all: \
    "$ATMDEPOT_WHEEL" 2>"$stage/log" || { cat "$stage/log" >&2; exit 1; }
# The programs of dependencies are not wanted, and no file may name the directory of the build.
find "$root/$home/bin" -type f ! -name python3 -delete
sed -i "s#$root##" "$root/$home/pyvenv.cfg"
printf '#!/%s/bin/python3 -P\nimport sys\n\nfrom atmdepot.cli import main\n\nsys.argv[0] = "atmdepot"\nmain()\n' "$home" \
    >"$root/$home/bin/atmdepot"
chmod 755 "$root/$home/bin/atmdepot"
find "$root" -name '*.dist-info' -type d -exec sh -c 'rm -f "$1/direct_url.json" "$1/RECORD"' _ {} \;
mkdir -p "$root/usr/bin" "$root/usr/share/man/man1" "$root/lib/systemd/system" "$root/usr/lib/sysusers.d" \
    "$root/etc/atmdepot" "$root/usr/share/doc/atmdepot" "$root/usr/share/bash-completion/completions" "$root/DEBIAN"
ln -s "/$home/bin/atmdepot" "$root/usr/bin/atmdepot"
.venv/bin/python docs/make_man.py | gzip -9n >"$root/usr/share/man/man1/atmdepot.1.gz"
_ATMDEPOT_COMPLETE=bash_source .venv/bin/atmdepot >"$root/usr/share/bash-completion/completions/atmdepot"
cp packaging/systemd/*.service "$root/lib/systemd/system/"
echo 'u atmdepot - "atmdepot daemons" /nonexistent' >"$root/usr/lib/sysusers.d/atmdepot.conf"
cp LICENSE "$root/usr/share/doc/atmdepot/copyright"

version=$(.venv/bin/python -c 'import atmdepot; print(atmdepot.__version__.replace(".dev", "~dev"))')
minor=$($python -c 'import sys; print(sys.version_info[1])')
arch=all
[ -z "$(find "$root" -name '*.so' -print -quit)" ] || arch=$(dpkg --print-architecture)
cat >"$root/DEBIAN/control" <<END
Package: atmdepot
Version: $version
Architecture: $arch
Maintainer: atmdepot <atmdepot@localhost>
Installed-Size: $(du -sk "$root" | cut -f 1)
Depends: python3 (>= 3.$minor), python3 (<< 3.$((minor + 1)))
Recommends: iproute2, nginx-light | nginx, curl
Section: net
Priority: optional
Description: depot that switches TCP sessions among servers over ATM
 It carries the clients' IP packets, unchanged, in AAL5 cells over UDP to edge
 nodes in front of replicated servers. The Python packages that it needs are
 inside, under /$home.
END
cat >"$root/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers atmdepot.conf
    elif ! getent passwd atmdepot >/dev/null; then
        useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin atmdepot
    fi
    if [ -d /run/systemd/system ]; then
        systemctl daemon-reload
        # At an upgrade the running nodes take the new code: Python reads modules late, and they are replaced.
        if [ -n "${2:-}" ]; then
            nodes=$(systemctl list-units --plain --no-legend --state=active 'atmdepot@*.service' | cut -d ' ' -f 1)
            [ -z "$nodes" ] || deb-systemd-invoke try-restart $nodes
        fi
    fi
fi
END
cat >"$root/DEBIAN/prerm" <<'END'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    nodes=$(systemctl list-units --plain --no-legend 'atmdepot@*.service' | cut -d ' ' -f 1)
    [ -z "$nodes" ] || deb-systemd-invoke stop $nodes
fi
END
cat >"$root/DEBIAN/postrm" <<'END'
#!/bin/sh
set -e
# What Python compiled is nobody's but ours; at an upgrade the new files are there already. /etc/atmdepot has only files
# of the administrator's, which stay.
case "$1" in
remove) rm -rf /usr/lib/atmdepot /run/atmdepot ;;
purge) rm -f /etc/systemd/system/*.wants/atmdepot@*.service ;;
esac
[ ! -d /run/systemd/system ] || systemctl daemon-reload
END
# What `dpkg --verify` compares the files with.
(cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm" "$root/DEBIAN/postrm"
package="$out/atmdepot_${version}_$arch.deb"
dpkg-deb --root-owner-group -Zxz -b "$root" "$package" >/dev/null
say "$package, $(du -h "$package" | cut -f 1)"
