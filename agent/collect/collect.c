#include "agent/collect/collect.h"

#include <string.h>

enum { PATH_BYTES_MAX = 512 };

struct signal_state {
	uint64_t last; /* COLLECT_CHANGE: raw of the last one collected */
	int64_t due;   /* COLLECT_PERIOD: end of the period that has had its sample */
	uint32_t rule; /* CATALOG_NONE: not wanted */
	bool seen;
};

struct rule_state {
	enum collect_mode mode;
	int64_t period_ns;
	enum uplink_class class;
};

/* What holds for all wanted signals of a message, so that the usual ones cost nothing each. */
struct message_state {
	uint8_t class; /* CLASS_COUNT: several */
	bool every;    /* all of them COLLECT_EVERY */
};

struct collect {
	const struct catalog *cat;
	struct rule_state *rules;
	struct signal_state *signals;
	struct message_state *messages;
	uint8_t *wanted;
	size_t n_wanted;
	unsigned classes;
	struct sample *runs[CLASS_COUNT]; /* each of the longest message's signals */
};

/* One part against its pattern: * stands for any run of characters. */
static bool part_matches(const char *pat, size_t pat_len, const char *text, size_t text_len)
{
	size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;

	while (t < text_len) {
		if (p < pat_len && pat[p] == '*') {
			star = p++;
			resume = t;
		} else if (p < pat_len && pat[p] == text[t]) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++resume;
		} else {
			return false;
		}
	}
	while (p < pat_len && pat[p] == '*')
		p++;
	return p == pat_len;
}

struct pattern {
	const char *part[3];
	size_t len[3];
};

static const struct pattern pattern_all = {.part = {"*", "*", "*"}, .len = {1, 1, 1}};

/* "bus.message.signal"; the bus may hold no dot, nor may the others (DBC identifiers have none). */
static int pattern_parse(const char *text, struct pattern *ret)
{
	struct pattern p = {0};

	if (strcmp(text, "*") == 0) {
		*ret = pattern_all;
		return 0;
	}
	for (size_t i = 0; i < 3; i++) {
		const char *dot = strchr(text, '.');
		size_t len = dot ? (size_t)(dot - text) : strlen(text);

		if (len == 0 || (i < 2 && !dot) || (i == 2 && dot))
			return -EINVAL;
		p.part[i] = text;
		p.len[i] = len;
		text += len + 1;
	}
	*ret = p;
	return 0;
}

static bool pattern_matches(const struct pattern *p, size_t i, const char *text)
{
	return part_matches(p->part[i], p->len[i], text, strlen(text));
}

static void take_signal(struct collect *c, uint32_t signal, uint32_t rule)
{
	c->signals[signal].rule = rule;
	c->wanted[signal] = 1;
	c->n_wanted++;
	c->classes |= 1u << c->rules[rule].class;
}

/* Returns how many signals match, taken by an earlier rule or not. */
static size_t match_message(struct collect *c, const struct catalog_message *m,
			    const struct pattern *p, uint32_t rule)
{
	size_t matched = 0;

	for (uint32_t s = m->first_signal; s < m->first_signal + m->n_signals; s++) {
		if (!pattern_matches(p, 2, c->cat->signals[s].name))
			continue;
		matched++;
		if (c->signals[s].rule == CATALOG_NONE)
			take_signal(c, s, rule);
	}
	return matched;
}

static int apply_rule(struct collect *c, uint32_t index, const struct collect_rule *rule,
		      struct error *err)
{
	struct pattern p;
	size_t matched = 0;

	if (pattern_parse(rule->pattern, &p) < 0) {
		error_set(err, "%s: signals: '%s' is not bus.message.signal or *", rule->origin,
			  rule->pattern);
		return -EINVAL;
	}
	for (size_t i = 0; i < c->cat->n_messages; i++) {
		const struct catalog_message *m = &c->cat->messages[i];

		if (pattern_matches(&p, 0, c->cat->buses[m->bus]) &&
		    pattern_matches(&p, 1, m->name))
			matched += match_message(c, m, &p, index);
	}
	if (matched == 0) {
		error_set(err, "%s: signals: '%s' matches no signal of the catalog", rule->origin,
			  rule->pattern);
		return -EINVAL;
	}
	return 0;
}

static void summarise_message(struct collect *c, size_t index)
{
	const struct catalog_message *m = &c->cat->messages[index];
	struct message_state *ms = &c->messages[index];
	bool first = true;

	ms->every = true;
	ms->class = CLASS_COUNT;
	for (uint32_t s = m->first_signal; s < m->first_signal + m->n_signals; s++) {
		const struct rule_state *r;

		if (c->signals[s].rule == CATALOG_NONE)
			continue;
		r = &c->rules[c->signals[s].rule];
		if (first)
			ms->class = (uint8_t)r->class;
		else if (ms->class != (uint8_t)r->class)
			ms->class = CLASS_COUNT;
		ms->every = ms->every && r->mode == COLLECT_EVERY;
		first = false;
	}
}

static int allocate(struct collect *c, size_t n_rules)
{
	size_t longest = 1;

	for (size_t i = 0; i < c->cat->n_messages; i++)
		if (c->cat->messages[i].n_signals > longest)
			longest = c->cat->messages[i].n_signals;
	c->rules = calloc(n_rules + 1, sizeof(*c->rules));
	c->signals = calloc(c->cat->n_signals + 1, sizeof(*c->signals));
	c->messages = calloc(c->cat->n_messages + 1, sizeof(*c->messages));
	c->wanted = calloc(c->cat->n_signals + 1, 1);
	if (!c->rules || !c->signals || !c->messages || !c->wanted)
		return -ENOMEM;
	for (size_t i = 0; i < CLASS_COUNT; i++) {
		c->runs[i] = calloc(longest, sizeof(struct sample));
		if (!c->runs[i])
			return -ENOMEM;
	}
	for (size_t i = 0; i < c->cat->n_signals; i++)
		c->signals[i].rule = CATALOG_NONE;
	return 0;
}

int collect_new(struct collect **ret, const struct catalog *cat, const struct collect_rule *rules,
		size_t n_rules, struct error *err)
{
	struct collect *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->cat = cat;
	r = allocate(c, n_rules);
	for (size_t i = 0; r == 0 && i < n_rules; i++) {
		c->rules[i] =
			(struct rule_state){rules[i].mode, rules[i].period_ns, rules[i].class};
		r = apply_rule(c, (uint32_t)i, &rules[i], err);
	}
	if (r < 0) {
		collect_free(c);
		return r;
	}
	for (size_t i = 0; i < cat->n_messages; i++)
		summarise_message(c, i);
	*ret = c;
	return 0;
}

struct collect *collect_free(struct collect *c)
{
	if (!c)
		return NULL;
	free(c->rules);
	free(c->signals);
	free(c->messages);
	free(c->wanted);
	for (size_t i = 0; i < CLASS_COUNT; i++)
		free(c->runs[i]);
	free(c);
	return NULL;
}

const uint8_t *collect_wanted(const struct collect *c)
{
	return c->wanted;
}

size_t collect_wanted_count(const struct collect *c)
{
	return c->n_wanted;
}

unsigned collect_classes(const struct collect *c)
{
	return c->classes;
}

/* Signals of a message that arrive together share their fate, because they share the grid; those
 * that a multiplexor hides for now get their turn within the same period. A clock of a log that
 * goes back more than a period starts over. */
static bool period_passes(struct signal_state *st, int64_t period_ns, int64_t mono_ns)
{
	int64_t into;

	if (st->seen && mono_ns < st->due && mono_ns >= st->due - 2 * period_ns)
		return false;
	into = mono_ns % period_ns;
	if (into < 0)
		into += period_ns;
	st->due = mono_ns - into + period_ns;
	st->seen = true;
	return true;
}

static bool sample_passes(struct collect *c, const struct sample *s, int64_t mono_ns)
{
	struct signal_state *st = &c->signals[s->signal];
	const struct rule_state *r = &c->rules[st->rule];

	switch (r->mode) {
	case COLLECT_EVERY:
		return true;
	case COLLECT_CHANGE:
		if (st->seen && st->last == s->raw)
			return false;
		st->last = s->raw;
		st->seen = true;
		return true;
	case COLLECT_PERIOD:
		return period_passes(st, r->period_ns, mono_ns);
	}
	return false;
}

static size_t split_classes(struct collect *c, int64_t mono_ns, const struct sample *samples,
			    size_t n, struct collected *ret)
{
	size_t count[CLASS_COUNT] = {0}, runs = 0;

	for (size_t i = 0; i < n; i++) {
		enum uplink_class k = c->rules[c->signals[samples[i].signal].rule].class;

		if (sample_passes(c, &samples[i], mono_ns))
			c->runs[k][count[k]++] = samples[i];
	}
	for (size_t k = 0; k < CLASS_COUNT; k++)
		if (count[k] > 0)
			ret[runs++] =
				(struct collected){(enum uplink_class)k, c->runs[k], count[k]};
	return runs;
}

size_t collect_apply(struct collect *c, uint32_t message, int64_t mono_ns, struct sample *samples,
		     size_t n, struct collected ret[static CLASS_COUNT])
{
	const struct message_state *ms = &c->messages[message];
	size_t kept = 0;

	if (n == 0)
		return 0;
	if (ms->class == CLASS_COUNT)
		return split_classes(c, mono_ns, samples, n, ret);
	if (ms->every) {
		kept = n;
	} else {
		for (size_t i = 0; i < n; i++)
			if (sample_passes(c, &samples[i], mono_ns))
				samples[kept++] = samples[i];
	}
	if (kept == 0)
		return 0;
	ret[0] = (struct collected){(enum uplink_class)ms->class, samples, kept};
	return 1;
}
