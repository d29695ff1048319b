/* How old rows are: by mono time within a boot, across boots by wall time, where both are known. */
#include "agent/store/store_private.h"

static const struct store_boot *find_boot(const struct store *s, int64_t id)
{
	for (size_t i = 0; i < s->n_boots; i++)
		if (s->boots[i].id == id)
			return &s->boots[i];
	return NULL;
}

int64_t store_now_ms(const struct store *s)
{
	return timebase_mono(s->opt.tb).ns / NS_PER_MS;
}

/* Of more boots than fit, those with the highest ids stay. */
static int read_boots(struct store *s)
{
	sqlite3_stmt *st = s->st[STORE_READ_BOOTS];
	int r;

	s->n_boots = 0;
	while ((r = db_step(st)) == DB_ROW) {
		if (s->n_boots == STORE_BOOTS_MAX - 1)
			break;
		s->boots[s->n_boots++] = (struct store_boot){
			.id = sqlite3_column_int64(st, 0),
			.boot_id = (uint64_t)sqlite3_column_int64(st, 1),
			.offset_ms = sqlite3_column_int64(st, 2),
			.quality = (enum clock_quality)sqlite3_column_int64(st, 3),
		};
	}
	sqlite3_reset(st);
	return r < 0 ? r : 0;
}

static int write_boot(struct store *s, const struct store_boot *b)
{
	sqlite3_stmt *st = s->st[STORE_WRITE_BOOT];
	int r = db_bind(st, "iiii", b->id, (int64_t)b->boot_id, b->offset_ms, (int64_t)b->quality);

	return r < 0 ? r : db_run(st);
}

int store_write_boot(struct store *s)
{
	const struct store_boot *b = find_boot(s, s->boot);

	return b ? write_boot(s, b) : 0;
}

/* More than fit are told as one whose times nobody knows. */
int store_find_boot(struct store *s, const struct store_boot *boot, int64_t *ret_id)
{
	struct store_boot *b = &s->boots[s->n_boots];
	int64_t last = 0;

	for (size_t i = 0; i < s->n_boots; i++) {
		if (s->boots[i].id > last)
			last = s->boots[i].id;
		if (s->boots[i].id != 0 && s->boots[i].boot_id == boot->boot_id) {
			*ret_id = s->boots[i].id;
			return 0;
		}
	}
	if (s->n_boots == STORE_BOOTS_MAX) {
		*ret_id = 0;
		return 0;
	}
	*b = *boot;
	b->id = *ret_id = last + 1;
	s->n_boots++;
	return write_boot(s, b);
}

int store_enter_boot(struct store *s)
{
	struct store_boot now = {
		.boot_id = s->opt.boot_id,
		.offset_ms = timebase_wall(s->opt.tb).ns / NS_PER_MS - store_now_ms(s),
		.quality = CLOCK_UNKNOWN,
	};
	int r = db_run(s->st[STORE_TRIM_BOOTS]);

	if (r == 0)
		r = read_boots(s);
	return r < 0 ? r : store_find_boot(s, &now, &s->boot);
}

int store_set_clock(struct store *s, int64_t wall_ns, int64_t mono_ns, enum clock_quality q)
{
	const struct store_boot *b = find_boot(s, s->boot);
	int64_t offset = (wall_ns - mono_ns) / NS_PER_MS;

	if (!b || q < b->quality)
		return 0;
	/* What NTP slews within a second is no other time. */
	if (q == b->quality && llabs(offset - b->offset_ms) < 1000)
		return 0;
	s->boots[b - s->boots].offset_ms = offset;
	s->boots[b - s->boots].quality = q;
	s->boot_dirty = true;
	return 0;
}

bool store_row_age(const struct store *s, const int64_t col[static ROW_COLUMNS], int64_t *ret_ms)
{
	const struct store_boot *now = find_boot(s, s->boot);
	const struct store_boot *then = find_boot(s, col[ROW_BOOT]);
	int64_t age = store_now_ms(s) - col[ROW_STORED_MS];

	if (!now || !then)
		return false;
	if (then != now) {
		if (then->quality != CLOCK_SYNCED || now->quality != CLOCK_SYNCED)
			return false;
		age += now->offset_ms - then->offset_ms;
	}
	*ret_ms = age > 0 ? age : 0;
	return true;
}
