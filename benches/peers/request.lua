-- Sends one request over and over: wrk … -s request.lua URL -- BODY-FILE [HEADER VALUE]...
-- Prints what was measured as one line of JSON, times in milliseconds.

function init(arguments)
    local file = assert(io.open(arguments[1], "rb"))
    wrk.method, wrk.body = "POST", file:read("*a")
    file:close()
    for position = 2, #arguments, 2 do
        wrk.headers[arguments[position]] = arguments[position + 1]
    end
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format(
        '{"rate": %f, "p50": %f, "p99": %f, "p999": %f, "answers": %d, "refused": %d, "broken": %d}',
        summary.requests * 1e6 / summary.duration,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3,
        summary.requests, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
