-- wrk.lua: the requests that bench/run makes wrk send, and the line of figures that it reads back.
--
-- wrk ... -s wrk.lua URL            asks for the URL, over and over
-- wrk ... -s wrk.lua URL -- 10000   asks for URL followed by a number from 1 to 10000, drawn anew each time

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("seed", threads)
end

function init(args)
  local last = tonumber(args[1])
  if not last then
    return
  end
  -- Written out beforehand: making a request must not cost the client more than sending it.
  local prepared = {}
  for n = 1, last do
    prepared[n] = wrk.format("GET", wrk.path .. n)
  end
  math.randomseed(seed)
  request = function()
    return prepared[math.random(last)]
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("figures %d %d %d %d %d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
