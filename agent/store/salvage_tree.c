#include "agent/store/salvage_tree.h"

#include "agent/store/salvage_bytes.h"

#include <string.h>

enum {
	TABLE_INTERIOR = 0x05,
	TABLE_LEAF = 0x0d,
	DEPTH_MAX = 20, /* as SQLite's own BTCURSOR_MAX_DEPTH */
	FILE_HEADER_BYTES = 100,
	SEEN_MAX = 1 << 26, /* pages that are remembered, 8 MiB of bits: 256 GiB of 4 KiB */
};

struct salvage_tree {
	struct salvage_file *f;
	uint8_t *seen; /* a bit a page: was reached, or is free */
	uint32_t n_seen;
	uint8_t *level[DEPTH_MAX]; /* a page each, made when needed */
	uint8_t *link;		   /* a page of a long row */
	struct buf payload;
	/* Pages of long rows that may still be read: chains that run into each other must not make
	 * the time of a scan grow with the square of the file's size. */
	uint64_t links_left;
	bool damaged;
};

/* What is told of each row, and to whom. */
struct visitor {
	salvage_on_record *cb;
	void *ctx;
};

int salvage_tree_new(struct salvage_tree **ret, struct salvage_file *f)
{
	struct salvage_tree *t = calloc(1, sizeof(*t));
	uint32_t pages = salvage_file_pages(f);

	if (!t)
		return -ENOMEM;
	t->f = f;
	t->payload = BUF_INIT(SALVAGE_PAYLOAD_MAX);
	t->links_left = 1000 + 16 * (uint64_t)pages + 16 * salvage_file_tail(f);
	t->n_seen = pages < SEEN_MAX ? pages + 1 : SEEN_MAX;
	t->seen = calloc(1, t->n_seen / 8 + 1);
	t->link = malloc(salvage_file_page_bytes(f));
	if (!t->seen || !t->link) {
		salvage_tree_free(t);
		return -ENOMEM;
	}
	*ret = t;
	return 0;
}

struct salvage_tree *salvage_tree_free(struct salvage_tree *t)
{
	if (!t)
		return NULL;
	for (size_t i = 0; i < DEPTH_MAX; i++)
		free(t->level[i]);
	free(t->seen);
	free(t->link);
	buf_free(&t->payload);
	free(t);
	return NULL;
}

bool salvage_tree_take_damage(struct salvage_tree *t)
{
	bool damaged = t->damaged;

	t->damaged = false;
	return damaged;
}

/* ---- pages ---- */

static bool was_seen(const struct salvage_tree *t, uint32_t page)
{
	return page < t->n_seen && (t->seen[page / 8] >> page % 8 & 1);
}

static void see(struct salvage_tree *t, uint32_t page)
{
	if (page < t->n_seen)
		t->seen[page / 8] |= (uint8_t)(1U << page % 8);
}

static int page_at(struct salvage_tree *t, size_t depth, uint8_t **ret)
{
	if (!t->level[depth])
		t->level[depth] = malloc(salvage_file_page_bytes(t->f));
	*ret = t->level[depth];
	return *ret ? 0 : -ENOMEM;
}

/* A page of a table's tree, as its header has it. */
struct node {
	const uint8_t *page;
	size_t usable;
	size_t header; /* offset of the page header */
	bool leaf;
	size_t n_cells;
	size_t pointers; /* offset of the first cell's offset */
};

static bool read_node(const struct salvage_tree *t, uint32_t number, const uint8_t *page,
		      struct node *ret)
{
	size_t h = number == 1 ? FILE_HEADER_BYTES : 0;

	ret->page = page;
	ret->usable = salvage_file_usable(t->f);
	ret->header = h;
	ret->leaf = page[h] == TABLE_LEAF;
	ret->n_cells = be16(page + h + 3);
	ret->pointers = h + (ret->leaf ? 8 : 12);
	return (ret->leaf || page[h] == TABLE_INTERIOR) &&
	       ret->pointers + 2 * ret->n_cells <= ret->usable;
}

/* NULL: outside of where cells may be. */
static const uint8_t *find_cell(const struct node *n, size_t i)
{
	size_t at = be16(n->page + n->pointers + 2 * i);

	if (at < n->pointers + 2 * n->n_cells || at + 4 > n->usable)
		return NULL;
	return n->page + at;
}

/* ---- rows ---- */

/* Of a payload of len bytes, so many are on the leaf itself: section 1.6. */
static size_t local_bytes(size_t usable, uint64_t len)
{
	size_t max = usable - 35, min = (usable - 12) * 32 / 255 - 23, some;

	if (len <= max)
		return (size_t)len;
	some = min + (size_t)((len - min) % (usable - 4));
	return some <= max ? some : min;
}

/* Appends what the chain of pages from first on has, up to len bytes in all. Returns 0, -EBADMSG,
 * -ENOMEM. */
static int follow(struct salvage_tree *t, uint32_t first, size_t len)
{
	size_t room = salvage_file_usable(t->f) - 4;
	uint32_t page = first;

	while (t->payload.len < len) {
		size_t n = len - t->payload.len < room ? len - t->payload.len : room;

		if (t->links_left == 0 || page == 0 || salvage_file_read(t->f, page, t->link) < 0)
			return -EBADMSG;
		t->links_left--;
		if (buf_put(&t->payload, t->link + 4, n) < 0)
			return t->payload.failed;
		page = be32(t->link);
	}
	return 0;
}

/* Puts a leaf's cell together. Returns 0, -EBADMSG (rec->n is 0; *ret_id_known: rowid is right),
 * -ENOMEM. */
static int read_row(struct salvage_tree *t, const uint8_t *cell, const uint8_t *end,
		    struct salvage_record *rec, bool *ret_id_known)
{
	size_t usable = salvage_file_usable(t->f), local;
	uint64_t len, rowid;
	int r = 0;

	rec->n = 0;
	*ret_id_known = false;
	if (!read_varint(&cell, end, &len) || !read_varint(&cell, end, &rowid) ||
	    len > SALVAGE_PAYLOAD_MAX)
		return -EBADMSG;
	rec->rowid = (int64_t)rowid;
	*ret_id_known = true;
	local = local_bytes(usable, len);
	if ((size_t)(end - cell) < local + (local < len ? 4 : 0))
		return -EBADMSG;
	if (local == len)
		return salvage_record_parse(rec, rec->rowid, cell, local);
	buf_clear(&t->payload);
	if (buf_put(&t->payload, cell, local) < 0)
		return t->payload.failed;
	r = follow(t, be32(cell + local), (size_t)len);
	return r < 0 ? r : salvage_record_parse(rec, rec->rowid, t->payload.data, (size_t)len);
}

/* All cells of a leaf. */
static int visit_leaf(struct salvage_tree *t, const struct node *n, const struct visitor *v)
{
	struct salvage_record rec;

	for (size_t i = 0; i < n->n_cells; i++) {
		const uint8_t *cell = find_cell(n, i);
		bool known = false;
		int r = cell ? read_row(t, cell, n->page + n->usable, &rec, &known) : -EBADMSG;

		if (r == -ENOMEM)
			return r;
		if (r < 0)
			t->damaged = true;
		if (r == 0 || known)
			r = v->cb(v->ctx, &rec);
		else
			r = 0;
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- along a tree ---- */

static int walk(struct salvage_tree *t, uint32_t number, size_t depth, const struct visitor *v);

static int walk_children(struct salvage_tree *t, const struct node *n, size_t depth,
			 const struct visitor *v)
{
	for (size_t i = 0; i < n->n_cells; i++) {
		const uint8_t *cell = find_cell(n, i);
		int r;

		if (!cell) {
			t->damaged = true;
			continue;
		}
		r = walk(t, be32(cell), depth + 1, v);
		if (r < 0)
			return r;
	}
	return walk(t, be32(n->page + n->header + 8), depth + 1, v);
}

static int walk(struct salvage_tree *t, uint32_t number, size_t depth, const struct visitor *v)
{
	struct node n;
	uint8_t *page;
	int r;

	if (depth == DEPTH_MAX || was_seen(t, number)) {
		t->damaged = true;
		return 0;
	}
	r = page_at(t, depth, &page);
	if (r < 0)
		return r;
	if (salvage_file_read(t->f, number, page) < 0 || !read_node(t, number, page, &n)) {
		t->damaged = true;
		return 0;
	}
	see(t, number);
	return n.leaf ? visit_leaf(t, &n, v) : walk_children(t, &n, depth, v);
}

int salvage_tree_walk(struct salvage_tree *t, uint32_t root, salvage_on_record *cb, void *ctx)
{
	const struct visitor v = {cb, ctx};

	return walk(t, root, 0, &v);
}

/* ---- what is left ---- */

/* Marks the free pages that one trunk lists: section 1.5. Returns how many these are with itself,
 * 0: it cannot be right. */
static uint32_t see_trunk(const struct salvage_tree *t, uint32_t number, const uint8_t *page,
			  uint8_t *seen)
{
	size_t n = be32(page + 4);

	if (n > salvage_file_usable(t->f) / 4 - 2)
		return 0;
	for (size_t i = 0; i <= n; i++) {
		uint32_t p = i == n ? number : be32(page + 8 + 4 * i);

		if (p < 2 || p >= t->n_seen || (seen[p / 8] >> p % 8 & 1))
			return 0;
		seen[p / 8] |= (uint8_t)(1U << p % 8);
	}
	return (uint32_t)n + 1;
}

/* Rows on free pages were deleted. Only a list that is right in every respect is believed: it must
 * not hide pages that are in use. */
int salvage_tree_see_free(struct salvage_tree *t)
{
	uint8_t *seen cleanup(free_ptr) = NULL, *page;
	uint32_t next, want, got = 0;
	int r = page_at(t, 0, &page);

	if (r < 0 || salvage_file_read(t->f, 1, page) < 0)
		return r;
	next = be32(page + 32);
	want = be32(page + 36);
	seen = malloc(t->n_seen / 8 + 1);
	if (!seen)
		return -ENOMEM;
	memcpy(seen, t->seen, t->n_seen / 8 + 1);
	while (next != 0 && got < want) {
		uint32_t n = 0;

		if (salvage_file_read(t->f, next, page) == 0)
			n = see_trunk(t, next, page, seen);
		if (n == 0)
			return 0;
		got += n;
		next = be32(page);
	}
	if (next == 0 && got == want)
		memcpy(t->seen, seen, t->n_seen / 8 + 1);
	return 0;
}

static int scan_tail(struct salvage_tree *t, uint8_t *page, const struct visitor *v)
{
	int r = 0;

	salvage_file_prefer_tail(t->f, true);
	for (size_t i = salvage_file_tail(t->f); r == 0 && i > 0; i--) {
		struct node n;
		uint32_t number;

		if (salvage_file_read_tail(t->f, i - 1, &number, page) == 0 &&
		    read_node(t, number, page, &n) && n.leaf)
			r = visit_leaf(t, &n, v);
	}
	salvage_file_prefer_tail(t->f, false);
	return r;
}

int salvage_tree_scan(struct salvage_tree *t, salvage_on_record *cb, void *ctx)
{
	const struct visitor v = {cb, ctx};
	uint8_t *page;
	int r = page_at(t, 0, &page);

	for (uint32_t i = 1; r == 0 && i < t->n_seen; i++) {
		struct node n;

		if (!was_seen(t, i) && salvage_file_read(t->f, i, page) == 0 &&
		    read_node(t, i, page, &n) && n.leaf)
			r = visit_leaf(t, &n, &v);
	}
	return r < 0 ? r : scan_tail(t, page, &v);
}
