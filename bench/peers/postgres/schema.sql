-- Read states in PostgreSQL. Ids are numbers from 1; 0 is nobody.

-- Where a user stands in a channel. Vacuum keeps its pages visible to all, and room in each page
-- lets an ack that does not touch an index stay in its page.
CREATE TABLE read_state (
  user_id    bigint NOT NULL,
  channel_id bigint NOT NULL,
  cursor     bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (user_id, channel_id) INCLUDE (cursor)
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_insert_scale_factor = 0.02);

-- How many have read a message: the members of a channel by how far they are.
CREATE INDEX read_state_readers ON read_state (channel_id, cursor);

CREATE TABLE message (
  channel_id bigint NOT NULL,
  id         bigint NOT NULL,
  author_id  bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (channel_id, id) INCLUDE (author_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02);

CREATE TABLE mention (
  user_id    bigint NOT NULL,
  channel_id bigint NOT NULL,
  message_id bigint NOT NULL,
  PRIMARY KEY (user_id, channel_id, message_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02);

-- For a delete and an edit, which know the message and not whom it names.
CREATE INDEX mention_of_message ON mention (channel_id, message_id);
