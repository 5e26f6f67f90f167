#!/usr/bin/env bash
# Whether a deployment works after a roll-out: waits for it, asks its health, and certifies the Google project.
# Exit code 0: it does. 1: it does not, and the last line says why. 2: the words are wrong.
set -euo pipefail

usage() {
  cat >&2 << 'TEXT'
verify.sh kubernetes [--environment production] [--url https://HOST] [--timeout SECONDS] [--canary TENANT DAY]
verify.sh cloud-run --region REGION [--project PROJECT] [--url https://HOST] [--timeout SECONDS] [--canary TENANT DAY]

--url: where users reach the API; on Cloud Run its own address unless given
--canary: publish a day of a tenant too, such as: --canary acme 2026-10-01
CLOUD_RUN_TOKEN: an identity token (`gcloud auth print-identity-token`), where the service is not open to everybody
TEXT
  exit 2
}

fail() {
  echo "verify: $*" >&2
  exit 1
}

probe() {  # URL [HEADER]: until it answers 200 or the time is over
  local answer
  until answer=$(curl --silent --show-error --max-time 10 --header "${2:-Accept: application/json}" \
    --write-out '\n%{http_code}' "$1/health/ready" 2>&1) && [[ ${answer##*$'\n'} == 200 ]]; do
    ((SECONDS < deadline)) || fail "$1/health/ready does not answer 200: $answer"
    sleep "$pause"
  done
  echo "verify: $1 is ready"
}

kubernetes() {
  local deployment name=convergence-certify patch=() ended=""
  for deployment in dagster-tenants dagster-daemon dagster-webserver convergence-watch convergence-data-pipeline; do
    kubectl rollout status "deployment/$deployment" --timeout="$((deadline - SECONDS))s" ||
      fail "deployment $deployment is not rolled out: \`kubectl describe deployment $deployment\`"
  done
  [[ -z $url ]] || probe "$url"
  for word in "${canary[@]}"; do
    patch+=("{\"op\": \"add\", \"path\": \"/spec/template/spec/containers/0/args/-\", \"value\": \"$word\"}")
  done
  kubectl delete job "$name" --ignore-not-found
  kubectl kustomize "$here/kubernetes/overlays/$environment/certify" |
    kubectl patch --local --filename - --type json --patch "[$(IFS=,; echo "${patch[*]}")]" --output yaml |
    kubectl apply --filename -
  until [[ $ended == *Complete* || $ended == *Failed* ]]; do
    ((SECONDS < deadline)) || fail "job $name has not ended within $timeout s"
    sleep "$pause"
    ended=$(kubectl get job "$name" --output jsonpath='{.status.conditions[?(@.status=="True")].type}')
  done
  kubectl logs "job/$name" || true
  [[ $ended == *Complete* ]] || fail "the project is not fit: see the lines above, or \`kubectl describe job $name\`"
}

cloud_run() {
  local job=convergence-run flags=(--region "$region") words=(certify "${canary[@]}")
  [[ -z $project ]] || flags+=(--project "$project")
  while :; do
    services=$(gcloud run services list "${flags[@]}" --format 'value[separator=" "](metadata.name,status.conditions.filter("type=Ready").extract("status").flatten(),status.latestCreatedRevisionName,status.latestReadyRevisionName,status.url)') ||
      fail "the services of $region cannot be listed"
    late=""
    for service in convergence-tenants convergence-webserver convergence-data-pipeline; do
      read -r _ ready newest serving address < <(grep "^$service " <<< "$services") ||
        fail "there is no service $service in $region"
      [[ $ready == True && $newest == "$serving" ]] ||
        late="service $service: Ready is $ready, newest revision $newest, ready revision $serving"
    done
    [[ -n $late ]] || break
    ((SECONDS < deadline)) || fail "$late"
    sleep "$pause"
  done
  echo "verify: the services serve their newest revisions"
  url=${url:-$address}
  probe "$url" "${CLOUD_RUN_TOKEN:+Authorization: Bearer $CLOUD_RUN_TOKEN}"
  gcloud run jobs execute "$job" "${flags[@]}" --args="convergence,$(IFS=,; echo "${words[*]}")" --wait ||
    fail "the project is not fit: \`gcloud run jobs executions list --job $job --region $region\` has the execution and its logs"
}

here=$(cd "$(dirname "$0")" && pwd)
platform=${1:-}
[[ $platform == kubernetes || $platform == cloud-run ]] || usage
shift
environment=production url="" timeout=600 region="" project="" canary=() pause=${VERIFY_PAUSE:-2}
while (($#)); do
  case $1 in
    --canary)
      [[ ${2:-} =~ ^[a-z][a-z0-9_]*$ && ${3:-} =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] || usage
      canary=(--canary "$2" "$3")
      shift 3
      ;;
    --environment | --url | --timeout | --region | --project)
      [[ -n ${2:-} ]] || usage
      printf -v "${1#--}" %s "$2"
      shift 2
      ;;
    *) usage ;;
  esac
done
[[ $timeout =~ ^[0-9]+$ ]] || usage
[[ $platform == kubernetes || -n $region ]] || usage
deadline=$((SECONDS + timeout))
"${platform//-/_}"
echo "verify: the deployment works"
