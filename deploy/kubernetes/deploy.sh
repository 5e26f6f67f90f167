#!/usr/bin/env bash
# Deploys an environment on Kubernetes, as docs/KUBERNETES.md says, in the namespace of kubectl's context:
#   deploy.sh save FOLDER                write the revisions that run now to FOLDER
#   deploy.sh apply FOLDER ENVIRONMENT   migrate, and roll out the chart and the overlay
#   deploy.sh undo FOLDER                roll back to what `save` wrote; tables and ConfigMaps stay as they are
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
chart_version=$(sed -nE 's/^version: "?([0-9.]+)"?$/\1/p' "$here/chart-keys.yaml")
ours=(convergence-data-pipeline convergence-watch)
charts=(dagster-tenants dagster-daemon dagster-webserver)

rolled_out() {
  for deployment in "$@"; do
    kubectl rollout status "deployment/$deployment" --timeout=10m
  done
}

save() {
  mkdir -p "$1"
  for deployment in "${ours[@]}"; do
    kubectl get deployment "$deployment" --ignore-not-found \
      -o jsonpath='{.metadata.annotations.deployment\.kubernetes\.io/revision}' > "$1/$deployment"
  done
  helm list --filter '^dagster$' --output yaml | sed -nE 's/^-? *revision: "?([0-9]+)"?$/\1/p' > "$1/dagster"
}

apply() {
  local overlay="$here/overlays/$1"
  kubectl delete job convergence-migrate --ignore-not-found
  kubectl apply -k "$overlay/migrate"
  kubectl wait --for=condition=complete job/convergence-migrate --timeout=15m
  helm upgrade --install dagster dagster/dagster --version "$chart_version" --skip-schema-validation \
    -f "$here/values.yaml" -f "$overlay/values.yaml"
  kubectl apply -k "$overlay"
  rolled_out "${charts[@]}" "${ours[@]}"
}

undo() {
  [ ! -s "$1/dagster" ] || helm rollback dagster "$(cat "$1/dagster")"
  for deployment in "${ours[@]}"; do
    [ ! -s "$1/$deployment" ] || kubectl rollout undo "deployment/$deployment" --to-revision="$(cat "$1/$deployment")"
  done
  rolled_out "${charts[@]}" "${ours[@]}"
}

case "$1" in
  save) save "$2" ;;
  apply) apply "$3" ;;
  undo) undo "$2" ;;
  *) echo "deploy.sh save|apply|undo FOLDER [ENVIRONMENT]" >&2; exit 2 ;;
esac
