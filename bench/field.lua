-- field.lua: the requests that bench/field makes wrk send, and the line of figures that it reads back.
--
-- wrk ... -s field.lua URL                  asks for the URL, over and over
-- wrk ... -s field.lua URL -- random LAST   asks for URL followed by a number from 1 to LAST, drawn anew each time
-- wrk ... -s field.lua URL -- mix LAST      the same, and one in ten puts a new phone number there instead

local threads = {}

function setup(thread)
  table.insert(threads, thread)
  thread:set("seed", #threads)
  thread:set("writes", 0)
end

-- Written out beforehand: making a request must not cost the client more than sending it.
local function prepare(last, make)
  local prepared = {}
  for n = 1, last do
    prepared[n] = make(n)
  end
  return prepared
end

function init(args)
  local mode, last = args[1], tonumber(args[2])
  if not mode then
    return
  end
  local gets = prepare(last, function(n) return wrk.format("GET", wrk.path .. n) end)
  math.randomseed(seed)
  if mode == "random" then
    request = function()
      return gets[math.random(last)]
    end
    return
  end
  local puts = prepare(last, function(n)
    return wrk.format("PUT", wrk.path .. n, { ["Content-Type"] = "application/json" },
      string.format('{"phone":"+44 20 7946 %04d"}', n % 10000))
  end)
  request = function()
    if math.random(10) == 1 then
      writes = writes + 1
      return puts[math.random(last)]
    end
    return gets[math.random(last)]
  end
end

function done(summary, latency)
  local errors, writes = summary.errors, 0
  for _, thread in ipairs(threads) do
    writes = writes + thread:get("writes")
  end
  io.write(string.format('figures {"requests":%d,"seconds":%.6f,"bytes":%d,"writes":%d,"p50":%d,"p90":%d,"p99":%d,' ..
    '"p99_9":%d,"errors":{"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, writes, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency:percentile(99.9), errors.status, errors.connect, errors.read, errors.write,
    errors.timeout))
end
