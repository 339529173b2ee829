-- The work as prepared statements, planned once in each session: run this file at its start, then
-- EXECUTE them, or Bind them by name in the extended protocol. Functions would hide the same text: those
-- in SQL are planned again by every call, those in PL/pgSQL add an interpreter to the same plan.

-- Adds a user to a channel, with everything up to a message read. One row when they are new.
PREPARE join_channel (bigint, bigint, bigint) AS
  INSERT INTO read_state VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- Reads a channel (user, channel, message). One row when the cursor moved, none when it stood there or
-- further. Mentions at or below the cursor do not count, so nothing has to be deleted here.
PREPARE ack (bigint, bigint, bigint) AS
  INSERT INTO read_state AS r VALUES ($1, $2, $3)
  ON CONFLICT (user_id, channel_id) DO UPDATE SET cursor = excluded.cursor
    WHERE r.cursor < excluded.cursor;

-- Makes a message and all after it unread again (user, channel, message).
PREPARE mark_unread (bigint, bigint, bigint) AS
  UPDATE read_state SET cursor = $3 - 1 WHERE user_id = $1 AND channel_id = $2 AND cursor >= $3;

-- Files a message (channel, message, author or 0) that names nobody; the author reads up to it.
-- Answers 1 when it is new, 0 when it is known.
PREPARE post (bigint, bigint, bigint) AS
  WITH filed AS (
    INSERT INTO message VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1),
  acked AS (
    INSERT INTO read_state AS r SELECT $3, $1, $2 FROM filed WHERE $3 <> 0
    ON CONFLICT (user_id, channel_id) DO UPDATE SET cursor = excluded.cursor
      WHERE r.cursor < excluded.cursor)
  SELECT count(*) FROM filed;

-- The same with the users it names.
PREPARE post_naming (bigint, bigint, bigint, bigint[]) AS
  WITH filed AS (
    INSERT INTO message VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1),
  mentioned AS (
    INSERT INTO mention SELECT DISTINCT named, $1, $2 FROM filed, unnest($4) AS named
    WHERE named <> $3),
  acked AS (
    INSERT INTO read_state AS r SELECT $3, $1, $2 FROM filed WHERE $3 <> 0
    ON CONFLICT (user_id, channel_id) DO UPDATE SET cursor = excluded.cursor
      WHERE r.cursor < excluded.cursor)
  SELECT count(*) FROM filed;

-- Takes messages out of every count (channel, messages). Answers how many there were.
PREPARE delete_messages (bigint, bigint[]) AS
  WITH gone AS (
    DELETE FROM message WHERE channel_id = $1 AND id = ANY ($2) RETURNING 1),
  unnamed AS (
    DELETE FROM mention AS n USING unnest($2) AS id WHERE n.channel_id = $1 AND n.message_id = id)
  SELECT count(*) FROM gone;

-- Replaces whom a message names (channel, message, users).
PREPARE edit (bigint, bigint, bigint[]) AS
  WITH unnamed AS (
    DELETE FROM mention WHERE channel_id = $1 AND message_id = $2 AND user_id <> ALL ($3))
  INSERT INTO mention SELECT DISTINCT named, $1, $2
  FROM unnest($3) AS named
  JOIN message AS m ON m.channel_id = $1 AND m.id = $2 AND m.author_id <> named
  ON CONFLICT DO NOTHING;

-- All read states of a user: channel, cursor, unread, mentions.
PREPARE state (bigint) AS
  SELECT r.channel_id, r.cursor,
    (SELECT count(*) FROM message AS m
     WHERE m.channel_id = r.channel_id AND m.id > r.cursor AND m.author_id <> $1),
    (SELECT count(*) FROM mention AS n
     WHERE n.user_id = $1 AND n.channel_id = r.channel_id AND n.message_id > r.cursor)
  FROM read_state AS r WHERE r.user_id = $1;

-- The read state of a user in one channel; no row when they are not in it.
PREPARE count_one (bigint, bigint) AS
  SELECT r.channel_id, r.cursor,
    (SELECT count(*) FROM message AS m
     WHERE m.channel_id = $2 AND m.id > r.cursor AND m.author_id <> $1),
    (SELECT count(*) FROM mention AS n
     WHERE n.user_id = $1 AND n.channel_id = $2 AND n.message_id > r.cursor)
  FROM read_state AS r WHERE r.user_id = $1 AND r.channel_id = $2;

-- The totals of a user: unread, mentions, and channels with something unread.
PREPARE badge (bigint) AS
  SELECT coalesce(sum(s.unread), 0), coalesce(sum(s.mentions), 0),
    count(*) FILTER (WHERE s.unread > 0)
  FROM (
    SELECT
      (SELECT count(*) FROM message AS m
       WHERE m.channel_id = r.channel_id AND m.id > r.cursor AND m.author_id <> $1) AS unread,
      (SELECT count(*) FROM mention AS n
       WHERE n.user_id = $1 AND n.channel_id = r.channel_id AND n.message_id > r.cursor) AS mentions
    FROM read_state AS r WHERE r.user_id = $1 OFFSET 0) AS s;

-- How many members have read a message (channel, message). Its author is not counted.
PREPARE seen (bigint, bigint) AS
  SELECT count(*) - (SELECT count(*) FROM message AS m
      JOIN read_state AS a ON a.user_id = m.author_id AND a.channel_id = $1 AND a.cursor >= $2
      WHERE m.channel_id = $1 AND m.id = $2)
  FROM read_state WHERE channel_id = $1 AND cursor >= $2;

-- Deletes mentions that no cursor counts any more; for a job at night.
PREPARE tidy AS
  DELETE FROM mention AS n USING read_state AS r
  WHERE r.user_id = n.user_id AND r.channel_id = n.channel_id AND r.cursor >= n.message_id;
