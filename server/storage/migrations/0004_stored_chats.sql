-- Answers that a client asked to keep with store: true; they may be used for training. All columns in JSON but the plain ones.
create table stored_chats (
  number integer primary key,
  id text not null unique,
  created_ms integer not null,
  model text not null,
  metadata text not null,
  messages text not null,
  tools text not null,
  response text not null
) strict;
