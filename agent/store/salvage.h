/* agent/store/salvage.h: a damaged outbox is set aside, and what can be read of it taken over.
 *
 * Not through SQLite, which gives up where a page is damaged, but by its file format
 * (sqlite.org/fileformat2.html): first along the table's tree, in order, passing over what cannot
 * be read; then, if anything could not, every page that the tree did not reach, where a row's
 * checksum says that it is one. Pages in committed frames of the log count. Memory is bounded,
 * whatever the size of the file.
 *
 * In the order of a store_open (all paths are the outbox's):
 *   salvage_pending      finishes what a crash has interrupted
 *   salvage_set_aside    if the file turns out to be damaged
 *   a new file is made, and its epoch minted
 *   salvage_keys         in a transaction, before seal_attach: its rows may be encrypted
 *   salvage_run          rows and gaps by callbacks, committed now and then
 *   salvage_finish       all is committed
 * A crash anywhere in it leaves `<path>.salvage`, so that the next start begins again: rows that
 * the new file has already, by their origin, are passed over. One thread. */
#pragma once

#include "agent/store/seal.h"
#include "proto/gap.h"
#include "proto/topic.h"

#include <sqlite3.h>

enum { SALVAGE_PATH_MAX = 4096 };

/* A damaged outbox under its new name, with its log at path-wal. */
struct salvage_aside {
	char path[SALVAGE_PATH_MAX];
	uint64_t epoch; /* that `<outbox>.unsaved` had noted; 0: not known */
};

enum { SALVAGE_PENDING = 1 };
/* Returns SALVAGE_PENDING with what is set aside and not wholly taken over; 0: there is none;
 * -errno with err. To be called before the outbox is opened. */
int salvage_pending(const char *path, struct salvage_aside *ret, struct error *err) must_check;
/* Renames the outbox and its log to `<path>.corrupt-<now_s>`. It must be closed, and
 * `<path>.unsaved` not yet cleared. Returns 0 or -errno with err. */
int salvage_set_aside(const char *path, int64_t now_s, struct salvage_aside *ret,
		      struct error *err) must_check;
/* There is nothing more to take over. Files that were set aside earlier are removed; this one stays
 * for whoever wants to look at it. */
int salvage_finish(const char *path, const struct salvage_aside *aside) must_check;

/* A row as it was stored; borrowed for the call. */
struct salvage_row {
	enum uplink_class class;
	/* What names it for the relay: of the damaged outbox, or of an earlier one that it was
	 * saved from already. */
	uint64_t origin_epoch, origin_seq;
	int64_t created_ns; /* when it was stored, as its column has it */
	uint64_t samples;
	int64_t first_ns, last_ns; /* as in struct store_item; 0 where the file has none */
	uint64_t boot_id;	   /* as its column has it */
	uint32_t encoding;	   /* of a batch or another notice; gaps come by the callback */
	const void *body;	   /* plain */
	size_t body_len;
};

/* What takes things over. Each returns 0, or -errno, which ends salvage_run with it; -ENOSPC leaves
 * what is committed, and `<path>.salvage` for the next start. */
struct salvage_sink {
	int (*row)(void *ctx, const struct salvage_row *row);
	/* Will not come: from to gap->through of (class, origin_epoch). May come twice. */
	int (*gap)(void *ctx, enum uplink_class class, uint64_t origin_epoch, uint64_t from,
		   const struct gap *gap);
	/* The quarantine's; code as it is there. */
	int (*quarantined)(void *ctx, const struct salvage_row *row, int64_t code,
			   int64_t moved_ns);
	/* A good moment to commit, and to begin the next transaction. */
	int (*commit)(void *ctx);
	void *ctx;
};

struct salvage_result {
	uint64_t epoch;			/* of the damaged file; 0: not known */
	uint64_t last_seq[CLASS_COUNT]; /* highest known */
	uint64_t rows, samples;		/* taken over */
	uint64_t raw_rows;		/* of these, found page by page */
	uint64_t known_rows;		/* passed over: taken over before */
	uint64_t unreadable;		/* rows seen whose checksum or key is not right */
	uint64_t lost_seqs;		/* told by gaps, those that were acknowledged included */
	bool damaged;			/* something could not be read */
};

/* Copies the wrapped data keys of the file that was set aside into db's table `key`. */
int salvage_keys(const struct salvage_aside *aside, sqlite3 *db) must_check;
/* db: the new outbox, asked for the origins that it has; seal: attached to it after salvage_keys,
 * NULL: nothing is encrypted. Calls the sink; the last rows are not committed. Returns 0, or the
 * sink's -errno, -ENOMEM. What is damaged is no error. */
int salvage_run(const struct salvage_aside *aside, sqlite3 *db, struct seal *seal,
		const struct salvage_sink *sink, struct salvage_result *ret) must_check;
