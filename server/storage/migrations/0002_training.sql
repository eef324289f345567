-- Files that clients uploaded; the bytes lie in HOME/training_data/files under the id.
create table files (
  number integer primary key,
  id text not null unique,
  created_ms integer not null,
  purpose text not null,
  filename text not null,
  bytes integer not null,
  sha256 text not null,
  expires_ms integer
) strict;

-- Training jobs in the order they came. request is what was asked for, state what has become of it; both are JSON.
create table training_jobs (
  number integer primary key,
  id text not null unique,
  created_ms integer not null,
  updated_ms integer not null,
  status text not null,
  priority integer not null,
  model text not null,
  name text not null,
  dataset text,
  training_file text,
  validation_file text,
  request text not null,
  state text not null
) strict;

create index training_jobs_status on training_jobs (status);

-- What happened to a job, numbered from 1; data is JSON.
create table training_events (
  job text not null,
  number integer not null,
  created_ms integer not null,
  level text not null,
  type text not null,
  message text not null,
  data text,
  primary key (job, number)
) strict, without rowid;

create table training_checkpoints (
  job text not null,
  step integer not null,
  created_ms integer not null,
  bytes integer not null,
  metrics text not null,
  primary key (job, step)
) strict, without rowid;

-- Training that starts by itself; settings and state are JSON.
create table training_schedules (
  id text primary key,
  created_ms integer not null,
  settings text not null,
  state text not null
) strict, without rowid;
