-- Times are microseconds UTC (0: never), ids are text, JSON is text that the database does not look into.

create table instance (
  name  text primary key,
  value text not null
);
insert into instance (name, value) values ('revision', '1');

create table groups (
  name text primary key
);

create table users (
  id                  text primary key,
  username            text not null,
  username_key        text not null unique,
  name                text not null,
  email               text not null,
  email_key           text not null,
  phone               blob not null,
  locale              text not null,
  groups              text not null,
  roles               text not null,
  password            text not null,
  password_made       text not null,
  password_changed_at integer not null,
  sealing_key         blob not null,
  created_at          integer not null,
  disabled_at         integer not null
);
create unique index users_email on users (email_key) where email_key <> '';

create table password_history (
  user_id    text not null references users (id) on delete cascade,
  phc        text not null,
  created_at integer not null,
  primary key (user_id, created_at)
);

create table factors (
  id         text primary key,
  user_id    text not null references users (id) on delete cascade,
  kind       text not null,
  name       text not null,
  secret     blob not null,
  handle     blob,
  counter    integer not null,
  created_at integer not null,
  used_at    integer not null,
  stopped_at integer not null
);
create index factors_user on factors (user_id);
create unique index factors_one on factors (user_id, kind) where kind in ('totp', 'sms');
create unique index factors_handle on factors (handle) where handle is not null;

create table recovery_codes (
  id         blob primary key,
  user_id    text not null references users (id) on delete cascade,
  created_at integer not null,
  used_at    integer not null
);
create index recovery_codes_user on recovery_codes (user_id);

create table devices (
  id         text primary key,
  token      blob not null unique,
  user_id    text not null references users (id) on delete cascade,
  stamp      text not null,
  personal   blob not null,
  created_at integer not null,
  used_at    integer not null,
  expires_at integer not null
);
create index devices_user on devices (user_id);

create table challenges (
  scope      text primary key,
  id         text not null,
  kind       text not null,
  user_id    text not null references users (id) on delete cascade,
  proof      blob not null,
  data       blob not null,
  mark       text not null,
  state      text not null,
  created_at integer not null,
  expires_at integer not null,
  used_at    integer not null
);
create index challenges_user on challenges (user_id);

create table outbox (
  id         text primary key,
  user_id    text not null references users (id) on delete cascade,
  body       blob not null,
  tries      integer not null,
  next_at    integer not null,
  expires_at integer not null,
  created_at integer not null
);
create index outbox_next on outbox (next_at);
create index outbox_user on outbox (user_id);

create table flows (
  id         text primary key,
  version    integer not null,
  browser    blob not null,
  state      text not null,
  request    text not null,
  user_id    text not null,
  pending    blob not null,
  session_id text not null,
  used_at    integer not null,
  expires_at integer not null
);
create index flows_expires on flows (expires_at);
create index flows_browser on flows (browser);

create table sessions (
  id         text primary key,
  token      blob not null unique,
  user_id    text not null references users (id) on delete cascade,
  proved     text not null,
  personal   blob not null,
  auth_time  integer not null,
  created_at integer not null,
  seen_at    integer not null,
  expires_at integer not null,
  ended_at   integer not null,
  locked_at  integer not null
);
create index sessions_user on sessions (user_id);

create table clients (
  id         text primary key,
  metadata   text not null,
  logout_uri text not null,
  secret     blob not null,
  old_secret blob not null,
  old_until  integer not null,
  managed_by blob not null,
  bounds     text not null,
  created_at integer not null,
  updated_at integer not null
);

create table registration_tokens (
  id         text primary key,
  token      blob not null unique,
  name       text not null,
  bounds     text not null,
  uses       integer not null,
  used       integer not null,
  created_at integer not null,
  expires_at integer not null
);

create table policies (
  name       text primary key,
  body       text not null,
  updated_at integer not null
);

create table grants (
  id           text primary key,
  client_id    text not null,
  user_id      text,
  session_id   text,
  data         text not null,
  code_until   integer not null,
  code_used_at integer not null,
  gen          integer not null,
  rotated_at   integer not null,
  expires_at   integer not null,
  revoked_at   integer not null,
  created_at   integer not null
);
create index grants_session on grants (session_id) where session_id is not null;
create index grants_user on grants (user_id) where user_id is not null;

create table logouts (
  session_id text not null,
  client_id  text not null,
  user_id    text not null,
  tries      integer not null,
  next_at    integer not null,
  expires_at integer not null,
  primary key (session_id, client_id)
);
create index logouts_next on logouts (next_at);

create table pushed (
  id         blob primary key,
  client_id  text not null,
  data       text not null,
  used_at    integer not null,
  expires_at integer not null
);
create index pushed_expires on pushed (expires_at);

create table used (
  id         blob primary key,
  expires_at integer not null
);
create index used_expires on used (expires_at);

create table device_grants (
  id         text primary key,
  user_code  blob not null unique,
  client_id  text not null,
  scope      text not null,
  state      text not null,
  month      text not null,
  personal   blob not null,
  pace       integer not null,
  polled_at  integer not null,
  early      integer not null,
  created_at integer not null,
  expires_at integer not null
);
create index device_grants_expires on device_grants (expires_at);

create table trials (
  client_id  text not null,
  user_id    text not null references users (id) on delete cascade,
  fault      text not null,
  state      text not null,
  grant_id   text not null,
  used       integer not null,
  verdict    text not null,
  created_at integer not null,
  expires_at integer not null,
  primary key (client_id, user_id, fault)
);
create index trials_user on trials (user_id);
create unique index trials_one on trials (client_id, user_id) where state <> 'judged';
create index trials_grant on trials (grant_id) where grant_id <> '';

create table attempts (
  lane  text primary key,
  n     integer not null,
  since integer not null,
  until integer not null
);

create table links (
  token      blob primary key,
  kind       text not null,
  user_id    text not null,
  created_at integer not null,
  expires_at integer not null,
  used_at    integer not null
);

create table month_keys (
  month       text primary key,
  sealing_key blob not null
);

create table events (
  id         text primary key,
  seq        integer,
  at         integer not null,
  kind       text not null,
  outcome    text not null,
  reason     text not null,
  actor      text not null,
  subject    text not null,
  client_id  text not null,
  session_id text not null,
  request    text not null,
  detail     text not null,
  sealed_by  text not null,
  personal   blob not null
);
create index events_subject on events (subject, id) where subject <> '';
create index events_trouble on events (client_id, id) where outcome <> 'success' and client_id <> '';
