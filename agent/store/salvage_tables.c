#include "agent/store/salvage_tables.h"

#include <inttypes.h>
#include <string.h>

enum { BOOTS_MAX = 4096, KEYS_MAX = 2048 };

struct salvage_known_boot {
	int64_t id;
	struct salvage_boot boot;
};

/* A data key as it is in the file: in one table or the other. */
struct salvage_key {
	int64_t id;
	uint64_t kek;
	uint8_t wrapped[SALVAGE_WRAPPED_MAX];
	size_t len;
	int state; /* 0: unwrapped; -ENOKEY, -EBADMSG: as seal_reader_add */
};

static const char *const names[SALVAGE_TABLES] = {
	[SALVAGE_TABLE_OUTBOX] = "outbox", [SALVAGE_TABLE_BOOT] = "boot",
	[SALVAGE_TABLE_KEY] = "key",	   [SALVAGE_TABLE_KEY_SPARE] = "key_spare",
	[SALVAGE_TABLE_V1] = "batch",
};

/* ---- the schema ---- */

static bool is_text(const struct salvage_value *v, const char *text)
{
	return v->kind == SALVAGE_TEXT && v->len == strlen(text) &&
	       memcmp(v->data, text, v->len) == 0;
}

/* Which table a name is; SALVAGE_TABLES: another. */
static unsigned find_table(const struct salvage_value *name)
{
	for (unsigned i = 0; i < SALVAGE_TABLE_CLASS; i++)
		if (is_text(name, names[i]))
			return i;
	if (is_text(name, "batch_v1"))
		return SALVAGE_TABLE_V1;
	for (unsigned k = 0; k < CLASS_COUNT; k++) {
		const char *class = class_name((enum uplink_class)k);

		if (name->kind == SALVAGE_TEXT && name->len == 6 + strlen(class) &&
		    memcmp(name->data, "batch_", 6) == 0 &&
		    memcmp(name->data + 6, class, strlen(class)) == 0)
			return SALVAGE_TABLE_CLASS + k;
	}
	return SALVAGE_TABLES;
}

/* type, name, tbl_name, rootpage, sql. */
static int on_schema(void *ctx, const struct salvage_record *rec)
{
	struct salvage_tables *t = ctx;
	unsigned i;

	if (rec->n != 5 || !is_text(&rec->columns[0], "table") ||
	    rec->columns[3].kind != SALVAGE_INT)
		return 0;
	i = find_table(&rec->columns[1]);
	if (i < SALVAGE_TABLES && rec->columns[3].i > 0 && rec->columns[3].i < UINT32_MAX)
		t->roots[i] = (uint32_t)rec->columns[3].i;
	return 0;
}

/* ---- what they say ---- */

static void add_epoch(struct salvage_tables *t, uint64_t epoch)
{
	for (size_t i = 0; i < t->n_epochs; i++)
		if (t->epochs[i] == epoch)
			return;
	if (epoch != 0 && t->n_epochs < SALVAGE_CANDIDATES_MAX)
		t->epochs[t->n_epochs++] = epoch;
}

/* The first column is the rowid, which the record leaves out; the others up to
 * n are integers. */
static bool is_ints(const struct salvage_record *rec, size_t n)
{
	if (rec->n < n || rec->columns[0].kind != SALVAGE_NULL)
		return false;
	for (size_t i = 1; i < n; i++)
		if (rec->columns[i].kind != SALVAGE_INT)
			return false;
	return true;
}

/* id, epoch, created_ns; since version 2 also unsaved_id and running_boot. */
static int on_outbox(void *ctx, const struct salvage_record *rec)
{
	if (rec->rowid == 1 && (rec->n == 3 || rec->n == 5) && is_ints(rec, rec->n))
		add_epoch(ctx, (uint64_t)rec->columns[1].i);
	return 0;
}

static int on_boot(void *ctx, const struct salvage_record *rec)
{
	struct salvage_tables *t = ctx;
	struct salvage_known_boot *boots;

	if (rec->n != 4 || !is_ints(rec, 4) || t->n_boots == BOOTS_MAX ||
	    salvage_tables_boot(t, rec->rowid))
		return 0;
	boots = realloc(t->boots, (t->n_boots + 1) * sizeof(*boots));
	if (!boots)
		return -ENOMEM;
	t->boots = boots;
	boots[t->n_boots++] = (struct salvage_known_boot){
		.id = rec->rowid,
		.boot = {.boot_id = (uint64_t)rec->columns[1].i,
			 .offset_ms = rec->columns[2].i,
			 .quality = rec->columns[3].i},
	};
	return 0;
}

static int add_key(struct salvage_tables *t, int64_t id, const struct salvage_value *kek,
		   const struct salvage_value *wrapped)
{
	struct salvage_key *keys;

	if (kek->kind != SALVAGE_INT || wrapped->kind != SALVAGE_BLOB ||
	    wrapped->len > SALVAGE_WRAPPED_MAX || t->n_keys == KEYS_MAX)
		return 0;
	keys = realloc(t->keys, (t->n_keys + 1) * sizeof(*keys));
	if (!keys)
		return -ENOMEM;
	t->keys = keys;
	keys[t->n_keys] = (struct salvage_key){
		.id = id, .kek = (uint64_t)kek->i, .len = wrapped->len, .state = -ENOKEY};
	memcpy(keys[t->n_keys].wrapped, wrapped->data, wrapped->len);
	t->n_keys++;
	return 0;
}

/* id, created_ns, kek, rows, wrapped. */
static int on_key(void *ctx, const struct salvage_record *rec)
{
	if (rec->n != 5 || !is_ints(rec, 4))
		return 0;
	return add_key(ctx, rec->rowid, &rec->columns[2], &rec->columns[4]);
}

/* id, kek, wrapped. */
static int on_key_spare(void *ctx, const struct salvage_record *rec)
{
	if (rec->n != 3 || !is_ints(rec, 2))
		return 0;
	return add_key(ctx, rec->rowid, &rec->columns[1], &rec->columns[2]);
}

/* Any page's rows, told apart by their shape alone: an epoch and a key prove
 * themselves, and what a wrong boot would do is an age. */
static int on_any(void *ctx, const struct salvage_record *rec)
{
	int r = on_outbox(ctx, rec);

	if (r == 0)
		r = on_boot(ctx, rec);
	if (r == 0)
		r = on_key(ctx, rec);
	return r < 0 ? r : on_key_spare(ctx, rec);
}

/* ---- reading ---- */

int salvage_tables_walk(const struct salvage_tables *t, struct salvage_tree *tree,
			enum salvage_table table, salvage_on_record *cb, void *ctx, bool *ret_found)
{
	*ret_found = t->roots[table] != 0;
	return *ret_found ? salvage_tree_walk(tree, t->roots[table], cb, ctx) : 0;
}

/* Clears *intact unless the table is there and whole. */
static int read_table(struct salvage_tables *t, struct salvage_tree *tree, enum salvage_table table,
		      salvage_on_record *cb, bool *intact)
{
	bool found;
	int r = salvage_tables_walk(t, tree, table, cb, t, &found);

	if (salvage_tree_take_damage(tree) || !found)
		*intact = false;
	return r;
}

static int read_all(struct salvage_tables *t, struct salvage_tree *tree, uint64_t noted_epoch)
{
	bool intact = true, old;
	int r = salvage_tree_walk(tree, 1, on_schema, t);

	t->schema_intact = !salvage_tree_take_damage(tree);
	if (r == 0)
		r = read_table(t, tree, SALVAGE_TABLE_OUTBOX, on_outbox, &intact);
	add_epoch(t, noted_epoch);
	t->n_sure = t->n_epochs;
	/* Version 1 has none of the others. */
	old = t->schema_intact && t->roots[SALVAGE_TABLE_BOOT] == 0;
	if (old && intact)
		return r;
	if (r == 0)
		r = read_table(t, tree, SALVAGE_TABLE_BOOT, on_boot, &intact);
	if (r == 0)
		r = read_table(t, tree, SALVAGE_TABLE_KEY, on_key, &intact);
	if (r == 0)
		r = read_table(t, tree, SALVAGE_TABLE_KEY_SPARE, on_key_spare, &intact);
	if (r < 0 || (intact && t->schema_intact))
		return r;
	return salvage_tree_scan(tree, on_any, t);
}

int salvage_tables_read(struct salvage_tables *t, struct salvage_tree *tree, uint64_t noted_epoch)
{
	*t = (struct salvage_tables){0};
	if (tree)
		return read_all(t, tree, noted_epoch);
	add_epoch(t, noted_epoch);
	t->n_sure = t->n_epochs;
	return 0;
}

void salvage_tables_free(struct salvage_tables *t)
{
	free(t->boots);
	free(t->keys);
	t->seal = seal_free(t->seal);
}

const struct salvage_boot *salvage_tables_boot(const struct salvage_tables *t, int64_t id)
{
	for (size_t i = 0; i < t->n_boots; i++)
		if (t->boots[i].id == id)
			return &t->boots[i].boot;
	return NULL;
}

/* ---- keys ---- */

int salvage_tables_open_keys(struct salvage_tables *t, struct seal *seal, struct error *err)
{
	int r = seal_new_reader(&t->seal, seal);

	for (size_t i = 0; r == 0 && i < t->n_keys; i++) {
		struct salvage_key *k = &t->keys[i];

		k->state = seal_reader_add(t->seal, k->id, k->kek, k->wrapped, k->len);
		if (k->state == -EIO) {
			error_set(err, "data key %" PRId64 ": the token fails", k->id);
			return -EIO;
		}
	}
	return r;
}

/* A fingerprint that is damaged asks for a key that there never was: only what
 * two tables say, or what needs any key at all, is believed. */
int salvage_tables_find_key(const struct salvage_tables *t, int64_t id, struct error *err)
{
	const struct salvage_key *locked = NULL;
	bool sure = !t->seal;

	for (size_t i = 0; i < t->n_keys; i++) {
		const struct salvage_key *k = &t->keys[i];

		if (k->id != id)
			continue;
		if (k->state == 0)
			return 0;
		if (k->state != -ENOKEY)
			continue;
		if (locked && locked->kek == k->kek)
			sure = true;
		locked = k;
	}
	if (!sure)
		return -EBADMSG;
	if (locked)
		error_set(err,
			  "rows to be salvaged are encrypted, by a key with fingerprint "
			  "%016" PRIx64,
			  locked->kek);
	else
		error_set(err, "rows to be salvaged are encrypted, and no key is configured");
	return -ENOKEY;
}
