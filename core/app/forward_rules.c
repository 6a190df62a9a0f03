/* See forward_rules.h. */
#include "app/forward_rules.h"

#include "await/forward_rule.h"
#include "script/error.h"
#include "upstream/groups.h"

struct tg_forward_rule *tg_forward_rules_read(lua_State *L, int proxy, const struct tg_route *route,
                                              struct tg_arena *arena) {
  struct tg_forward_rule *rule = tg_arena_alloc(arena, sizeof *rule);
  if (!rule) tg_error_misuse(L, "not enough memory");
  tg_forward_rule_read(L, proxy, route->params, route->param_count, arena, rule);
  return rule;
}

/* Rules are written to before they are shared. */
void tg_forward_rules_resolve(struct tg_generation *generation,
                              const struct tg_forwarder *forwarder) {
  for (uint32_t i = 0; i < generation->route_count; i++) {
    struct tg_forward_rule *rule = (struct tg_forward_rule *)generation->routes[i].forward;
    if (!rule) continue;
    rule->forwarder = forwarder;
    rule->trusted = tg_slice_cstr(generation->config.settings.trusted_proxies);
    rule->group = tg_groups_find(forwarder->groups, rule->to, generation->number);
    if (rule->mirror.to.len)
      rule->mirror.group = tg_groups_find(forwarder->groups, rule->mirror.to, generation->number);
  }
}
