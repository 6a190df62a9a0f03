/* Worker pools with the real thing around them: server, sockets, generations, Lua handlers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker_rig.h"

static const char routes[] =
    "local tg = require 'tidegate'\n"
    "local function gate() local f = assert(io.open(tg.test_gate or GATE)) f:read(1) f:close() end\n"
    "return {\n"
    "['GET /hello/{name}'] = { blocking = true, run = function(req)\n"
    "  tg.sleep(0.001)\n"
    "  return { role = tg.role, name = req.params.name, q = req.query.q, from = req.remote,\n"
    "    id = #req.id, path = req.path, host = req.headers.host }\n"
    "end },\n"
    "['POST /len'] = { blocking = true, max_body = 16777216, run = function(req)\n"
    "  local n, pieces = 0, 0 for c in req:chunks() do n, pieces = n + #c, pieces + 1 end\n"
    "  return tostring(n) .. ' ' .. tostring(pieces > 1) .. ' ' .. tostring(req.trailers['x-sum'])\n"
    "end },\n"
    "['POST /stream'] = { blocking = true, stream_body = true, run = function(req)\n"
    "  local first for c in req:chunks() do first = c break end\n"
    "  gate() return first .. '|' .. req:text() .. '|' .. tostring(req.trailers['x-sum'])\n"
    "end },\n"
    "['GET /down'] = { blocking = true, run = function() return tg.stream(function(out)\n"
    "  local p = ('x'):rep(65536) for _ = 1, 64 do out:write(p) end end) end },\n"
    "['GET /short'] = { blocking = true, run = function()\n"
    "  return tg.stream(function(out) out:write('a') error('broken') end) end },\n"
    "['GET /gate'] = { blocking = true, run = function() gate() return 'through' end },\n"
    "['GET /late'] = { blocking = true, timeout = 0.05, run = function() gate() return 'x' end },\n"
    "['GET /sleep'] = { blocking = true, run = function() tg.shared('t'):incr('slept', 1)\n"
    "  tg.sleep(60) return 'x' end },\n"
    "['GET /slept'] = { blocking = true, run = function()\n"
    "  return tostring(tg.shared('t'):get('slept') or 0) end },\n"
    "['GET /after'] = { blocking = true, run = function(req)\n"
    "  req:after(function() tg.sleep(0.001) tg.shared('t'):set('after', tg.role) end) return 'x' end },\n"
    "['GET /done'] = { blocking = true, run = function() return tg.shared('t'):get('after') or '' end },\n"
    "['GET /fail'] = { blocking = true, run = function() error('boom') end },\n"
    "['GET /count'] = { blocking = true, run = function()\n"
    "  return tostring(tg.shared('t'):incr('n', 1)) end },\n"
    "}\n";

/* The gate's path is known when the folder is. */
static void start(struct rig *rig, unsigned size, unsigned queue, uint64_t max_wait,
                  const char *config) {
  rig_start(rig, size, queue, max_wait, config, "return {}");
  (void)routes;
}

static void until(struct rig *rig, bool (*is)(const struct tg_worker_counters *counters)) {
  struct tg_worker_counters counters;
  uint64_t end = tg_clock_now() + 30 * TG_SECOND;
  do {
    tg_worker_pool_count(rig->pool, &counters);
    if (is(&counters)) return;
    poll(NULL, 0, 1);
  } while (tg_clock_now() < end);
  fail_msg("busy %u, queued %u, done %llu, refused %llu", counters.busy, counters.queued,
           (unsigned long long)counters.done, (unsigned long long)counters.refused);
}
