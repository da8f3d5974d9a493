-- The first schema. Times are integer milliseconds since 1970; addresses are keyed hashes, except
-- inside sends.request, which is the person's own data and is erased with them.

CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE sends (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  send_id TEXT NOT NULL UNIQUE,
  digest BLOB NOT NULL,
  recipient_id TEXT NOT NULL,
  campaign TEXT NOT NULL,
  is_promotional INTEGER NOT NULL,
  plan BLOB NOT NULL,
  request BLOB NOT NULL,
  gates BLOB NOT NULL,
  accepted_at INTEGER NOT NULL,
  stop TEXT,
  ended TEXT,
  ended_at INTEGER
);
CREATE INDEX sends_of_person ON sends (recipient_id, seq);
CREATE INDEX sends_of_campaign ON sends (campaign, seq);

CREATE TABLE deliveries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  send_seq INTEGER NOT NULL,
  position INTEGER NOT NULL,
  channel TEXT NOT NULL,
  state TEXT NOT NULL,
  priority INTEGER NOT NULL,
  queued_at INTEGER NOT NULL,
  due_at INTEGER,
  expires_at INTEGER,
  claim_no INTEGER NOT NULL DEFAULT 0,
  claimed_until INTEGER,
  doubt_until INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  targets TEXT NOT NULL DEFAULT '',
  provider TEXT,
  provider_message_id TEXT,
  sent_at INTEGER,
  delivered_at INTEGER,
  opened_at INTEGER,
  clicked_at INTEGER,
  unsubscribed_at INTEGER,
  fallback_at INTEGER,
  coupon_code TEXT,
  reason TEXT,
  detail TEXT
);
CREATE UNIQUE INDEX deliveries_of_send ON deliveries (send_seq, position);
CREATE INDEX deliveries_due ON deliveries (channel, priority, due_at, state) WHERE due_at IS NOT NULL;
CREATE INDEX deliveries_expiring ON deliveries (expires_at) WHERE due_at IS NOT NULL AND expires_at IS NOT NULL;
CREATE INDEX deliveries_waiting ON deliveries (state) WHERE state IN ('held', 'armed');
CREATE INDEX deliveries_falling_back ON deliveries (fallback_at) WHERE fallback_at IS NOT NULL;
CREATE INDEX deliveries_carrying ON deliveries (coupon_code) WHERE coupon_code IS NOT NULL;
CREATE INDEX deliveries_claimed ON deliveries (claimed_until) WHERE claimed_until IS NOT NULL;
CREATE INDEX deliveries_doubtful ON deliveries (doubt_until) WHERE doubt_until IS NOT NULL;

CREATE TABLE attempts (
  delivery_seq INTEGER NOT NULL,
  claim_no INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  provider TEXT NOT NULL,
  outcome TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (delivery_seq, claim_no)
) WITHOUT ROWID;

CREATE TABLE facts (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  send_seq INTEGER,
  topic TEXT NOT NULL,
  key BLOB,
  value BLOB,
  headers BLOB,
  occurred_at INTEGER NOT NULL
);
CREATE INDEX facts_of_send ON facts (send_seq) WHERE send_seq IS NOT NULL;

CREATE TABLE seen (
  name TEXT PRIMARY KEY,
  at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE standings (
  subject BLOB NOT NULL,
  channel TEXT NOT NULL,
  topic TEXT NOT NULL,
  cause TEXT NOT NULL,
  is_revoked INTEGER NOT NULL,
  occurred_at INTEGER NOT NULL,
  PRIMARY KEY (subject, channel, topic, cause)
) WITHOUT ROWID;

CREATE TABLE ledger (
  seq INTEGER PRIMARY KEY,
  subject BLOB NOT NULL,
  channel TEXT NOT NULL,
  topic TEXT NOT NULL,
  cause TEXT NOT NULL,
  is_revoked INTEGER NOT NULL,
  source TEXT NOT NULL,
  evidence TEXT NOT NULL,
  occurred_at INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL
);
CREATE INDEX ledger_of_subject ON ledger (subject);

CREATE TABLE addresses (
  subject BLOB NOT NULL,
  recipient_id TEXT NOT NULL,
  channel TEXT NOT NULL,
  PRIMARY KEY (subject, recipient_id)
) WITHOUT ROWID;

CREATE INDEX addresses_of_person ON addresses (recipient_id);

CREATE TABLE short_links (
  code TEXT PRIMARY KEY,
  delivery_id TEXT NOT NULL,
  link INTEGER NOT NULL,
  url TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE cancels (
  send_id TEXT PRIMARY KEY,
  at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE switches (
  scope TEXT PRIMARY KEY,
  is_stopped INTEGER NOT NULL,
  reason TEXT NOT NULL,
  at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE conversions (
  seq INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  recipient_id TEXT NOT NULL,
  kind TEXT NOT NULL,
  value TEXT,
  currency TEXT,
  order_id TEXT,
  coupon_code TEXT,
  occurred_at INTEGER NOT NULL,
  send_seq INTEGER,
  delivery_id TEXT,
  is_holdout INTEGER NOT NULL
);
CREATE INDEX conversions_of_person ON conversions (recipient_id, occurred_at);
CREATE INDEX conversions_of_send ON conversions (send_seq) WHERE send_seq IS NOT NULL;

CREATE TABLE coupons (
  code TEXT PRIMARY KEY,
  pool TEXT NOT NULL,
  state TEXT NOT NULL,
  campaign TEXT,
  recipient_id TEXT,
  send_seq INTEGER,
  position INTEGER,
  issued_at INTEGER,
  expires_at INTEGER,
  order_id TEXT,
  redeemed_at INTEGER
) WITHOUT ROWID;
CREATE INDEX coupons_free ON coupons (pool, code) WHERE state = 'free';
CREATE INDEX coupons_of_send ON coupons (send_seq) WHERE send_seq IS NOT NULL;
CREATE INDEX coupons_of_pool ON coupons (pool, state);
CREATE UNIQUE INDEX coupons_of_person ON coupons (recipient_id, campaign, pool)
  WHERE state IN ('reserved', 'issued', 'redeemed');
CREATE INDEX coupons_expiring ON coupons (expires_at) WHERE state = 'issued' AND expires_at IS NOT NULL;

CREATE TABLE fences (
  id TEXT PRIMARY KEY,
  feature BLOB NOT NULL,
  at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE cooldowns (
  recipient_id TEXT NOT NULL,
  place TEXT NOT NULL,
  until INTEGER NOT NULL,
  PRIMARY KEY (recipient_id, place)
) WITHOUT ROWID;
