#!/bin/sh
# Makes greeting.tar, the example image, from the files below: three layers, made with umoci.
# Needs umoci, jq, gzip and tar, and root or a user namespace for the owners of files.
#
# usage: make-image.sh [DIRECTORY]      (where to put greeting.tar; default: beside this file)
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
target=${1:-$here}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# Everything that could differ from one run to the next is fixed.
umask 022
export TZ=UTC LC_ALL=C
created=2026-01-02T03:04:05Z
stamp='2026-01-02 03:04:05 UTC'

image=$work/image
root=$work/bundle/rootfs

step() { # step TEXT: pack what changed in the root file system as a layer
    find "$root" -exec touch -h -d "$stamp" {} +
    umoci repack --image "$image:v1" --refresh-bundle \
        --history.created "$created" --history.created_by "$1" "$work/bundle"
}

umoci init --layout "$image"
umoci new --image "$image:v1"
umoci config --image "$image:v1" --no-history --created "$created" \
    --os linux --architecture amd64 \
    --config.entrypoint /bin/greet --config.env GREETING=Ahoy
umoci unpack --image "$image:v1" "$work/bundle"

# Layer 1: a small tree with every kind of entry that needs no privilege to read.
mkdir -p "$root/bin" "$root/etc/motd.d" "$root/usr/share/greet/old" "$root/tmp"
chmod 1777 "$root/tmp"
cat >"$root/bin/greet" <<'SCRIPT'
#!/bin/sh
echo "$GREETING, $(cat /etc/greet.conf)!"
SCRIPT
chmod 755 "$root/bin/greet"
ln "$root/bin/greet" "$root/bin/hello"
ln -s greet "$root/bin/hi"
ln -s usr/share "$root/share"
echo sailor >"$root/etc/greet.conf"
echo 'This file goes in the second layer.' >"$root/etc/motd.d/10-gone"
echo 'This one stays.' >"$root/etc/motd.d/20-stays"
for language in de en fr; do
    echo "$language: hello" >"$root/usr/share/greet/old/$language"
done
step 'the greeter'

# Layer 2: whiteouts of a file and of a whole directory, and a change of mode.
rm "$root/etc/motd.d/10-gone"
rm -r "$root/usr/share/greet/old"
mkdir "$root/usr/share/greet/new"
echo 'de: Moin' >"$root/usr/share/greet/new/de"
chmod 600 "$root/etc/greet.conf"
step 'new languages'

# Layer 3, packed by hand: umoci writes whiteouts one by one, and this one shall be opaque.
mkdir -p "$work/layer/etc/motd.d"
: >"$work/layer/etc/motd.d/.wh..wh..opq"
echo 'Only this is left.' >"$work/layer/etc/motd.d/30-fresh"
ln "$work/layer/etc/motd.d/30-fresh" "$work/layer/etc/motd.d/31-same"
tar --sort=name --format=pax --pax-option=delete=atime,delete=ctime --mtime="$stamp" \
    --owner=0 --group=0 --numeric-owner -C "$work/layer" -cf "$work/layer.tar" etc
umoci raw add-layer --image "$image:v1" \
    --history.created "$created" --history.created_by 'a fresh message' "$work/layer.tar"
umoci gc --layout "$image"

# The index names the image in full, so that tools need not be told.
jq -c '.manifests[0].annotations["org.opencontainers.image.ref.name"] = "example.com/greeting:v1"' \
    "$image/index.json" >"$work/index.json"
cp "$work/index.json" "$image/index.json"
tar --sort=name --format=ustar --mtime="$stamp" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    -C "$image" -cf "$target/greeting.tar" oci-layout index.json blobs
