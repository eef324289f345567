-- API keys. Of a key itself only the SHA-256 is kept, with its first and last letters, by which a person knows it.
-- training: chats made with it are kept for training unless a request says otherwise.
create table api_keys (
  number integer primary key,
  id text not null unique,
  hash text not null unique,
  first text not null,
  last text not null,
  name text not null,
  role text not null,
  training integer not null,
  requests_per_minute integer,
  created_ms integer not null,
  expires_ms integer,
  last_used_ms integer
) strict;
