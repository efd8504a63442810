-- The store of a campaign (docs/experiments.md).
PRAGMA user_version = 3;

-- What the campaign is: one row for each name.
CREATE TABLE campaign (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The files that the machines were made of, and XXH64 of each.
CREATE TABLE images (
    name TEXT PRIMARY KEY,
    hash TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The cells, from 0 on in the order of the file. `asked` runs are wanted, from seed `first_seed` on.
-- `command` and ` --seed N` make a run again. `cut_short` runs were ended by a signal while they
-- ran; they are made again.
CREATE TABLE cells (
    cell INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    asked INTEGER NOT NULL,
    first_seed INTEGER NOT NULL,
    command TEXT NOT NULL,
    cut_short INTEGER NOT NULL
) STRICT;

-- For each cell its phase (the factor `phase`) and the value of each factor.
CREATE TABLE levels (
    cell INTEGER NOT NULL REFERENCES cells,
    position INTEGER NOT NULL,
    factor TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (cell, position)
) STRICT, WITHOUT ROWID;

-- The runs that came to their end.
CREATE TABLE runs (
    cell INTEGER NOT NULL REFERENCES cells,
    seed INTEGER NOT NULL,
    -- How it ended: in one word, and in a phrase.
    result TEXT NOT NULL,
    description TEXT NOT NULL,
    failed INTEGER NOT NULL,
    -- Of a failure: its kind. Failures of one kind look the same.
    kind TEXT,
    seconds REAL NOT NULL,
    guest_exits INTEGER NOT NULL,
    -- The delays that jitter injected.
    injections INTEGER NOT NULL,
    injected_seconds REAL NOT NULL,
    PRIMARY KEY (cell, seed)
) STRICT, WITHOUT ROWID;

-- For each of these runs, how often each fault of its machine had an occasion, and how often it
-- struck.
CREATE TABLE faults (
    cell INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    position INTEGER NOT NULL,
    fault TEXT NOT NULL,
    matched INTEGER NOT NULL,
    struck INTEGER NOT NULL,
    PRIMARY KEY (cell, seed, position),
    FOREIGN KEY (cell, seed) REFERENCES runs
) STRICT, WITHOUT ROWID;

-- The reports of some failures, as in `boots` of `run --json`.
CREATE TABLE kept (
    cell INTEGER NOT NULL,
    seed INTEGER NOT NULL,
    kind TEXT NOT NULL,
    report TEXT NOT NULL,
    PRIMARY KEY (cell, seed)
) STRICT;

-- The times at which the campaign was worked on. `ended` is missing while one goes on, and if it
-- was killed. `build` is the version of jitterbug that did the work, and XXH64 of its program;
-- `runs` were recorded.
CREATE TABLE sessions (
    session INTEGER PRIMARY KEY,
    shard TEXT NOT NULL,
    jobs INTEGER NOT NULL,
    seconds REAL NOT NULL,
    ended TEXT,
    build TEXT NOT NULL,
    runs INTEGER NOT NULL
) STRICT;
