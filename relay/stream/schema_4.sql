-- How old history is: by the time that a relay ran with this file, in ns, whatever its clock said.
CREATE TABLE age (
	one INTEGER PRIMARY KEY CHECK (one = 1),
	ran INTEGER NOT NULL
) STRICT;
INSERT INTO age VALUES (1, 0);

-- What was there then: rows up to these ids are that old, or older.
CREATE TABLE age_mark (
	ran INTEGER PRIMARY KEY,
	batch INTEGER NOT NULL,
	gap INTEGER NOT NULL
) STRICT;
