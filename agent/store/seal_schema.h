/* agent/store/seal_schema.h: the tables of agent/store/seal.h, as a part of a migration's text. */
#pragma once

/* Data keys, wrapped. kek: fingerprint of what wraps it. rows: so many rows may have been sealed
 * with it, at most. AUTOINCREMENT: the number of a deleted key does not come back. key_spare has
 * what reads rows once more, in another page: without its data key a row is lost.
 * The tables batch and quarantine have a column `key`: 0: body is plain; else key.id. */
#define SEAL_SCHEMA                                                                                \
	"CREATE TABLE key ("                                                                       \
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"                                                   \
	" created_ns INTEGER NOT NULL,"                                                            \
	" kek INTEGER NOT NULL,"                                                                   \
	" rows INTEGER NOT NULL,"                                                                  \
	" wrapped BLOB NOT NULL) STRICT;"                                                          \
	"CREATE TABLE key_spare ("                                                                 \
	" id INTEGER PRIMARY KEY,"                                                                 \
	" kek INTEGER NOT NULL,"                                                                   \
	" wrapped BLOB NOT NULL) STRICT;"
