#include "agent/source/source.h"

#include <stdio.h>
#include <string.h>

int source_init(struct source *s, const struct source_ops *ops, const struct source_env *env,
		const char *name)
{
	s->ops = ops;
	s->env = env;
	s->ended = false;
	s->name = strdup(name);
	return s->name ? 0 : -ENOMEM;
}

int source_made(struct source **ret, struct source *s, int r)
{
	if (r < 0)
		source_free(s);
	else
		*ret = s;
	return r;
}

void source_end(struct source *s)
{
	if (s->ended)
		return;
	s->ended = true;
	s->env->ended(s->env->ctx, s);
}

void source_resume(struct source *s)
{
	if (!s->ended && s->ops->resume)
		s->ops->resume(s);
}

void source_matches_changed(struct source *s)
{
	if (!s->ended && s->ops->matches_changed)
		s->ops->matches_changed(s);
}

void source_stop(struct source *s)
{
	s->ops->stop(s);
}

struct source *source_free(struct source *s)
{
	if (s) {
		source_stop(s);
		free(s->name);
		s->ops->free(s);
	}
	return NULL;
}

uint16_t source_bus(const struct catalog *cat, const char *name)
{
	for (size_t i = 0; i < cat->n_buses; i++)
		if (strcmp(cat->buses[i], name) == 0)
			return (uint16_t)i;
	return FRAME_BUS_NONE;
}

void source_tell_buses(const struct catalog *cat, const char *missing, struct error *err)
{
	char names[160] = "";
	size_t n = 0;

	for (size_t i = 0; i < cat->n_buses && n < sizeof(names); i++)
		n += (size_t)snprintf(names + n, sizeof(names) - n, "%s'%s'", i > 0 ? ", " : "",
				      cat->buses[i]);
	error_set(err, "no bus of the catalog is '%s', it has %s", missing, n > 0 ? names : "none");
}

int source_find_bus(const struct source *s, const char *name, uint16_t *ret, struct error *err)
{
	*ret = source_bus(s->env->cat, name);
	if (*ret != FRAME_BUS_NONE)
		return 0;
	source_tell_buses(s->env->cat, name, err);
	return -EINVAL;
}
