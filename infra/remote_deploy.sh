#!/usr/bin/env bash
# Runs deploy.sh on the host of the stack, through AWS Systems Manager: no SSH, no key, no open port.
#
#   AWS credentials and AWS_DEFAULT_REGION as the AWS command line reads them
#   STACK      name of the CloudFormation stack made from infra/stack.yml (lung-tumor)
#   REVISION   commit whose image is wanted (HEAD); an earlier one rolls back
set -euo pipefail
cd "$(dirname "$0")/.."

stack=${STACK:-lung-tumor}
revision=$(git rev-parse --verify --quiet "${REVISION:-HEAD}^{commit}") || {
    echo "REVISION must name a commit of this repository, received $REVISION" >&2
    exit 2
}

output() {
    aws cloudformation describe-stacks --stack-name "$stack" --output text \
        --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue | [0]"
}
instance=$(output InstanceId)
uri=$(output RepositoryUri)
[[ $instance == i-* ]] || { echo "stack $stack has no output InstanceId; was it made from infra/stack.yml?" >&2; exit 1; }
digest=$(aws ecr describe-images --repository-name "${uri#*/}" --image-ids imageTag="$revision" \
    --query 'imageDetails[0].imageDigest' --output text)

# Base64 needs no quoting in JSON nor in a shell.
script=$(base64 <infra/deploy.sh | tr -d '\n')
command_id=$(aws ssm send-command --instance-ids "$instance" --document-name AWS-RunShellScript \
    --comment "lung-tumor ${revision:0:12}" --query Command.CommandId --output text --parameters "{
        \"commands\": [\"echo $script | base64 --decode | bash -s -- $uri@$digest\"],
        \"executionTimeout\": [\"900\"]
    }")

status=Pending
for _ in $(seq 200); do
    # The invocation appears a moment after the command.
    status=$(aws ssm get-command-invocation --command-id "$command_id" --instance-id "$instance" \
        --query Status --output text 2>/dev/null) || status=Pending
    case $status in Pending | InProgress | Delayed) sleep 5 ;; *) break ;; esac
done
aws ssm get-command-invocation --command-id "$command_id" --instance-id "$instance" \
    --query '[StandardOutputContent, StandardErrorContent]' --output text
echo "$uri@$digest on $instance: $status"
[ "$status" = Success ]
