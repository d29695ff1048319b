-- relay.db: who may send, and what their integers mean.
-- AUTOINCREMENT: a key is never used again, so that what a removed vehicle left in stream.db can
-- not turn up under a new one.
CREATE TABLE vehicle (
	key INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL UNIQUE,
	name TEXT NOT NULL,
	part INTEGER NOT NULL CHECK (part BETWEEN 0 AND 65535),
	created INTEGER NOT NULL -- wall time, ns
) STRICT;

CREATE TABLE device (
	key INTEGER PRIMARY KEY AUTOINCREMENT,
	id TEXT NOT NULL UNIQUE,
	vehicle INTEGER NOT NULL REFERENCES vehicle (key) ON DELETE CASCADE,
	created INTEGER NOT NULL
) STRICT;
CREATE INDEX device_vehicle ON device (vehicle);

-- Removed vehicles whose data in stream.db is not yet deleted.
CREATE TABLE removed (
	vehicle INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE catalog (
	id INTEGER PRIMARY KEY, -- first 8 bytes of sha256, little-endian, as a signed integer
	sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
	buses TEXT NOT NULL, -- JSON array of names
	messages INTEGER NOT NULL,
	signals INTEGER NOT NULL,
	created INTEGER NOT NULL,
	bytes BLOB NOT NULL
) STRICT;
