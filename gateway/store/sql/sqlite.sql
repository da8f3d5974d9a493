-- The queries of the SQLite store. Each has a name, a sentence, and positional parameters.
-- A query runs once per row of parameters; one writer thread runs all of them, so no row is locked.

-- name: known_sends
-- The digest under which a send was first admitted.
SELECT send_id, digest FROM sends WHERE send_id = ?1;

-- name: new_send_seqs
-- The next ?1 numbers for sends.
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
SELECT (SELECT coalesce(max(seq), 0) FROM sends) + i FROM n;

-- name: new_delivery_seqs
-- The next ?1 numbers for deliveries.
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
SELECT (SELECT coalesce(max(seq), 0) FROM deliveries) + i FROM n;

-- name: standings
-- What is known of one subject.
SELECT subject, channel, topic, cause, is_revoked, occurred_at FROM standings WHERE subject = ?1;

-- name: insert_sends
-- A request becomes a send.
INSERT INTO sends (seq, send_id, digest, recipient_id, campaign, plan, request, gates, accepted_at, ended)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10);

-- name: end_sends
-- A send ended without (another) message; what the gates said is kept.
UPDATE sends SET ended = ?2, gates = ?3 WHERE seq = ?1;

-- name: insert_deliveries
-- A send's turn on one channel.
INSERT INTO deliveries (seq, send_seq, position, channel, state, priority, queued_at, due_at, claim_no, claimed_until, targets)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11);

-- name: insert_addresses
-- An address is known to be a person's.
INSERT INTO addresses (subject, recipient_id, channel) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING;

-- name: insert_facts
-- A fact, to be published in the order of its number.
INSERT INTO facts (send_seq, topic, key, value, headers, occurred_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: due
-- Due deliveries of one channel and priority, longest due first.
SELECT d.seq, d.send_seq, d.position, d.claim_no, d.attempts, d.queued_at, d.targets, d.state, s.plan, s.request
FROM deliveries d JOIN sends s ON s.seq = d.send_seq
WHERE d.channel = ?1 AND d.priority = ?2 AND d.due_at <= ?3
ORDER BY d.due_at LIMIT ?4;

-- name: claim_deliveries
-- The durable right to one attempt.
UPDATE deliveries
SET state = CASE state WHEN 'queued' THEN 'claimed' ELSE state END, due_at = NULL, claim_no = ?2, claimed_until = ?3
WHERE seq = ?1;

-- name: close_deliveries
-- A delivery that no gate lets out any more.
UPDATE deliveries SET state = ?2, due_at = NULL, reason = ?3, detail = ?4 WHERE seq = ?1;

-- name: open_claims
-- How a claim's delivery stands, if the claim is still the newest one.
SELECT seq, state, claimed_until IS NOT NULL FROM deliveries WHERE seq = ?1 AND claim_no = ?2;

-- name: settle_deliveries
-- The outcome of an attempt.
UPDATE deliveries
SET state = ?2, due_at = ?3, doubt_until = ?4, claimed_until = NULL, attempts = attempts + ?5, targets = ?6,
    provider = ?7, provider_message_id = coalesce(?8, provider_message_id), sent_at = coalesce(sent_at, ?9),
    reason = ?10, detail = ?11
WHERE seq = ?1;

-- name: insert_attempts
-- One provider call and its outcome.
INSERT INTO attempts (delivery_seq, claim_no, started_at, ended_at, provider, outcome, reason)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING;

-- name: release_claims
-- Nothing was written under this claim: the delivery is due again.
UPDATE deliveries
SET state = CASE state WHEN 'claimed' THEN 'queued' ELSE state END, due_at = ?3, claimed_until = NULL
WHERE seq = ?1 AND claim_no = ?2 AND claimed_until IS NOT NULL;

-- name: secret
-- The key of this store's hashes.
SELECT value FROM meta WHERE name = 'secret';

-- name: published_mark
-- Up to where the outbox is published.
SELECT value FROM meta WHERE name = 'published';

-- name: pending_facts
-- The oldest facts beyond the mark.
SELECT seq, topic, key, value, headers FROM facts WHERE seq > ?1 ORDER BY seq LIMIT ?2;

-- name: set_published_mark
-- The broker has all facts up to here.
INSERT INTO meta (name, value) VALUES ('published', ?1)
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value);

-- name: seen
-- Names of facts and records that were taken already.
SELECT name FROM seen WHERE name = ?1;

-- name: insert_seen
-- From now on this name is a repeat.
INSERT INTO seen (name, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING;

-- name: deliveries_by_id
-- A delivery with its send's plan.
SELECT s.send_id, d.position, d.seq, d.send_seq, d.state, d.attempts, d.provider, d.provider_message_id,
       d.sent_at, s.plan
FROM sends s JOIN deliveries d ON d.send_seq = s.seq
WHERE s.send_id = ?1 AND d.position = ?2;

-- name: move_deliveries
-- A receipt moves a delivery forward; whatever was still planned for it is off.
UPDATE deliveries
SET state = ?2, due_at = NULL, doubt_until = NULL, claimed_until = NULL, sent_at = coalesce(sent_at, ?3),
    provider = coalesce(provider, ?4), provider_message_id = coalesce(provider_message_id, ?5),
    reason = coalesce(?6, reason)
WHERE seq = ?1;

-- name: recipients_of
-- The people an address is known to belong to.
SELECT subject, recipient_id FROM addresses WHERE subject = ?1;

-- name: last_delivery_on
-- The newest delivery to a person on a channel.
SELECT s.recipient_id, d.position, d.provider, d.provider_message_id, d.attempts, s.seq, s.plan
FROM sends s JOIN deliveries d ON d.send_seq = s.seq
WHERE s.recipient_id = ?1 AND d.channel = ?2 AND d.sent_at IS NOT NULL
ORDER BY s.seq DESC LIMIT 1;

-- name: upsert_standings
-- The newest word of a subject.
INSERT INTO standings (subject, channel, topic, cause, is_revoked, occurred_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (subject, channel, topic, cause) DO UPDATE
SET is_revoked = excluded.is_revoked, occurred_at = excluded.occurred_at
WHERE excluded.occurred_at >= standings.occurred_at;

-- name: insert_ledger
-- What was said, when, where and with what proof; never changed.
INSERT INTO ledger (subject, channel, topic, cause, is_revoked, source, evidence, occurred_at, recorded_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9);

-- name: insert_links
-- A short link and where it leads.
INSERT INTO short_links (code, delivery_id, link, url) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING;

-- name: link
-- Where a short link leads.
SELECT delivery_id, link, url FROM short_links WHERE code = ?1;

-- name: ran_out
-- Claims whose time is over.
SELECT d.seq, d.claim_no, d.targets, d.state FROM deliveries d
WHERE d.claimed_until IS NOT NULL AND d.claimed_until < ?1 ORDER BY d.claimed_until LIMIT ?2;

-- name: doubt_deliveries
-- The request may have been written: wait for proof.
UPDATE deliveries
SET state = ?4, claimed_until = NULL, doubt_until = ?2, attempts = attempts + 1, targets = ?3
WHERE seq = ?1;

-- name: doubts_over
-- Deliveries in doubt whose wait is over.
SELECT d.seq, d.send_seq, d.position, d.attempts, d.targets, d.provider, s.plan
FROM deliveries d JOIN sends s ON s.seq = d.send_seq
WHERE d.doubt_until IS NOT NULL AND d.doubt_until <= ?1 ORDER BY d.doubt_until LIMIT ?2;

-- name: end_doubts
-- No proof came: abandoned, or due again.
UPDATE deliveries SET state = ?2, due_at = ?3, doubt_until = NULL, targets = ?4, reason = ?5 WHERE seq = ?1;

-- name: backlog
-- How many open deliveries there are by channel and state, and when the oldest was due.
SELECT channel, state, count(*), min(due_at) FROM deliveries
WHERE due_at IS NOT NULL OR claimed_until IS NOT NULL OR doubt_until IS NOT NULL GROUP BY channel, state;

-- name: outbox_depth
-- How many facts wait to be published.
SELECT count(*) FROM facts WHERE seq > ?1;

-- name: story_send
-- One send.
SELECT seq, plan, gates, ended, accepted_at FROM sends WHERE send_id = ?1;

-- name: story_deliveries
-- The deliveries of a send.
SELECT seq, position, channel, state, queued_at, due_at, claimed_until, doubt_until, attempts, provider,
       provider_message_id, sent_at, reason, detail
FROM deliveries WHERE send_seq = ?1 ORDER BY position;

-- name: story_attempts
-- The attempts of a delivery.
SELECT delivery_seq, claim_no, started_at, ended_at, provider, outcome, reason FROM attempts
WHERE delivery_seq = ?1 ORDER BY claim_no;

-- name: story_facts
-- The facts of a send.
SELECT value FROM facts WHERE send_seq = ?1 ORDER BY seq;

-- name: purge_facts
-- Published facts that are old enough to forget.
DELETE FROM facts WHERE seq IN (SELECT seq FROM facts WHERE seq <= ?1 AND occurred_at < ?2 ORDER BY seq LIMIT ?3);

-- name: purge_seen
-- Dedupe names that are old enough to forget.
DELETE FROM seen WHERE name IN (SELECT name FROM seen WHERE at < ?1 LIMIT ?2);
