-- Stored responses: each row is one turn; a conversation is the chain of previous_id.
-- There is no foreign key on previous_id: a turn may be deleted while later ones stay readable.
create table responses (
  id text primary key,
  created_ms integer not null,
  model text not null,
  status text not null,
  previous_id text,
  input text not null,
  response text not null
) strict, without rowid;

create index responses_created on responses (created_ms);

-- What was measured of a model file on a device with a context size.
create table profiles (
  model text not null,
  bytes integer not null,
  modified_ms real not null,
  device text not null,
  context_tokens integer not null,
  load_ms real,
  loads integer not null default 0,
  resident_bytes integer,
  device_bytes integer,
  prompt_per_second real,
  prompt_samples integer not null default 0,
  generation_per_second real,
  generation_samples integer not null default 0,
  updated_ms integer not null,
  primary key (model, device, context_tokens)
) strict, without rowid;

-- Settings that the user changed while the hub ran; value is JSON.
create table settings (
  key text primary key,
  value text not null,
  updated_ms integer not null
) strict, without rowid;
