-- Conversations of the chat page. options is JSON; training says whether the user lets them be learned from;
-- leaf is the last message of the branch that was looked at last.
create table conversations (
  number integer primary key,
  id text not null unique,
  created_ms integer not null,
  updated_ms integer not null,
  title text not null,
  model text not null,
  options text not null,
  training integer not null,
  leaf text
) strict;

create index conversations_updated on conversations (updated_ms, number);

-- Messages form a tree: what was edited or written anew stands beside what it replaced, under the same parent.
-- data is JSON: all of a message but the columns before it.
create table conversation_messages (
  number integer primary key,
  conversation text not null references conversations (id) on delete cascade,
  id text not null,
  parent text,
  created_ms integer not null,
  role text not null,
  content text not null,
  data text not null,
  unique (conversation, id)
) strict;

-- rowid is the number of a message, or minus the number of a conversation for its title. folded is the text without
-- diacritics, by our own rule: none of SQLite's own tokenizers takes đ for d.
create virtual table conversation_search using fts5 (text, folded, tokenize = "unicode61 remove_diacritics 0");
