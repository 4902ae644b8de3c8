#!/bin/sh
# The same glm behind mlpack and behind plumber, one worker each, asked by one client and by 32.
#
# Needs `apt-get install curl r-base-core r-cran-plumber wrk`, and the programs that MLPACK and MLPACK_SERVER name.
set -eu
folder=$(mktemp -d)
cp "$(dirname "$0")"/* "$folder"
cd "$folder"
trap '[ -z "$servers" ] || kill $servers; rm -rf "$folder"' EXIT
servers=""

Rscript train.R
cat > request.lua <<'EOF'
local row = {}
for column = 1, 16 do row[column] = string.format('"x%d":%g', column, column / 10) end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"rows":[{' .. table.concat(row, ",") .. '}]}'
EOF
"$MLPACK" build -q
"$MLPACK" serve --port 8100 > mlpack.log 2>&1 &
servers="$servers $!"
Rscript -e 'plumber::pr_run(plumber::plumb("plumber.R"), port = 8101, docs = FALSE, quiet = TRUE)' > plumber.log 2>&1 &
servers="$servers $!"
until curl -sf -o body localhost:8100/readyz && curl -s -o body localhost:8101; do sleep 0.2; done

for server in mlpack:8100 plumber:8101; do
    for clients in 1 32; do
        # The first seconds are R's compiler's.
        for seconds in 3 10; do
            wrk -t1 -c$clients -d$seconds -s request.lua --latency "http://localhost:${server#*:}/score" > result
        done
        awk -v server="${server%:*}" -v clients=$clients '
            function milliseconds(time) { return time ~ /us$/ ? time / 1000 : time ~ /ms$/ ? time + 0 : time * 1000 }
            $1 == "50%" { p50 = milliseconds($2) }
            $1 == "99%" { p99 = milliseconds($2) }
            $1 == "Requests/sec:" { rate = $2 }
            /Non-2xx/ { failed = ", " $0 }
            END { printf "%s, clients: %d: %.0f requests/s, p50 %.3f ms, p99 %.2f ms%s\n", server, clients, rate, p50, p99, failed }
        ' result
    done
done
echo "goals: 1 client: 800 requests/s, p50 0.25 ms above the model alone; 32 clients: 10000 requests/s, p99 8 ms"
