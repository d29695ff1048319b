/* agent/store/salvage_file.h: the pages of an SQLite file and its log, read without SQLite
 * (sqlite.org/fileformat2.html, sections 1.2, 1.3 and 4).
 *
 * A page is what the newest committed frame of the log says, else what the file has. Frames behind
 * the last good commit, where a break of the log keeps SQLite from them, are there to be looked at.
 * Nothing is written, no lock is taken. */
#pragma once

#include "base/base.h"

struct salvage_file;

/* path-wal may be missing, and path may be anything. Returns 0, -EBADMSG: no page size can be made
 * out; -ENOENT, -ENOMEM, -errno. */
int salvage_file_open(struct salvage_file **ret, const char *path) must_check;
struct salvage_file *salvage_file_free(struct salvage_file *f); /* NULL is fine */

size_t salvage_file_page_bytes(const struct salvage_file *f);
/* Of a page, without what is reserved at its end. */
size_t salvage_file_usable(const struct salvage_file *f);
/* The highest page number that there may be. */
uint32_t salvage_file_pages(const struct salvage_file *f);
/* One page into buf, of page_bytes; page from 1. Returns 0; -ENOENT: there is no such page; -EIO.
 */
int salvage_file_read(struct salvage_file *f, uint32_t page, uint8_t *buf) must_check;

/* Frames behind the last good commit, in order; i below salvage_file_tail. */
size_t salvage_file_tail(const struct salvage_file *f);
int salvage_file_read_tail(struct salvage_file *f, size_t i, uint32_t *ret_page,
			   uint8_t *buf) must_check;
/* One of these ends a commit: there was more than SQLite will find. */
bool salvage_file_tail_has_commit(const struct salvage_file *f);
/* Whether salvage_file_read looks at these first: for what a page among them refers to. */
void salvage_file_prefer_tail(struct salvage_file *f, bool on);
