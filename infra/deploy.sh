#!/usr/bin/env bash
# Puts an image in front of users on this host, or leaves the one that is there. Runs on the host; see remote_deploy.sh.
#
#   deploy.sh REGISTRY/REPOSITORY@sha256:DIGEST
#
#   NAME      name of the container (lung-tumor)
#   PORT      port of the host (8080)
#   MEMORY    limit of the container (2g; docs/deployment.md says what needs it)
#   NETWORK   Docker network (bridge)
#   PATIENCE  seconds that a container has to become healthy (90)
set -euo pipefail

image=${1:?usage: deploy.sh REGISTRY/REPOSITORY@sha256:DIGEST}
name=${NAME:-lung-tumor}
port=${PORT:-8080}
patience=${PATIENCE:-90}

say() { echo "deploy: $*" >&2; }
[[ $image =~ ^[^/]+/.+@sha256:[0-9a-f]{64}$ ]] || { say "name the image by digest, received $image"; exit 2; }
exec 9>"${TMPDIR:-/tmp}/$name.deploy.lock"
flock --nonblock 9 || { say "another deployment is under way"; exit 3; }

start() { # CONTAINER, then further arguments of `docker run`
    docker run --detach --name "$@" --stop-timeout 80 --init --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
        --memory "${MEMORY:-2g}" --pids-limit 256 --log-opt max-size=10m --log-opt max-file=3 "$image" >/dev/null
}
exists() { docker container inspect "$1" >/dev/null 2>&1; }
remove() { docker rm --force "$1" >/dev/null 2>&1 || true; }
state() { docker inspect --format '{{.State.Running}} {{.State.Health.Status}}' "$1"; }
healthy() { [ "$(state "$1")" = "true healthy" ]; }
answers() {
    curl --noproxy '*' --silent --fail --max-time 4 --output /dev/null "http://127.0.0.1:$port/readyz" &&
        [[ $(state "$1") == true* ]]
}
becomes() { # CHECK CONTAINER: wait until the check succeeds; not when patience ends, the container stops or falls ill
    local end=$((SECONDS + patience))
    until "$1" "$2"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        case $(state "$2") in "true starting" | "true healthy") sleep 1 ;; *) return 1 ;; esac
    done
}

# A container restarts by itself from the moment it has answered once; before, one that ends at once would look alive.
proven() { [ "$(docker inspect --format '{{.HostConfig.RestartPolicy.Name}}' "$1" 2>/dev/null)" = unless-stopped ]; }
roll_back() {
    remove "$name"
    exists "$name-previous" || return 0
    docker rename "$name-previous" "$name"
    # Not `start`: an interrupted `stop` may still be under way.
    docker restart -t 80 "$name" >/dev/null
    if becomes answers "$name"; then say "rolled back"; else say "ROLLED BACK, BUT NOTHING ANSWERS"; fi
}

switching=
login=
finish() {
    local status=$?
    set +e
    trap - EXIT
    [ -z "$login" ] || rm -rf "$login"
    remove "$name-candidate"
    if [ -n "$switching" ] && ! proven "$name"; then
        if exists "$name"; then docker logs --tail 50 "$name" >&2; fi
        roll_back
    fi
    # Refused, rightly, where a container uses it.
    [ "$status" -eq 0 ] || docker image rm "$image" >/dev/null 2>&1
    exit "$status"
}
trap finish EXIT
trap 'exit 143' HUP INT TERM

if [[ $image =~ ^[0-9]+\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\. ]]; then
    login=$(mktemp -d)
    export DOCKER_CONFIG=$login
    aws ecr get-login-password --region "${BASH_REMATCH[1]}" |
        docker login --username AWS --password-stdin "${image%%/*}" >&2
fi
docker pull --quiet "$image" >&2

# What a deployment that was killed half-way may have left.
remove "$name-candidate"
if exists "$name-previous"; then
    if proven "$name"; then remove "$name-previous"; else roll_back; fi
fi

# First without a network, beside the container that serves: an image that cannot start costs users nothing.
start "$name-candidate" --network none --health-interval 1s
becomes healthy "$name-candidate" || {
    docker logs --tail 50 "$name-candidate" >&2
    say "$image did not become healthy; nothing was changed"
    exit 1
}
remove "$name-candidate"

switching=yes
old_image=
if exists "$name"; then
    old_image=$(docker inspect --format '{{.Image}}' "$name")
    docker rename "$name" "$name-previous"
    docker stop -t 80 "$name-previous" >/dev/null
fi
start "$name" --network "${NETWORK:-bridge}" --publish "$port:8080"
becomes answers "$name" || {
    say "$image does not answer on port $port"
    exit 1
}
docker update --restart unless-stopped "$name" >/dev/null
switching=

remove "$name-previous"
# Refused, rightly, where the old image is the new one or another container uses it.
[ -z "$old_image" ] || docker image rm "$old_image" >/dev/null 2>&1 || true
say "$image serves on port $port"
