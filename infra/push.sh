#!/usr/bin/env bash
# Pushes the image of this commit to ECR and prints its reference by digest, the only line on standard output.
#
#   AWS credentials and AWS_DEFAULT_REGION as the AWS command line reads them
#   REPOSITORY    name of the ECR repository (lung-tumor-detection)
set -euo pipefail
cd "$(dirname "$0")/.."

repository=${REPOSITORY:-lung-tumor-detection}
revision=$(git rev-parse HEAD)
docker image inspect "lung-tumor-detection:$revision" >/dev/null 2>&1 || {
    echo "no image lung-tumor-detection:$revision; commit your changes, then \`make image\`" >&2
    exit 1
}

find_repository() {
    aws ecr describe-repositories --repository-names "$repository" --query 'repositories[0].repositoryUri' --output text
}
uri=$(find_repository 2>/dev/null) || {
    aws ecr create-repository --repository-name "$repository" --image-tag-mutability IMMUTABLE \
        --image-scanning-configuration scanOnPush=true >/dev/null
    uri=$(find_repository)
}

# A tag is written once: a commit that was pushed keeps its first image.
digest=$(aws ecr describe-images --repository-name "$repository" --image-ids imageTag="$revision" \
    --query 'imageDetails[0].imageDigest' --output text 2>/dev/null) || digest=
if [ -n "$digest" ]; then
    echo "$revision is in $repository already; not pushed again" >&2
    echo "$uri@$digest"
    exit 0
fi

# The login lives in a folder of its own and goes with it.
DOCKER_CONFIG=$(mktemp -d)
export DOCKER_CONFIG
trap 'rm -rf "$DOCKER_CONFIG"' EXIT
aws ecr get-login-password | docker login --username AWS --password-stdin "${uri%%/*}" >&2

docker tag "lung-tumor-detection:$revision" "$uri:$revision"
docker push "$uri:$revision" >&2
docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$uri:$revision" | grep --max-count=1 "^$uri@"
