# First process of a host of its own: `boot.sh DIR`. Nothing outside DIR is written: /etc is an overlay, /run, /var/lib, /tmp
# and /var/tmp are its own, and so is its hierarchy of control groups.
set -e
root=$1
mount -t proc proc /proc
mount -t tmpfs -o mode=755 none /run
mount -t tmpfs -o mode=755 none /var/lib
# DIR stays where it is, over temporary directories that go with this host.
mkdir /run/kept
mount --bind "$root" /run/kept
mount -t tmpfs -o mode=1777 none /tmp
mount -t tmpfs -o mode=1777 none /var/tmp
mkdir -p "$root"
mount --bind /run/kept "$root"
# Overlays cannot lie on every file system; a tmpfs always does.
mount -t tmpfs none "$root/etc"
mkdir "$root/etc/upper" "$root/etc/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$root/etc/upper,workdir=$root/etc/work" none /etc
mount --bind "$root/bin" /usr/local/bin
ip link set lo up
# Seen anew, so that the group we are in is its root.
if grep -q '^[0-9]*:name=systemd:' /proc/self/cgroup; then
    umount -l /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd none /sys/fs/cgroup/systemd
else
    umount -l /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
fi
echo 'agent:x:12345:12345::/:/bin/sh' >>/etc/passwd
echo 'agent:x:12345:' >>/etc/group

mkdir -p /etc/ringfence /etc/ringfence-run
cat >/etc/ringfence/estate.yaml <<YAML
apiVersion: ringfence.dev/v1alpha1
kind: Agent
metadata: { name: clerk }
spec:
  attest:
    uid: 12345
    exe: $(realpath /usr/bin/sleep)
    sha256: $(sha256sum /usr/bin/sleep | cut -d' ' -f1)
    unit: ringfence@clerk.service
YAML
chmod 755 /etc/ringfence && chmod 644 /etc/ringfence/estate.yaml
echo "COMMAND=$(realpath /usr/bin/sleep) 1000" >/etc/ringfence-run/clerk

# Only our units, and what they stand on, empty: nothing of the distribution's is started.
units=$root/units
for name in sysinit basic shutdown network nss-lookup multi-user rescue emergency; do
    printf '[Unit]\nDefaultDependencies=no\n' >"$units/$name.target"
done
printf '[Unit]\nDefaultDependencies=no\nWants=ringfence.service tell.service\n' >"$units/default.target"
for name in ringfence.service ringfence@.service; do
    mkdir -p "$units/$name.d"
    printf '[Service]\nStandardOutput=append:%s/said\nStandardError=append:%s/said\n' "$root" "$root" >"$units/$name.d/out.conf"
done
printf '[Service]\nWatchdogSec=5\n' >"$units/ringfence.service.d/watchdog.conf"
mkdir "$units/ringfence@clerk.service.d"
printf '[Service]\nUser=agent\n' >"$units/ringfence@clerk.service.d/user.conf"
cat >"$units/tell.service" <<UNIT
[Unit]
DefaultDependencies=no
After=ringfence.service
[Service]
Type=oneshot
Environment=SYSTEMD_UNIT_PATH=$units
ExecStart=/bin/bash $root/tell.sh
StandardOutput=append:$root/told
StandardError=append:$root/said
ExecStopPost=/bin/kill -RTMIN+14 1
UNIT
export container=unshare SYSTEMD_UNIT_PATH="$units" SYSTEMD_LOG_TARGET=console
exec /lib/systemd/systemd --system --unit=default.target --show-status=no >"$root/systemd" 2>&1 </dev/null
