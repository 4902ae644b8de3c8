#!/bin/sh
# Locks popular wheels with no system package named, lays the image out, and imports each in it.
#
# usage: benches/wheels.sh GROUP FOLDER    (groups are in wheels.tsv)
#
# FOLDER keeps the project, what locking said, and the report: a line for each module, `ok` or why not.
# MLPACK is the program, else the one in the path. The network is used.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
group=$1
mkdir -p "$2"
cd "$2"
port=${PORT:-18480}
mlpack=${MLPACK:-mlpack}

grep "^$group	" "$here/wheels.tsv" | cut -f2 >requirements.txt
grep "^$group	" "$here/wheels.tsv" | cut -f3 >modules.txt
cp "$here/wheels.py" service.py
cat >manifest.yaml <<END
apiVersion: mlpack/v1
name: wheels-$group
version: 1.0.0
runtime: {language: python, version: "${PYTHON:-3.11}", packages: requirements.txt}
service: service.py:Imports
artifacts: {modules: modules.txt}
endpoints:
  report: {task: custom, input: {type: json}, output: {type: json}}
server: {workers: 1, startup_timeout: 300s, timeout: 60s}
END

rm -f mlpack.lock
"$mlpack" lock 2>locked.txt || { cat locked.txt; exit 1; }
"$mlpack" serve --port "$port" 2>served.txt >/dev/null &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
until curl -sf "localhost:$port/readyz" >/dev/null; do
    kill -0 "$server" || { cat served.txt; exit 1; }
    sleep 1
done
curl -sf "localhost:$port/report" -H 'content-type: application/json' -d 'null' >report.json
python3 - <<END
import json
report = json.load(open("report.json"))
for module, outcome in report.items():
    print(f"{module}\t{outcome}")
END
grep -c '^kind = "deb"' mlpack.lock | sed 's/$/ Debian packages/'
grep '^warning' locked.txt || true
