"""The tables of the results database, as a chain of migrations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dsum_bench.store.light import sqlite_utils

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations

NAME = "dsum_bench"

# A run's measurable facts stand in columns of their own, so that a leaderboard never parses JSON; ``spec`` keeps the
# rest. trimmed, cut and empty count samples: prompt trimmed, output ended by its length, no summary in the output.
FIRST = """
create table runs (
    id text primary key,
    model text not null,
    params integer,
    source text not null,
    revision text,
    weights text not null,
    adapter text not null,
    engine text not null,
    treatment text not null,
    kind text not null check (kind in ('model', 'control')),
    dataset text not null,
    language text not null,
    split text not null,
    selection text not null,
    n_samples integer not null,
    dataset_fingerprint text not null,
    references_fingerprint text not null,
    prompt_name text,
    prompt_format text not null,
    decoding_name text,
    dtype text not null,
    quantization text not null,
    device text not null,
    seed integer not null,
    status text not null check (status in ('running', 'done', 'partial', 'failed', 'skipped')),
    reason text not null default '',
    started text not null,
    finished text,
    seconds real not null default 0,
    peak_memory integer not null default 0,
    trimmed integer not null default 0,
    cut integer not null default 0,
    empty integer not null default 0,
    versions text not null,
    spec text not null
);
create index runs_dataset on runs (dataset, split, dataset_fingerprint);

create table outputs (
    run_id text not null references runs (id) on delete cascade,
    sample_id text not null,
    position integer not null,
    output text not null,
    summary text not null,
    prompt_tokens integer not null,
    new_tokens integer not null,
    finish text not null,
    seconds real not null,
    trimmed_turns integer not null,
    trimmed_chars integer not null,
    primary key (run_id, sample_id)
);

create table signatures (
    id integer primary key,
    signature text not null unique,
    metric text not null,
    measures text not null default '[]'
);

create table scores (
    run_id text not null,
    sample_id text not null,
    signature_id integer not null references signatures (id),
    measure text not null,
    value real not null,
    primary key (run_id, sample_id, signature_id, measure),
    foreign key (run_id, sample_id) references outputs (run_id, sample_id) on delete cascade
) without rowid;

create table aggregates (
    run_id text not null references runs (id) on delete cascade,
    signature_id integer not null references signatures (id),
    measure text not null,
    mean real not null,
    n integer not null,
    primary key (run_id, signature_id, measure)
) without rowid;
"""


COUNTS = """
    count(*) filter (where trimmed_turns > 0 or trimmed_chars > 0) as trimmed,
    count(*) filter (where finish = 'length') as cut,
    count(*) filter (where trim(summary, ' ' || char(9, 10, 13)) = '') as empty
"""
"""What a run's columns of these names say, counted from its outputs."""


def m001_first_tables(db: Database) -> None:
    db.executescript(FIRST)


CHECKS = """
create table findings (
    run_id text not null references runs (id) on delete cascade,
    stage text not null check (stage in ('before', 'after')),
    position integer not null,
    code text not null,
    level text not null check (level in ('error', 'warning', 'note')),
    mark text not null,
    text text not null,
    hit integer not null,
    total integer not null,
    primary key (run_id, stage, code)
) without rowid;
"""


def m002_findings(db: Database) -> None:
    db.executescript(CHECKS)


def m003_intervals(db: Database) -> None:
    db.executescript("alter table aggregates add column low real; alter table aggregates add column high real;")


TRAINING = """
create table trainings (
    id text primary key,
    model text not null,
    base text not null,
    recipe text not null,
    trainer text not null,
    dataset text not null,
    split text not null,
    selection text not null,
    settings text not null,
    figures text not null default '{}',
    status text not null check (status in ('running', 'done', 'partial', 'failed', 'skipped')),
    reason text not null default '',
    started text not null,
    finished text,
    seconds real not null default 0,
    peak_memory integer not null default 0
);

create table training_log (
    training_id text not null references trainings (id) on delete cascade,
    step integer not null,
    measure text not null,
    value real not null,
    seconds real not null,
    primary key (training_id, step, measure)
) without rowid;
"""


def m004_training(db: Database) -> None:
    db.executescript(TRAINING)


def m005_notes(db: Database) -> None:
    db.executescript("alter table outputs add column note text not null default '';")


SAMPLES = """
create table texts (
    fingerprint text primary key,
    text text not null
) without rowid;

create table samples (
    dataset_fingerprint text not null,
    references_fingerprint text not null,
    sample_id text not null,
    position integer not null,
    topic text,
    characters integer not null,
    turns integer not null,
    dialogue text references texts (fingerprint),
    reference_texts text not null default '[]',
    primary key (dataset_fingerprint, references_fingerprint, sample_id)
) without rowid;
"""


def m006_samples(db: Database) -> None:
    db.executescript(SAMPLES)


SIGNED_FINDINGS = """
create table signed (
    run_id text not null references runs (id) on delete cascade,
    stage text not null check (stage in ('before', 'after')),
    position integer not null,
    code text not null,
    level text not null check (level in ('error', 'warning', 'note')),
    mark text not null,
    text text not null,
    hit integer not null,
    total integer not null,
    signature text not null default '',
    primary key (run_id, stage, code, signature)
) without rowid;
insert into signed (run_id, stage, position, code, level, mark, text, hit, total)
    select run_id, stage, position, code, level, mark, text, hit, total from findings
    where code != 'not-above-constant';
drop table findings;
alter table signed rename to findings;
"""


def m007_signed_findings(db: Database) -> None:
    """Findings belong to the signature they are about. Whether a run is above the constant is no longer stored."""
    db.executescript(SIGNED_FINDINGS)


def m008_run_names(db: Database) -> None:
    db.executescript("alter table runs add column name text; create unique index runs_name on runs (name);")


SPREADS = """
select s.run_id, s.signature_id, s.measure, count(*), a.mean, sum((s.value - a.mean) * (s.value - a.mean))
from scores s join aggregates a on a.run_id = s.run_id and a.signature_id = s.signature_id and a.measure = s.measure
group by s.run_id, s.signature_id, s.measure
"""
RENEW = "update aggregates set low = ?, high = ? where run_id = ? and signature_id = ? and measure = ? and n = ?"


def m009_student_intervals(db: Database) -> None:
    """Percentile bootstrap intervals, which are too narrow for few samples, become Student's t; one sample has none."""
    spreads = db.execute(SPREADS).fetchall()
    if not spreads:
        return
    from dsum_bench.statistics import ALPHA
    from dsum_bench.statistics.distributions import t_critical

    rows = []
    for *place, n, mean, squares in spreads:
        half = t_critical(ALPHA, n - 1) * (squares / (n - 1) / n) ** 0.5 if n > 1 else None
        ends = (None, None) if half is None else (mean - half, mean + half)
        rows.append((*ends, *place, n))
    db.conn.executemany(RENEW, rows)


SCORE_PARTS = """
create table score_parts (
    id integer primary key,
    run_id text not null references runs (id) on delete cascade,
    samples text not null
);
create index score_parts_run on score_parts (run_id);

create table score_columns (
    part_id integer not null references score_parts (id) on delete cascade,
    signature_id integer not null references signatures (id),
    measure text not null,
    data blob not null,
    primary key (part_id, signature_id, measure)
);
"""
SCORE_ROWS = "select sample_id, signature_id, measure, value from scores where run_id = ?"


def m010_score_parts(db: Database) -> None:
    """Scores by columns instead of a row a value with its names as text: a fifth of the size, read at once."""
    from dsum_bench.store import scores

    db.executescript(SCORE_PARTS)
    for (run_id,) in db.execute("select id from runs").fetchall():
        scores.add(db.conn, run_id, scores.part_of(db.execute(SCORE_ROWS, [run_id])))
    db.execute("drop table scores")


def m011_setups(db: Database) -> None:
    """What runs on other samples share (``fingerprints.setup_id``), and what each sample was asked with."""
    db.executescript("""
        alter table runs add column setup text not null default '';
        alter table outputs add column input text not null default '';
        create index runs_setup on runs (setup);
    """)


def m012_writers(db: Database) -> None:
    """Which process is writing a run or training, while it is running."""
    db.executescript("alter table runs add column writer text; alter table trainings add column writer text;")


def m013_drafts(db: Database) -> None:
    """What strategies that write several outputs for a prompt have written besides the first."""
    db.executescript("""
        create table drafts (
            run_id text not null,
            sample_id text not null,
            number integer not null,
            output text not null,
            summary text not null,
            new_tokens integer not null,
            finish text not null,
            primary key (run_id, sample_id, number),
            foreign key (run_id, sample_id) references outputs (run_id, sample_id) on delete cascade
        ) without rowid;
    """)


def m014_prompts(db: Database) -> None:
    """The exact prompt of one sample of each run."""
    db.executescript("alter table runs add column asked_sample text; alter table runs add column asked_prompt text;")


def m015_shown(db: Database) -> None:
    """Ids of the examples that were chosen for each sample's prompt."""
    db.executescript("alter table outputs add column shown text not null default '[]';")


STEPS: tuple[Callable[[Database], None], ...] = (
    m001_first_tables,
    m002_findings,
    m003_intervals,
    m004_training,
    m005_notes,
    m006_samples,
    m007_signed_findings,
    m008_run_names,
    m009_student_intervals,
    m010_score_parts,
    m011_setups,
    m012_writers,
    m013_drafts,
    m014_prompts,
    m015_shown,
)
"""A change of the tables is a new step at the end, never an edit of an old one that databases have taken."""


def migrations() -> Migrations:
    """The steps as sqlite-utils applies them, each once and in a transaction."""
    chain: Migrations = sqlite_utils().Migrations(NAME)
    for step in STEPS:
        chain()(step)
    return chain
