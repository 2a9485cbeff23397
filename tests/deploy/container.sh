#!/bin/bash
# Runs the image of deploy/Containerfile in namespaces without a network: `cargo xtask image --check` starts this.
#
#   container.sh IMAGE FOLDER DOCUMENT [PODMAN-OPTION...]
#
# FOLDER is for files of this run. Needs podman, crun and curl, and namespaces of mounts, processes and the network.
set -eu
image=$1 folder=$2 document=$3
shift 3
options=("$@")

# In these namespaces alone: podman's runtime needs one tree of cgroups (it makes none here), and the loopback device.
mount --make-rprivate /
umount --recursive /sys/fs/cgroup 2> /dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up

# As the operator's guide says, but for the network (nothing to publish), and limits that this machine may have set lower than
# podman's own.
hardened=(--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges
    --cgroups disabled --network host --runtime crun
    --ulimit "nofile=$(ulimit -Hn):$(ulimit -Hn)" --ulimit nproc=4096:4096)
# Health checks are run by hand: there is no systemd to run them on time, which podman reports as an error.
podman() { command podman --log-level=fatal "${options[@]}" "$@"; }
fail() {
    echo "error: $*" >&2
    podman logs $ok 2>&1 | tail -20 >&2 || true
    exit 1
}
seconds() { date +%s.%N; }
since() { awk -v from="$1" -v to="$(seconds)" 'BEGIN { printf "%6.2f s", to - from }'; }

# These containers and this volume alone: the storage may be that of a user.
ok=lector-check refused=lector-check-refused warned=lector-check-warned volume=lector-check-data
clean_up() {
    podman rm --force --ignore --time 0 $ok $refused $warned > /dev/null 2>&1 || true
    podman volume rm --force $volume > /dev/null 2>&1 || true
}
trap clean_up EXIT
clean_up

echo "--> as the operator's guide says"
podman create --name $ok "${hardened[@]}" --volume $volume:/var/lib/lector "$image" > /dev/null
begin=$(seconds)
podman start $ok > /dev/null
until podman exec $ok lector healthcheck http://127.0.0.1:8080 2> /dev/null; do
    [ "$(podman inspect --format '{{.State.Running}}' $ok)" = true ] || fail "the server ended"
    sleep 0.1
done
echo "$(since "$begin")  from the start of the container to a passed health check"
podman healthcheck run $ok || fail "the health check of the image fails"
key=$(podman exec $ok cat /var/lib/lector/admin.key)
curl --silent --show-error --fail --header "X-Api-Key: $key" --form "file=@$document" \
    'http://127.0.0.1:8080/api/v1/ocr?format=text&pages=1&text_layer=never' > "$folder/page" || fail "no page"
grep -q Quay "$folder/page" || fail "the page has another text: $(cat "$folder/page")"
echo "$(since "$begin")  to the first page"
[ "$(curl --silent --output /dev/null --write-out '%{http_code}' --form "file=@$document" http://127.0.0.1:8080/api/v1/ocr)" = 401 ] ||
    fail "a request without a key is answered"
[ "$(podman exec $ok id -u)" = 10001 ] || fail "the server runs as another user"
podman exec $ok sh -c 'touch /opt/lector/x' 2> /dev/null && fail "the root file system can be written"
podman exec $ok grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/1/status | tr '\t\n' ' ;' && echo
podman stop --time 45 $ok > /dev/null
[ "$(podman inspect --format '{{.State.ExitCode}}' $ok)" = 0 ] || fail "the server does not end by itself"

echo "--> again, with the same volume: the key stays"
podman rm $ok > /dev/null
podman create --name $ok "${hardened[@]}" --volume $volume:/var/lib/lector "$image" > /dev/null
begin=$(seconds)
podman start $ok > /dev/null
until podman exec $ok lector healthcheck http://127.0.0.1:8080 2> /dev/null; do
    [ "$(podman inspect --format '{{.State.Running}}' $ok)" = true ] || fail "the server ended"
    sleep 0.1
done
echo "$(since "$begin")  from the start of the container to a passed health check"
[ "$(podman exec $ok cat /var/lib/lector/admin.key)" = "$key" ] || fail "there is another key"
podman rm --force --time 45 $ok > /dev/null

# without NAME CALLS EXPECTED: runs the server where the kernel refuses these system calls.
without() {
    echo "--> without $1"
    printf '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[%s],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}' "$2" > "$folder/$1.json"
    podman rm --force --ignore $refused > /dev/null
    if podman run --name $refused "${hardened[@]}" --security-opt "seccomp=$folder/$1.json" "$image" serve > "$folder/$1.log" 2>&1; then
        fail "the server ran without $1"
    fi
    grep -iE "$3" "$folder/$1.log" | tail -1 | grep . || fail "the message does not name $1: $(cat "$folder/$1.log")"
}
without landlock '"landlock_create_ruleset","landlock_add_rule","landlock_restrict_self"' 'sandbox is incomplete.*landlock'
without seccomp '"seccomp"' 'sandbox is incomplete.*seccomp'

echo "--> without landlock, and documents.sandbox = warn"
podman run --detach --name $warned "${hardened[@]}" --security-opt "seccomp=$folder/landlock.json" \
    --env LECTOR__DOCUMENTS__SANDBOX=warn "$image" > /dev/null
until podman exec $warned lector healthcheck http://127.0.0.1:8080 2> /dev/null; do
    [ "$(podman inspect --format '{{.State.Running}}' $warned)" = true ] || fail "the server ended: $(podman logs $warned 2>&1 | tail)"
    sleep 0.1
done
podman logs $warned 2>&1 | grep -i landlock | tail -1 | grep . || fail "the log does not name landlock"
