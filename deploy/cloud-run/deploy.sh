#!/usr/bin/env bash
# Deploys an environment on Cloud Run, as docs/CLOUD_RUN.md says:
#   deploy.sh save FOLDER                write what runs now to FOLDER
#   deploy.sh apply FOLDER ENVIRONMENT   migrate, and replace every process
#   deploy.sh undo FOLDER                restore what `save` wrote; the tables stay as they were migrated
# gcloud's project and region are those of its configuration. `python` has PyYAML.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

# The order in which processes are replaced: runs and their code first. Name and group of commands of each template.
processes=(
  "run:convergence-run:run jobs"
  "tenants:convergence-tenants:run services"
  "daemon:convergence-daemon:beta run worker-pools"
  "watch:convergence-watch:beta run worker-pools"
  "api:convergence-data-pipeline:run services"
  "webserver:convergence-webserver:run services"
)

save() {
  mkdir -p "$1"
  for process in "${processes[@]}"; do
    IFS=: read -r template name group <<< "$process"
    # shellcheck disable=SC2086 # a group is several words
    if ! gcloud $group describe "$name" --format=export > "$1/$template.yaml" 2> "$1/error"; then
      rm "$1/$template.yaml"
      grep -qiE "not found|cannot find" "$1/error" || { cat "$1/error" >&2; exit 1; }
      echo "$name is new"
    fi
  done
  rm -f "$1/error"
}

replace() {  # FOLDER: every manifest that it has
  for process in "${processes[@]}"; do
    IFS=: read -r template _ group <<< "$process"
    [ -e "$1/$template.yaml" ] || continue
    # Two daemons must never run together: the former one ends before the new one starts.
    if [ "$template" = daemon ]; then
      sed -E "s/(manualInstanceCount: )['\"]?1['\"]?/\1'0'/" "$1/daemon.yaml" > "$1/no-daemon.yaml"
      # shellcheck disable=SC2086
      gcloud $group replace "$1/no-daemon.yaml"
    fi
    # shellcheck disable=SC2086
    gcloud $group replace "$1/$template.yaml"
  done
}

case "$1" in
  save) save "$2" ;;
  apply)
    python "$root/deploy/cloud-run/render.py" "$3"
    manifests="$root/build/cloud-run/$3"
    gcloud run jobs replace "$manifests/migrate.yaml"
    gcloud run jobs execute convergence-migrate --wait
    replace "$manifests"
    ;;
  undo) replace "$2" ;;
  *) echo "deploy.sh save|apply|undo FOLDER [ENVIRONMENT]" >&2; exit 2 ;;
esac
