/* [outbox], but for its keys. */
#include "agent/config/config.h"
#include "agent/store/store.h"

static int64_t number(const struct conf *c, const char *key)
{
	return conf_int(c, "outbox", NULL, key);
}

struct store_options config_store(const struct conf *c, const struct timebase *tb)
{
	static const char *const expire[CLASS_COUNT] = {
		[CLASS_EVENT] = "expire_event_s",   [CLASS_LIVE] = "expire_live_s",
		[CLASS_BULK] = "expire_bulk_s",	    [CLASS_LOG] = "expire_log_s",
		[CLASS_STATUS] = "expire_status_s",
	};
	struct store_options opt = {
		.max_bytes = number(c, "max_bytes"),
		.file_max_bytes = number(c, "file_max_bytes"),
		.sync_ns = number(c, "sync_ms") * NS_PER_MS,
		.boot_id = boot_id_read(),
		.tb = tb,
	};

	if (opt.sync_ns > 0)
		opt.relaxed = 1u << CLASS_BULK | 1u << CLASS_LOG | 1u << CLASS_STATUS;
	for (unsigned k = 0; k < CLASS_COUNT; k++)
		opt.expire_ns[k] = number(c, expire[k]) * NS_PER_S;
	return opt;
}
