#!/bin/sh
# Compiles R packages from source and loads them all in the final image: no system package is named anywhere.
#
#     MLPACK=… MLPACK_SERVER=… sh benches/r/sources.sh [FOLDER]
#
# The repository is made of Debian's source packages of what `sources.txt` lists; what the mirror does not have is told of
# and left out. With FOLDER, what was made is kept there, and a run that was interrupted goes on. Needs apt, curl, dpkg-dev and
# python3, and an hour or more.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
export MLPACK_HOME="${MLPACK_HOME:-$folder/home}"
grep -v '^#' "$here/sources.txt" | tr -d + | xargs python3 "$here/../../tests/real/support/cran.py" "$folder/repository" || true
names=""
for name in $(grep -v '^[#+]' "$here/sources.txt" | sed 's,[/=].*,,'); do
    test -z "$(find "$folder/repository/src/contrib" -name "${name}_*.tar.gz")" || names="$names $name"
done

cat > "$folder/manifest.yaml" <<EOF
apiVersion: mlpack/v1
name: bench-r-sources
version: 1.0.0
runtime:
  language: r
  version: "4.2"
  packages: [$(printf '"cran::%s", ' $names)]
  repositories: {cran: repository}
service: service.R
endpoints: {call: {input: {type: json}, output: {type: json}}}
server: {workers: 1, startup_timeout: 5m}
EOF
cat > "$folder/service.R" <<'EOF'
load <- function(bundle) NULL

# Loads what is asked for, and looks for what only compilers have.
call <- function(state, value) {
  loads <- function(name) tryCatch({ loadNamespace(name); TRUE }, error = function(e) { message(e); FALSE })
  tools <- Sys.which(c("cc", "gcc", "g++", "gfortran", "ld", "make"))
  headers <- c(list.files("/usr/include"), Sys.glob(file.path(.libPaths(), "*", "include")))
  failed <- Filter(Negate(loads), unlist(value))
  list(failed = as.list(failed), tools = as.list(tools[nzchar(tools)]), headers = as.list(headers))
}
EOF

cd "$folder"
begin=$(date +%s)
"$MLPACK" lock
echo "$(echo "$names" | wc -w) packages compiled and locked in $(($(date +%s) - begin)) s"
"$MLPACK" build
"$MLPACK" serve --port 8102 > serve.log 2>&1 &
server=$!
trap 'kill $server' EXIT
until curl -sf -o ready localhost:8102/readyz; do sleep 0.5; done
list=$(printf '"%s",' $names)
curl -s localhost:8102/call -H 'Content-Type: application/json' -d "[${list%,}]"
echo
