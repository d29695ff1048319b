-- What the relay knows of what is not in `batch`, and of the clocks that it was told by.

-- Counters of a (device, epoch, class), beside what its window says.
ALTER TABLE window ADD COLUMN batches INTEGER NOT NULL DEFAULT 0; -- stored since schema 2
ALTER TABLE window ADD COLUMN samples INTEGER NOT NULL DEFAULT 0; -- of these, as they claim
ALTER TABLE window ADD COLUMN duplicates INTEGER NOT NULL DEFAULT 0;

-- Seqs that will not come, and why. `missing` is the exact set of those among from_seq to
-- through_seq for which no batch is stored: missing_through and ranges above it, as in `window`.
CREATE TABLE gap (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	vehicle INTEGER NOT NULL,
	device INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	class INTEGER NOT NULL,
	from_seq INTEGER NOT NULL,
	through_seq INTEGER NOT NULL,
	reason INTEGER NOT NULL, -- enum gap_reason; 0: nobody has explained it
	batches INTEGER NOT NULL, -- as the device says; 0: not known
	samples INTEGER NOT NULL,
	first INTEGER NOT NULL, -- times of the samples, as far as known
	last INTEGER NOT NULL,
	received INTEGER NOT NULL,
	missing_through INTEGER NOT NULL,
	missing BLOB NOT NULL,
	seqs INTEGER NOT NULL -- how many are in `missing`
) STRICT;
CREATE INDEX gap_lane ON gap (device, epoch, class, from_seq);
CREATE INDEX gap_device ON gap (device);

-- Sums over gaps, which stay when retention takes the rows.
CREATE TABLE gap_total (
	device INTEGER NOT NULL,
	epoch INTEGER NOT NULL,
	class INTEGER NOT NULL,
	reason INTEGER NOT NULL, -- those of the future count as 0
	vehicle INTEGER NOT NULL,
	gaps INTEGER NOT NULL,
	seqs INTEGER NOT NULL,
	batches INTEGER NOT NULL,
	samples INTEGER NOT NULL,
	PRIMARY KEY (device, epoch, class, reason)
) STRICT, WITHOUT ROWID;

-- Batches that were closed by a clock that nobody vouched for. Their times in `batch` are repaired,
-- their bodies are not: `shift` is to be added to what is in these.
CREATE TABLE unsure (
	batch INTEGER PRIMARY KEY REFERENCES batch (id) ON DELETE CASCADE,
	device INTEGER NOT NULL,
	boot INTEGER NOT NULL, -- 0: not known
	quality INTEGER NOT NULL, -- enum clock_quality, of the times in `batch`
	clock INTEGER NOT NULL, -- wall - mono, as the body has it
	shift INTEGER NOT NULL,
	news INTEGER NOT NULL -- 1: nothing that was closed later was there when it came
) STRICT;
CREATE INDEX unsure_boot ON unsure (device, boot, quality);

-- What a boot's clock turned out to be.
CREATE TABLE boot_clock (
	device INTEGER NOT NULL,
	boot INTEGER NOT NULL,
	vehicle INTEGER NOT NULL,
	clock INTEGER NOT NULL, -- wall - mono
	quality INTEGER NOT NULL,
	updated INTEGER NOT NULL,
	todo INTEGER NOT NULL, -- 1: there may be rows to repair
	PRIMARY KEY (device, boot)
) STRICT, WITHOUT ROWID;
CREATE INDEX boot_clock_todo ON boot_clock (todo) WHERE todo = 1;
