-- stream.db: the durable log of batches, and what must change in the same transaction with it.
-- vehicle and device are keys of relay.db. 64-bit unsigned numbers (epoch, catalog) are stored as
-- the signed integers of the same bits. Times are wall time in ns.
CREATE TABLE batch (
	id INTEGER PRIMARY KEY AUTOINCREMENT, -- order of append; never used again
	vehicle INTEGER NOT NULL,
	device INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	class INTEGER NOT NULL,
	seq INTEGER NOT NULL,
	received INTEGER NOT NULL,
	first INTEGER NOT NULL, -- of the samples
	last INTEGER NOT NULL,
	catalog INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	state INTEGER NOT NULL, -- enum stream_state
	encoding INTEGER NOT NULL, -- of the envelope
	body BLOB NOT NULL
) STRICT;
CREATE INDEX batch_time ON batch (vehicle, last, first);
CREATE INDEX batch_waiting ON batch (catalog) WHERE state = 1;

-- Which seqs of a (device, epoch, class) are stored: all through `through`, and the ranges above.
CREATE TABLE window (
	device INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	class INTEGER NOT NULL,
	vehicle INTEGER NOT NULL,
	through INTEGER NOT NULL,
	above BLOB NOT NULL,
	updated INTEGER NOT NULL,
	PRIMARY KEY (device, epoch, class)
) STRICT, WITHOUT ROWID;

CREATE TABLE device_stats (
	device INTEGER PRIMARY KEY,
	vehicle INTEGER NOT NULL,
	last_seen INTEGER NOT NULL,
	batches INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	epoch INTEGER NOT NULL
) STRICT;

-- Last-known state, one blob a vehicle (relay/live/README.md).
CREATE TABLE state (
	vehicle INTEGER PRIMARY KEY,
	applied_through INTEGER NOT NULL,
	blob BLOB NOT NULL
) STRICT;

-- All batches through this id are in the state blobs.
CREATE TABLE progress (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	applied_through INTEGER NOT NULL
) STRICT;
INSERT INTO progress VALUES (1, 0);

-- Messages that could not be read, for a person to look at. Bounded.
CREATE TABLE quarantine (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	received INTEGER NOT NULL,
	topic TEXT NOT NULL,
	reason TEXT NOT NULL,
	bytes INTEGER NOT NULL, -- of the whole message
	payload BLOB NOT NULL -- its beginning
) STRICT;
