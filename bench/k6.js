// k6.js: asks for one URL over and over: k6 run --vus 100 --duration 10s -e URL=… [-e SUMMARY=FILE] k6.js
import http from 'k6/http';

export const options = {
  discardResponseBodies: true,
  summaryTrendStats: ['avg', 'min', 'med', 'p(90)', 'p(95)', 'p(99)', 'max'],
};

export default function () {
  http.get(__ENV.URL);
}

// All metrics as JSON, to the file SUMMARY or else to the standard output. Answers other than 2xx and 3xx are in
// http_req_failed, and failed connections, too.
export function handleSummary(data) {
  return { [__ENV.SUMMARY || 'stdout']: JSON.stringify(data.metrics) + '\n' };
}
