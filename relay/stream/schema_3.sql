-- What short envelopes refer to (proto/context.h): the latest of each (device, class).
CREATE TABLE context (
	id INTEGER PRIMARY KEY AUTOINCREMENT, -- order of coming
	vehicle INTEGER NOT NULL,
	device INTEGER NOT NULL,
	class INTEGER NOT NULL,
	bytes BLOB NOT NULL
) STRICT;
CREATE INDEX context_lane ON context (device, class, id);
