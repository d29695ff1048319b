-- What batches of a catalog are expected to look like (proto/dictionary.h).
CREATE TABLE dictionary (
	id INTEGER PRIMARY KEY, -- first 8 bytes of sha256, little-endian, as a signed integer
	sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
	catalog INTEGER NOT NULL REFERENCES catalog (id),
	created INTEGER NOT NULL,
	bytes BLOB NOT NULL
) STRICT;
