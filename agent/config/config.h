/* agent/config/config.h: the keys of agent.conf, and the parts that take more than a look-up. */
#pragma once

#include "agent/can/can_links.h"
#include "agent/collect/collect.h"
#include "agent/source/source.h"
#include "base/conf.h"
#include "base/mqtt.h"

enum { CONFIG_SOURCES_MAX = 16 };

/* Every section and key with type, default, bounds and help. */
const struct conf_table *config_table(void);

/* Reads path and checks what the table cannot say: ids, speeds, a rule at least. Returns 0, or
 * -errno with err naming path:line. */
int config_load(struct conf **ret, const char *path, struct error *err) must_check;

/* The [collect] sections, in file order, compiled for a catalog. Errors name path:line. */
int config_collect(struct collect **ret, const struct conf *c, const char *path,
		   const struct catalog *cat, struct error *err) must_check;

/* The catalog of [catalog]. Returns 0 or -errno with err, which names file, line and key. */
int config_catalog(struct catalog **ret, const struct conf *c, const char *path,
		   struct error *err) must_check;

/* The dictionary of [catalog]; NULL stays where there is none. As above; also of another catalog.
 */
int config_dictionary(struct dictionary **ret, const struct conf *c, const char *path,
		      const struct catalog *cat, struct error *err) must_check;

/* That the catalog has the bus of each source with an interface. Errors name path:line. */
int config_check_buses(const struct conf *c, const char *path, const struct catalog *cat,
		       struct error *err) must_check;

/* The [can] sections: what no interface can be. Errors name path:line. */
int config_check_can(const struct conf *c, const char *path, struct error *err) must_check;

/* [outbox] as it is, but for its seal. boot_id is read from the kernel. */
struct store_options;
struct store_options config_store(const struct conf *c, const struct timebase *tb);
/* The keys of [outbox]: that they go together. Errors name path:line. */
int config_check_seal(const struct conf *c, const char *path, struct error *err) must_check;
/* Reads the key of the outbox. Returns 0, *ret NULL without one; -errno as seal_new, with err. */
struct seal;
int config_seal(struct seal **ret, const struct conf *c, const char *path,
		const struct timebase *tb, struct error *err) must_check;

/* What the [can] sections say, made with a watch that every source may use. */
int config_links(struct can_links **ret, const struct conf *c, struct loop *loop,
		 struct counters *counters, struct error *err) must_check;

/* A source of type diag, and all [poll] sections. Errors name path:line. */
int config_check_diag(const struct conf *c, const char *path, const char *label,
		      struct error *err) must_check;
int config_check_polls(const struct conf *c, const char *path, struct error *err) must_check;

/* A source of type j1939, and a [poll] of service pgn. Errors name path:line. */
int config_check_j1939(const struct conf *c, const char *path, const char *label,
		       struct error *err) must_check;
int config_check_pgns(const struct conf *c, const char *path, const char *label,
		      struct error *err) must_check;
/* That no source before this one reads the same interface as the same bus. */
int config_check_read_once(const struct conf *c, const char *path, const char *label,
			   struct error *err) must_check;

/* For the parts of config: makes a source of type diag with its polls. Errors are without
 * path:line. */
int config_make_diag(struct source **ret, const struct conf *c, const char *label,
		     const struct source_env *env, struct error *err) must_check;
/* Likewise of type j1939. can: what a socketcan source with these keys would have. */
struct socketcan_options;
int config_make_j1939(struct source **ret, const struct conf *c, const char *label,
		      const struct socketcan_options *can, const struct source_env *env,
		      struct error *err) must_check;
/* The bus of a source with an interface. Borrowed. */
const char *config_bus(const struct conf *c, const char *label);
/* For the parts of config: says "path:line: [section label] key: what". Returns -EINVAL. */
int config_fail(struct error *err, const struct conf *c, const char *path, const char *section,
		const char *label, const char *key, const char *what);

/* [mqtt]; texts are borrowed from c. */
struct mqtt_options config_mqtt(const struct conf *c);

/* Whether some source keeps the times of its log. */
bool config_keeps_times(const struct conf *c);

/* Makes the source of a section. Errors name path:line. */
int config_source(struct source **ret, const struct conf *c, const char *path, const char *label,
		  const struct source_env *env, struct error *err) must_check;
