-- The queries of the SQLite store. Each has a name, a sentence, and positional parameters.
-- A query runs once per row of parameters; one writer thread runs all of them, so no row is locked.

-- name: known_sends
-- The digest under which a send was first admitted.
SELECT send_id, digest FROM sends WHERE send_id = ?1;

-- name: new_send_seqs
-- The next ?1 numbers for sends; those of erased ones are not given again.
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'sends'), 0) + i FROM n;

-- name: new_delivery_seqs
-- The next ?1 numbers for deliveries; those of erased ones are not given again.
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'deliveries'), 0) + i FROM n;

-- name: standings
-- What is known of one subject.
SELECT subject, channel, topic, cause, is_revoked, occurred_at FROM standings WHERE subject = ?1;

-- name: insert_sends
-- A request becomes a send.
INSERT INTO sends (seq, send_id, digest, recipient_id, campaign, is_promotional, plan, request, gates, accepted_at, ended, ended_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, CASE WHEN ?11 IS NULL THEN NULL ELSE ?10 END);

-- name: end_sends
-- A send ended without (another) message; what the gates said now stands behind what they said
-- before (both are JSON arrays, and neither is empty).
UPDATE sends SET ended = ?2, ended_at = ?4, gates = CAST(
  substr(CAST(gates AS TEXT), 1, length(CAST(gates AS TEXT)) - 1) || ',' || substr(CAST(?3 AS TEXT), 2) AS BLOB)
WHERE seq = ?1;

-- name: insert_deliveries
-- A send's turn on one channel.
INSERT INTO deliveries (seq, send_seq, position, channel, state, priority, queued_at, due_at, expires_at, claim_no, claimed_until, targets)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12);

-- name: insert_addresses
-- An address is known to be a person's.
INSERT INTO addresses (subject, recipient_id, channel) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING;

-- name: insert_facts
-- A fact, to be published in the order of its number.
INSERT INTO facts (send_seq, topic, key, value, headers, occurred_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: due
-- Due deliveries of one channel and priority, longest due first.
SELECT d.seq, d.send_seq, d.position, d.claim_no, d.attempts,
       CASE WHEN EXISTS (SELECT 1 FROM attempts a WHERE a.delivery_seq = d.seq) THEN d.queued_at ELSE ?3 END,
       d.targets, d.state, s.plan, s.stop, s.request
FROM deliveries d JOIN sends s ON s.seq = d.send_seq
WHERE d.channel = ?1 AND d.priority = ?2 AND d.due_at <= ?3
ORDER BY d.due_at LIMIT ?4;

-- name: expired
-- Deliveries that wait past their request's end.
SELECT d.seq, d.send_seq, d.position, d.claim_no, d.attempts, d.queued_at, d.targets, d.state, s.plan, s.stop, x''
FROM deliveries d JOIN sends s ON s.seq = d.send_seq
WHERE d.due_at IS NOT NULL AND d.expires_at <= ?1
ORDER BY d.expires_at LIMIT ?2;

-- name: open_of_person
-- Deliveries to a person that have not gone to a provider for good.
SELECT d.seq, d.send_seq, d.position, d.claim_no, d.attempts, d.queued_at, d.targets, d.state, s.plan, s.stop, x''
FROM sends s JOIN deliveries d ON d.send_seq = s.seq
WHERE s.recipient_id = ?1 AND (d.due_at IS NOT NULL OR d.claimed_until IS NOT NULL OR d.doubt_until IS NOT NULL OR d.fallback_at IS NOT NULL);

-- name: open_of_send
-- Deliveries of a send that have not gone to a provider for good.
SELECT d.seq, d.send_seq, d.position, d.claim_no, d.attempts, d.queued_at, d.targets, d.state, s.plan, s.stop, x''
FROM sends s JOIN deliveries d ON d.send_seq = s.seq
WHERE s.send_id = ?1 AND (d.due_at IS NOT NULL OR d.claimed_until IS NOT NULL OR d.doubt_until IS NOT NULL OR d.fallback_at IS NOT NULL);

-- name: open_of_campaign
-- Deliveries of a campaign that have not gone to a provider for good, some at a time.
SELECT d.seq, d.send_seq, d.position, d.claim_no, d.attempts, d.queued_at, d.targets, d.state, s.plan, s.stop, x''
FROM sends s JOIN deliveries d ON d.send_seq = s.seq
WHERE s.campaign = ?1 AND s.stop IS NULL AND (d.due_at IS NOT NULL OR d.claimed_until IS NOT NULL OR d.doubt_until IS NOT NULL OR d.fallback_at IS NOT NULL)
LIMIT ?2;

-- name: open_on_channel
-- Deliveries on a channel that have not gone to a provider for good, some at a time.
SELECT d.seq, d.send_seq, d.position, d.claim_no, d.attempts, d.queued_at, d.targets, d.state, s.plan, s.stop, x''
FROM deliveries d JOIN sends s ON s.seq = d.send_seq
WHERE d.channel = ?1 AND s.stop IS NULL
  AND (d.due_at IS NOT NULL OR d.claimed_until IS NOT NULL OR d.fallback_at IS NOT NULL OR d.doubt_until IS NOT NULL) LIMIT ?2;

-- name: stop_sends
-- Whatever has not gone to a provider must not go any more, for this reason.
UPDATE sends SET stop = ?2 WHERE seq = ?1;

-- name: hold_deliveries
-- A switch holds this delivery back, until its request's end at the latest; a push that some
-- devices have stays sent.
UPDATE deliveries SET state = CASE state WHEN 'queued' THEN 'held' ELSE state END, due_at = ?2
WHERE seq = ?1;

-- name: release_held
-- A switch lets the campaign's deliveries go on.
UPDATE deliveries SET state = CASE state WHEN 'held' THEN 'queued' ELSE state END, due_at = ?2
WHERE state IN ('held', 'sent', 'delivered') AND due_at IS NOT NULL
  AND send_seq IN (SELECT seq FROM sends WHERE campaign = ?1);

-- name: requeue_deliveries
-- A delivery waits for a later moment.
UPDATE deliveries SET state = ?3, due_at = ?2 WHERE seq = ?1;

-- name: plan_of_send
-- The plan of a send by its number.
SELECT plan FROM sends WHERE seq = ?1;

-- name: switches
-- What is stopped.
SELECT scope, is_stopped, reason, at FROM switches;

-- name: upsert_switches
-- An operator stops a scope or lets it run.
INSERT INTO switches (scope, is_stopped, reason, at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (scope) DO UPDATE SET is_stopped = excluded.is_stopped, reason = excluded.reason, at = excluded.at;

-- name: cancels
-- Requests that were cancelled before they came.
SELECT send_id FROM cancels WHERE send_id = ?1;

-- name: insert_cancels
-- A request is cancelled, whether it has come or not.
INSERT INTO cancels (send_id, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING;

-- name: touches
-- Promotional messages that a person got, or may have got, since then. What was given up in doubt
-- counts from its last attempt, or from its turn where a crash left none.
SELECT s.recipient_id, d.channel,
  coalesce(d.sent_at, d.claimed_until, d.doubt_until,
    (SELECT max(a.ended_at) FROM attempts a WHERE a.delivery_seq = d.seq), d.queued_at)
FROM sends s JOIN deliveries d ON d.send_seq = s.seq
WHERE s.recipient_id = ?1 AND s.is_promotional = 1 AND d.claim_no > 0
  AND (d.sent_at >= ?2 OR d.claimed_until IS NOT NULL OR d.state IN ('in_doubt', 'unknown'));

-- name: coupon_of_person
-- The code that a person has, or had until it expired, of a campaign and pool.
SELECT code, state, expires_at, order_id FROM coupons
WHERE recipient_id = ?1 AND campaign = ?2 AND pool = ?3 AND state IN ('reserved', 'issued', 'redeemed', 'expired');

-- name: carriers
-- The other deliveries that carry a code and may have reached, or may yet reach, the person.
SELECT seq, state FROM deliveries
WHERE coupon_code = ?1 AND seq <> ?2 AND state IN ('claimed', 'in_doubt', 'unknown', 'sent', 'delivered');

-- name: extend_coupons
-- A code that is reserved still: its time counts from the newest attempt.
UPDATE coupons SET expires_at = ?2 WHERE code = ?1 AND state = 'reserved';

-- name: free_coupon
-- A code that nobody has.
SELECT code FROM coupons WHERE pool = ?1 AND state = 'free' ORDER BY code LIMIT 1;

-- name: reserve_coupons
-- A code is kept for a person until its message is taken or given up.
UPDATE coupons SET state = 'reserved', campaign = ?2, recipient_id = ?3, send_seq = ?4, position = ?5, expires_at = ?6
WHERE code = ?1 AND state = 'free';

-- name: coupon
-- One code.
SELECT code, pool, state, campaign, recipient_id, send_seq, position, issued_at, expires_at, order_id FROM coupons
WHERE code = ?1;

-- name: issue_coupons
-- The message with the code was taken: the code is the person's.
UPDATE coupons SET state = 'issued', issued_at = ?2, expires_at = ?3, send_seq = ?4, position = ?5
WHERE code = ?1 AND state = 'reserved';

-- name: free_coupons
-- The message with the code was never taken: the code goes back to its pool.
UPDATE coupons SET state = 'free', campaign = NULL, recipient_id = NULL, send_seq = NULL, position = NULL, expires_at = NULL
WHERE code = ?1 AND state = 'reserved';

-- name: move_coupons
-- A code is redeemed, expired or returned.
UPDATE coupons SET state = ?2, order_id = coalesce(?3, order_id), redeemed_at = coalesce(?4, redeemed_at) WHERE code = ?1;

-- name: coupons_over
-- Issued codes whose time is over.
SELECT c.code, c.pool, c.send_seq, c.position, c.expires_at, s.plan
FROM coupons c JOIN sends s ON s.seq = c.send_seq
WHERE c.state = 'issued' AND c.expires_at <= ?1 ORDER BY c.expires_at LIMIT ?2;

-- name: insert_coupons
-- New codes of a pool.
INSERT INTO coupons (code, pool, state) VALUES (?1, ?2, 'free') ON CONFLICT DO NOTHING;

-- name: count_coupons
-- How many codes of a pool there are, by state.
SELECT state, count(*) FROM coupons WHERE pool = ?1 GROUP BY state;

-- name: carry_coupons
-- The code that a delivery carries.
UPDATE deliveries SET coupon_code = ?2 WHERE seq = ?1;

-- name: insert_conversions
-- A person came back.
INSERT INTO conversions (name, recipient_id, kind, value, currency, order_id, coupon_code, occurred_at, send_seq, delivery_id, is_holdout)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING;

-- name: coupon_of_order
-- The code that an order redeemed.
SELECT code FROM coupons WHERE recipient_id = ?1 AND order_id = ?2 LIMIT 1;

-- name: touches_of_person
-- Every delivery to a person that a conversion may be credited to; one in doubt only by its coupon.
SELECT s.seq, d.position, d.channel, d.sent_at, d.delivered_at, d.clicked_at, d.coupon_code, s.ended, s.ended_at, s.plan
FROM sends s LEFT JOIN deliveries d ON d.send_seq = s.seq
WHERE s.recipient_id = ?1
  AND (d.sent_at IS NOT NULL OR s.ended = 'held_out' OR (d.coupon_code IS NOT NULL AND d.state IN ('in_doubt', 'unknown')));

-- name: mark_hits
-- A person opened or clicked: their first open and their last click are kept.
UPDATE deliveries
SET opened_at = min(coalesce(opened_at, ?2), ?2),
    clicked_at = CASE WHEN ?3 IS NULL THEN clicked_at ELSE max(coalesce(clicked_at, ?3), ?3) END
WHERE seq = ?1;

-- name: fall_back_at
-- When the next channel's turn comes, unless the person reacted; never where it has come already.
UPDATE deliveries SET fallback_at = ?2 WHERE seq = ?1 AND (?2 IS NULL OR NOT EXISTS (
  SELECT 1 FROM deliveries n WHERE n.send_seq = deliveries.send_seq AND n.position > deliveries.position));

-- name: falling_back
-- Deliveries whose wait for a reaction is over.
SELECT d.seq, d.send_seq, d.position, d.claim_no, d.attempts, d.queued_at, d.targets, d.state, s.plan, s.stop, x'',
       d.delivered_at, d.opened_at, d.clicked_at
FROM deliveries d JOIN sends s ON s.seq = d.send_seq
WHERE d.fallback_at IS NOT NULL AND d.fallback_at <= ?1 ORDER BY d.fallback_at LIMIT ?2;

-- name: reactions
-- How the earlier deliveries of a send were taken.
SELECT position, state, delivered_at, opened_at, clicked_at FROM deliveries WHERE send_seq = ?1 AND position < ?2;

-- name: armed_of_person
-- Armed deliveries of a person.
SELECT d.seq, d.send_seq, d.position, d.claim_no, d.attempts, d.queued_at, d.targets, d.state, s.plan, s.stop, x''
FROM sends s JOIN deliveries d ON d.send_seq = s.seq
WHERE s.recipient_id = ?1 AND d.state = 'armed';

-- name: cooldowns
-- Places that a person was reached at lately.
SELECT place, until FROM cooldowns WHERE recipient_id = ?1 AND until > ?2;

-- name: upsert_cooldowns
-- A person was reached at a place.
INSERT INTO cooldowns (recipient_id, place, until) VALUES (?1, ?2, ?3)
ON CONFLICT (recipient_id, place) DO UPDATE SET until = max(until, excluded.until);

-- name: fences
-- All fences.
SELECT id, feature, at FROM fences ORDER BY id;

-- name: fences_age
-- How many fences there are and when the last one changed.
SELECT count(*), coalesce(max(at), 0) FROM fences;

-- name: upsert_fences
-- A fence is new, or has changed.
INSERT INTO fences (id, feature, at) VALUES (?1, ?2, ?3)
ON CONFLICT (id) DO UPDATE SET feature = excluded.feature, at = excluded.at;

-- name: delete_fences
-- A fence is gone.
DELETE FROM fences WHERE id = ?1;

-- name: claim_deliveries
-- The durable right to one attempt.
UPDATE deliveries
SET state = CASE state WHEN 'queued' THEN 'claimed' ELSE state END, due_at = NULL, claim_no = ?2, claimed_until = ?3,
    queued_at = ?4
WHERE seq = ?1;

-- name: close_deliveries
-- A delivery that no gate lets out any more.
UPDATE deliveries SET state = ?2, due_at = NULL, reason = ?3, detail = ?4 WHERE seq = ?1;

-- name: open_claims
-- How a claim's delivery stands, if the claim is still the newest one.
SELECT seq, claim_no, state, claimed_until IS NOT NULL FROM deliveries WHERE seq = ?1 AND claim_no = ?2;

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

-- name: secret
-- The key of this store's hashes.
SELECT value FROM meta WHERE name = 'secret';

-- name: published_mark
-- Up to where the outbox is published.
SELECT value FROM meta WHERE name = 'published';

-- name: pending_facts
-- The oldest facts beyond the mark, up to so many bytes and at least one.
SELECT seq, topic, key, value, headers FROM (
  SELECT seq, topic, key, value, headers, sum(coalesce(length(value), 0)) OVER (ORDER BY seq) AS bytes
  FROM facts WHERE seq > ?1 ORDER BY seq LIMIT ?2
) WHERE bytes <= ?3 OR seq = (SELECT min(seq) FROM facts WHERE seq > ?1) ORDER BY seq;

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
    delivered_at = coalesce(delivered_at, ?7),
    provider = coalesce(provider, ?4), provider_message_id = coalesce(provider_message_id, ?5),
    reason = coalesce(?6, reason)
WHERE seq = ?1;

-- name: addresses_of
-- The addresses that are known to be a person's.
SELECT subject FROM addresses WHERE recipient_id = ?1;

-- name: recipients_of
-- The people an address is known to belong to.
SELECT subject, recipient_id FROM addresses WHERE subject = ?1;

-- name: last_delivery_on
-- The newest delivery to a person on a channel.
SELECT s.recipient_id, d.position, d.provider, d.provider_message_id, d.attempts, s.seq, s.plan, d.seq
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
-- How many open deliveries there are by channel and state, and when the oldest was due; from indexes alone.
SELECT channel, state, count(*), min(due_at) FROM (
  SELECT channel, state, due_at FROM deliveries WHERE due_at IS NOT NULL
  UNION ALL SELECT channel, state, NULL FROM deliveries WHERE claimed_until IS NOT NULL
  UNION ALL SELECT channel, state, NULL FROM deliveries WHERE doubt_until IS NOT NULL
) GROUP BY channel, state;

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

-- name: old_sends
-- Sends that are old enough to forget and have nothing open.
SELECT s.seq, s.send_id FROM sends s
WHERE s.accepted_at < ?1 AND NOT EXISTS (
  SELECT 1 FROM deliveries d
  WHERE d.send_seq = s.seq
    AND (d.due_at IS NOT NULL OR d.claimed_until IS NOT NULL OR d.doubt_until IS NOT NULL OR d.fallback_at IS NOT NULL)
) AND NOT EXISTS (
  SELECT 1 FROM coupons c WHERE c.send_seq = s.seq AND c.state IN ('reserved', 'issued')
) ORDER BY s.seq LIMIT ?2;

-- name: purge_cooldowns
-- Places that nobody cools down from any more.
DELETE FROM cooldowns WHERE until < ?1;

-- name: purge_seen
-- Dedupe names that are old enough to forget.
DELETE FROM seen WHERE name IN (SELECT name FROM seen WHERE at < ?1 LIMIT ?2);

-- name: sends_of_person
-- A person's sends, oldest first: number, id, plan, request, whether clicked, whether open.
SELECT s.seq, s.send_id, s.plan, s.request,
       EXISTS (SELECT 1 FROM deliveries d WHERE d.send_seq = s.seq AND d.clicked_at IS NOT NULL),
       EXISTS (SELECT 1 FROM deliveries d WHERE d.send_seq = s.seq AND (d.due_at IS NOT NULL OR d.claimed_until IS NOT NULL))
FROM sends s WHERE s.recipient_id = ?1 ORDER BY s.seq;

-- name: ledger_of_subject
-- What a subject said.
SELECT channel, topic, cause, is_revoked, source, evidence, occurred_at, recorded_at FROM ledger
WHERE subject = ?1 ORDER BY seq;

-- name: conversions_of_person
-- How a person came back.
SELECT kind, value, currency, order_id, occurred_at, delivery_id FROM conversions
WHERE recipient_id = ?1 ORDER BY occurred_at;

-- name: coupons_of_person
-- The codes a person has or had.
SELECT code, pool, state, campaign FROM coupons WHERE recipient_id = ?1 ORDER BY code;

-- name: erase_ledger
-- Evidence may hold anything: it goes with the person.
DELETE FROM ledger WHERE subject = ?1;

-- name: erase_attempts
-- Attempts of a send.
DELETE FROM attempts WHERE delivery_seq IN (SELECT seq FROM deliveries WHERE send_seq = ?1);

-- name: erase_deliveries
-- Deliveries of a send.
DELETE FROM deliveries WHERE send_seq = ?1;

-- name: erase_facts
-- Facts of a send.
DELETE FROM facts WHERE send_seq = ?1;

-- name: erase_letters
-- Published dead letters: they may hold anything about anybody.
DELETE FROM facts WHERE topic = 'dlq' AND seq <= ?1;

-- name: erase_facts_of_key
-- Facts about a person, whatever send they belong to.
DELETE FROM facts WHERE key = ?1;

-- name: erase_sends
-- A send with its request.
DELETE FROM sends WHERE seq = ?1;

-- name: erase_links
-- Short links of a send's deliveries.
DELETE FROM short_links WHERE delivery_id LIKE ?1;

-- name: erase_addresses
-- Which addresses were a person's.
DELETE FROM addresses WHERE recipient_id = ?1;

-- name: erase_conversions
-- How a person came back.
DELETE FROM conversions WHERE recipient_id = ?1;

-- name: erase_cooldowns
-- Where a person was reached.
DELETE FROM cooldowns WHERE recipient_id = ?1;

-- name: erase_coupons
-- A person's codes are nobody's, and worth nothing.
UPDATE coupons SET state = CASE state WHEN 'reserved' THEN 'returned' WHEN 'issued' THEN 'returned' ELSE state END,
    recipient_id = NULL, campaign = NULL, send_seq = NULL, position = NULL, order_id = NULL
WHERE recipient_id = ?1;

-- name: results
-- Every send of a campaign with what became of it.
SELECT s.seq, s.recipient_id, s.ended, s.plan,
       max(d.sent_at), max(d.delivered_at), max(d.opened_at), max(d.clicked_at), (SELECT l.channel FROM deliveries l WHERE l.send_seq = s.seq AND l.sent_at IS NOT NULL ORDER BY l.position DESC LIMIT 1),
       max(d.unsubscribed_at)
FROM sends s LEFT JOIN deliveries d ON d.send_seq = s.seq
WHERE s.campaign = ?1 AND s.seq > ?2 GROUP BY s.seq ORDER BY s.seq LIMIT ?3;

-- name: results_conversions
-- What came back of a campaign.
SELECT c.send_seq, c.value, c.currency, c.is_holdout FROM conversions c JOIN sends s ON s.seq = c.send_seq
WHERE s.campaign = ?1;

-- name: mark_unsubscribed
-- A message that its person answered with a no.
UPDATE deliveries SET unsubscribed_at = coalesce(unsubscribed_at, ?2) WHERE seq = ?1;

-- name: campaigns_newest
-- Campaigns with the number of their newest send, newest first: one step of the index for each.
WITH RECURSIVE names(campaign) AS (
  SELECT min(campaign) FROM sends
  UNION ALL
  SELECT (SELECT min(s.campaign) FROM sends s WHERE s.campaign > names.campaign) FROM names
  WHERE names.campaign IS NOT NULL
)
SELECT campaign, (SELECT max(s.seq) FROM sends s WHERE s.campaign = names.campaign) AS newest
FROM names WHERE campaign IS NOT NULL ORDER BY newest DESC LIMIT ?1;

-- name: attempts_newest
-- What became of the newest ?1 attempts, by outcome.
SELECT outcome, count(*)
FROM (SELECT outcome FROM attempts ORDER BY delivery_seq DESC, claim_no DESC LIMIT ?1) AS newest GROUP BY outcome;

-- name: letters_newest
-- Dead letters among the newest ?1 facts, newest first, at most ?2.
SELECT seq, headers, occurred_at FROM facts
WHERE seq > (SELECT coalesce(max(seq), 0) FROM facts) - ?1 AND topic = 'dlq' ORDER BY seq DESC LIMIT ?2;

-- name: listed_newest
-- Sends before number ?1 with their newest delivery, newest first.
SELECT s.seq, s.plan, s.ended, s.accepted_at, d.channel, d.state, d.reason, d.due_at
FROM sends s LEFT JOIN deliveries d
  ON d.send_seq = s.seq AND d.position = (SELECT max(p.position) FROM deliveries p WHERE p.send_seq = s.seq)
WHERE s.seq < ?1 ORDER BY s.seq DESC LIMIT ?2;

-- name: listed_of_person
-- A person's sends before number ?2 with their newest delivery, newest first.
SELECT s.seq, s.plan, s.ended, s.accepted_at, d.channel, d.state, d.reason, d.due_at
FROM sends s LEFT JOIN deliveries d
  ON d.send_seq = s.seq AND d.position = (SELECT max(p.position) FROM deliveries p WHERE p.send_seq = s.seq)
WHERE s.recipient_id = ?1 AND s.seq < ?2 ORDER BY s.seq DESC LIMIT ?3;

-- name: listed_of_campaign
-- A campaign's sends before number ?2 that came as far as ?4, with their newest delivery, newest first.
-- ?5 tells of which people: 1 the held out, 0 the others, NULL all.
SELECT s.seq, s.plan, s.ended, s.accepted_at, d.channel, d.state, d.reason, d.due_at
FROM sends s LEFT JOIN deliveries d
  ON d.send_seq = s.seq AND d.position = (SELECT max(p.position) FROM deliveries p WHERE p.send_seq = s.seq)
WHERE s.campaign = ?1 AND s.seq < ?2 AND (?5 IS NULL OR (coalesce(s.ended, '') = 'held_out') = ?5) AND CASE ?4
    WHEN 'sent' THEN EXISTS (SELECT 1 FROM deliveries f WHERE f.send_seq = s.seq AND f.sent_at IS NOT NULL)
    WHEN 'delivered' THEN EXISTS (SELECT 1 FROM deliveries f WHERE f.send_seq = s.seq AND f.delivered_at IS NOT NULL)
    WHEN 'opened' THEN EXISTS (SELECT 1 FROM deliveries f WHERE f.send_seq = s.seq AND f.opened_at IS NOT NULL)
    WHEN 'clicked' THEN EXISTS (SELECT 1 FROM deliveries f WHERE f.send_seq = s.seq AND f.clicked_at IS NOT NULL)
    WHEN 'unsubscribed' THEN EXISTS (SELECT 1 FROM deliveries f WHERE f.send_seq = s.seq AND f.unsubscribed_at IS NOT NULL)
    WHEN 'returned' THEN EXISTS (SELECT 1 FROM conversions c WHERE c.send_seq = s.seq)
    ELSE 1 END = 1
ORDER BY s.seq DESC LIMIT ?3;

-- name: listed_open
-- Open deliveries of channel ?1 in state ?2, longest due first, with their sends.
SELECT s.seq, s.plan, s.ended, s.accepted_at, d.channel, d.state, d.reason, d.due_at
FROM (SELECT seq FROM deliveries WHERE channel = ?1 AND due_at IS NOT NULL AND state = ?2
      UNION SELECT seq FROM deliveries WHERE claimed_until IS NOT NULL AND channel = ?1 AND state = ?2
      UNION SELECT seq FROM deliveries WHERE doubt_until IS NOT NULL AND channel = ?1 AND state = ?2) AS waiting
JOIN deliveries d ON d.seq = waiting.seq JOIN sends s ON s.seq = d.send_seq
ORDER BY d.due_at, d.seq LIMIT ?3;

-- name: listed_by_outcome
-- Deliveries with outcome ?1 among the newest ?2 attempts, newest first, with their sends.
SELECT s.seq, s.plan, s.ended, s.accepted_at, d.channel, d.state, newest.reason, d.due_at
FROM (SELECT delivery_seq, claim_no, outcome, reason FROM attempts ORDER BY delivery_seq DESC, claim_no DESC LIMIT ?2) AS newest
JOIN deliveries d ON d.seq = newest.delivery_seq JOIN sends s ON s.seq = d.send_seq
WHERE newest.outcome = ?1 ORDER BY newest.delivery_seq DESC, newest.claim_no DESC LIMIT ?3;
