-- Evaluations of one model against another; request, report and error are JSON.
create table evaluations (
  id text primary key,
  created_ms integer not null,
  finished_ms integer,
  status text not null,
  request text not null,
  report text,
  error text
) strict, without rowid;

create index evaluations_created on evaluations (created_ms);

-- A/B tests; settings is JSON. A name belongs to one running test at most.
create table ab_tests (
  id text primary key,
  name text not null,
  created_ms integer not null,
  stopped_ms integer,
  settings text not null
) strict, without rowid;

create unique index ab_tests_running on ab_tests (name) where stopped_ms is null;

-- What was said of the answers of one conversation. key is a hash: whose conversation it is cannot be read from it.
create table ab_conversations (
  test text not null,
  key text not null,
  variant text not null,
  created_ms integer not null,
  good integer not null default 0,
  bad integer not null default 0,
  accepted integer not null default 0,
  rejected integer not null default 0,
  primary key (test, key)
) strict, without rowid;
