# Runs beside the node, as a unit of the same systemd, and tells one fact a line.
show() { systemctl show "$1" -p "$2" --value; }
until_is() { # until_is UNIT STATE: within 30 s
    for _ in $(seq 300); do
        [ "$(show "$1" ActiveState)" = "$2" ] && return
        sleep 0.1
    done
}
armed() { ringfence status -o json | /usr/bin/python3 -c 'import json, sys
print(str(any(w["armed"] for w in json.load(sys.stdin)["workloads"])).lower())'; }
until_armed() {
    for _ in $(seq 300); do
        [ "$(armed)" = true ] && return
        sleep 0.1
    done
}

until_is ringfence active
echo "node $(show ringfence ActiveState)"
node=$(show ringfence MainPID)
sleep 2
echo "line $(show ringfence StatusText)"
of() { sed -n "s/^$2:\t*//p" "/proc/$1/status"; }
echo "capabilities $(of "$node" CapEff)"
echo "seccomp $(of "$node" Seccomp)"
echo "nnp $(of "$node" NoNewPrivs)"
enforcer=$(ringfence status -o json | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["enforcer"]["pid"])')
echo "enforcer $(of "$enforcer" Uid | cut -f1) $(of "$enforcer" CapEff)"

systemctl start ringfence@clerk
until_armed
echo "workload $(show ringfence@clerk ActiveState)"
echo "armed $(armed)"
workload=$(show ringfence@clerk MainPID)
cd /tmp
setpriv --reuid 12345 --regid 12345 --clear-groups ringfence run --state /var/lib/ringfence clerk -- "$(realpath /usr/bin/sleep)" 1
echo "elsewhere $?"

systemctl reload ringfence
echo "reload $?"
systemctl restart ringfence
echo "restart $?"
until_armed
[ "$(armed) $(show ringfence@clerk MainPID)" = "true $workload" ] && echo "same yes"

# A node that hangs is not fed: it is ended, and started anew.
node=$(show ringfence MainPID)
kill -STOP "$node"
for _ in $(seq 300); do
    other=$(show ringfence MainPID)
    [ "$other" != "$node" ] && [ "$other" != 0 ] && [ "$(show ringfence ActiveState)" = active ] && break
    sleep 0.1
done
until_armed
if [ "$other" != "$node" ] && [ "$(armed) $(show ringfence@clerk MainPID)" = "true $workload" ]; then
    echo "watchdog another node, the same workload"
fi
