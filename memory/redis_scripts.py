"""What is done inside Redis: each script is one write that happens whole or not at all.

Every script gets the prefix of the keys first. Its first write decides about memory: a server at
its `maxmemory` refuses that one if it could need memory, and then nothing was written; what follows
it is never refused. So what frees memory begins with a deletion, and what takes some does not.
Instants and lengths come as 19 digits, so that comparing text compares numbers, which Lua would
round; places as eight bytes for the start and eight for the end, biggest first, so that sorted sets
put them in order of time.

    meta            schema, record_id, revision, last_deletion, words (in all notes), run_id
    streams, statuses, ended, cursors      a hash each
    notes, vectors, trails                 hashes by clip id; a trail says what to delete of a clip
    revisions                              clip ids by revision
    longest                                the longest that was ever in a sorted set by time
    clips:STREAM, events:STREAM            places with ids
    segments:STREAM, gaps:STREAM           places with bodies
    words:STREAM:STEM                      places with revision, occurrences and length of note
    forgotten:STREAM                       START-END to whether the forgetting is finished
    documents:KIND                         bodies of documents by name
    document-names:KIND                    these names, in their order
"""

LEAP = 2**20
"""Revisions skipped when the server was started anew: more than a power cut can have taken."""

_COMMON = """
local prefix = ARGV[1]
local function key(...) return prefix .. table.concat({...}, ':') end
local meta = key('meta')

local function is_known(stream) return redis.call('HEXISTS', key('streams'), stream) == 1 end

local function refusal(stream, start_ns, end_ns)
  if not is_known(stream) then return 'unknown' end
  for _, span in ipairs(redis.call('HKEYS', key('forgotten', stream))) do
    if string.sub(span, 1, 19) < end_ns and start_ns < string.sub(span, 21) then
      return 'forgotten'
    end
  end
end

local function stretch(set, length_ns)
  local longest_ns = redis.call('HGET', key('longest'), set)
  if not longest_ns or longest_ns < length_ns then
    redis.call('HSET', key('longest'), set, length_ns)
  end
end

local function begin_growing() redis.call('HINCRBY', meta, 'words', 0) end
local function begin_freeing() redis.call('HDEL', meta, '') end

local function replace_at_start(set, first, after, member, length_ns)
  begin_growing()
  redis.call('ZREMRANGEBYLEX', key(set), first, after)
  redis.call('ZADD', key(set), 0, member)
  stretch(set, length_ns)
end

local function drop(clip_id)
  local packed = redis.call('HGET', key('trails'), clip_id)
  if not packed then return end
  local trail = cmsgpack.unpack(packed)
  redis.call('HDEL', key('trails'), clip_id)
  redis.call('HDEL', key('notes'), clip_id)
  redis.call('HDEL', key('vectors'), clip_id)
  redis.call('ZREM', key('revisions'), clip_id)
  redis.call('ZREM', key('clips', trail.stream), trail.place .. clip_id)
  for _, event in ipairs(trail.events) do
    redis.call('ZREM', key('events', trail.stream), event)
  end
  for at = 1, #trail.stems, 2 do
    redis.call('ZREM', key('words', trail.stream, trail.stems[at]),
      trail.place .. trail.revision .. trail.stems[at + 1])
  end
  redis.call('HINCRBY', meta, 'words', 0 - trail.words) -- minus nought would be '-0'
  return trail
end
"""

SETTLE = (
    _COMMON
    + f"local leap = {LEAP}"
    + """
local schema, record_id, run_id = ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', meta) == 0 then
  for _, name in ipairs({'streams', 'notes', 'vectors', 'trails', 'revisions', 'cursors'}) do
    if redis.call('EXISTS', key(name)) == 1 then return 'headless' end
  end
  redis.call('HSET', meta, 'schema', schema, 'record_id', record_id, 'revision', 0,
    'last_deletion', 0, 'words', 0, 'run_id', run_id)
  return schema
end
local found = redis.call('HGET', meta, 'schema')
if not found then return 'foreign' end
if found == schema and redis.call('HGET', meta, 'run_id') ~= run_id then
  begin_freeing()
  local revision = redis.call('HINCRBY', meta, 'revision', leap)
  redis.call('HSET', meta, 'last_deletion', revision, 'run_id', run_id)
end
return found
"""
)
"""Make the record where there is none, and say its schema. After a restart of the server, which may
have lost the last writes, go on with revisions that nobody has seen, and let every index compare
its clips with ours."""

SET_OF_STREAM = (
    _COMMON
    + """
if not is_known(ARGV[3]) then return 'unknown' end
redis.call('HSET', key(ARGV[2]), ARGV[3], ARGV[4])
"""
)

SWAP_SPEC = (
    _COMMON
    + """
if redis.call('HGET', key('streams'), ARGV[2]) ~= ARGV[3] then return 'changed' end
redis.call('HSET', key('streams'), ARGV[2], ARGV[4])
"""
)

PUT_CLIP = (
    _COMMON
    + """
local stream, clip_id, place, length_ns = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local why = refusal(stream, ARGV[2], ARGV[3])
if why then return why end
local revision = redis.call('HINCRBY', meta, 'revision', 1)
drop(clip_id)
local note, vectors, words, size_bytes, num_events = unpack(ARGV, 8, 12)
local trail = {
  stream = stream, place = place, revision = struct.pack('>I8', revision),
  words = tonumber(words), size_bytes = tonumber(size_bytes), events = {}, stems = {},
}
redis.call('HSET', key('notes'), clip_id, note)
redis.call('HSET', key('vectors'), clip_id, trail.revision .. vectors)
redis.call('ZADD', key('revisions'), revision, clip_id)
redis.call('ZADD', key('clips', stream), 0, place .. clip_id)
stretch('clips:' .. stream, length_ns)
local at = 13
for _ = 1, tonumber(num_events) do
  trail.events[#trail.events + 1] = ARGV[at]
  redis.call('ZADD', key('events', stream), 0, ARGV[at])
  stretch('events:' .. stream, ARGV[at + 1])
  at = at + 2
end
for each = at, #ARGV, 2 do
  local stem, tail = ARGV[each], ARGV[each + 1]
  trail.stems[#trail.stems + 1] = stem
  trail.stems[#trail.stems + 1] = tail
  redis.call('ZADD', key('words', stream, stem), 0, place .. trail.revision .. tail)
end
redis.call('HINCRBY', meta, 'words', words)
redis.call('HSET', key('trails'), clip_id, cmsgpack.pack(trail))
"""
)

DELETE_CLIPS = (
    _COMMON
    + """
local deleted = {}
for at = 2, #ARGV do
  local trail = drop(ARGV[at])
  if trail then
    deleted[#deleted + 1] = {ARGV[at], #trail.events, trail.size_bytes}
  end
end
if #deleted > 0 then
  redis.call('HSET', meta, 'last_deletion', redis.call('HINCRBY', meta, 'revision', 1))
end
return deleted
"""
)

PUT_SEGMENT = (
    _COMMON
    + """
local stream = ARGV[4]
local why = refusal(stream, ARGV[2], ARGV[3])
if why then return why end
replace_at_start('segments:' .. stream, unpack(ARGV, 5, 8))
"""
)

PUT_GAPS = (
    _COMMON
    + """
local stream, num_forgotten = ARGV[2], tonumber(ARGV[3])
if not is_known(stream) then return 'unknown' end
if redis.call('HLEN', key('forgotten', stream)) ~= num_forgotten then return 'changed' end
for at = 4, #ARGV, 4 do
  replace_at_start('gaps:' .. stream, unpack(ARGV, at, at + 3))
end
"""
)

BEGIN_FORGETTING = (
    _COMMON
    + """
if not is_known(ARGV[2]) then return 'unknown' end
begin_freeing()
redis.call('HSET', key('forgotten', ARGV[2]), ARGV[3], 0)
"""
)

CUT = (
    _COMMON
    + """
local stream = ARGV[2]
local at = 3
local function list()
  local length, items = tonumber(ARGV[at]), {}
  for each = at + 1, at + length do items[#items + 1] = ARGV[each] end
  at = at + 1 + length
  return items
end
local gaps, rests, segments, finished = list(), list(), list(), list()
for name, members in pairs({gaps = gaps, segments = segments}) do
  for _, member in ipairs(members) do
    if not redis.call('ZSCORE', key(name, stream), member) then return 'changed' end
  end
end
begin_freeing()
for _, gap in ipairs(gaps) do redis.call('ZREM', key('gaps', stream), gap) end
for _, rest in ipairs(rests) do redis.call('ZADD', key('gaps', stream), 0, rest) end
for _, segment in ipairs(segments) do redis.call('ZREM', key('segments', stream), segment) end
for _, span in ipairs(finished) do
  if redis.call('HEXISTS', key('forgotten', stream), span) == 1 then
    redis.call('HSET', key('forgotten', stream), span, 1)
  end
end
"""
)

SWAP_DOCUMENTS = (
    _COMMON
    + """
local at = 2
local function list()
  local length, items = tonumber(ARGV[at]), {}
  at = at + 1
  for each = 1, length do
    local kind, name, is_there, body = unpack(ARGV, at, at + 3)
    items[each] = {kind = kind, name = name, body = is_there == '1' and body}
    at = at + 4
  end
  return items
end
local expected, changed = list(), list()
for _, one in ipairs(expected) do
  if redis.call('HGET', key('documents', one.kind), one.name) ~= one.body then return 0 end
end
local takes = false
for _, one in ipairs(changed) do takes = takes or one.body end
if takes then begin_growing() else begin_freeing() end
for _, one in ipairs(changed) do
  if one.body then
    redis.call('HSET', key('documents', one.kind), one.name, one.body)
    redis.call('ZADD', key('document-names', one.kind), 0, one.name)
  else
    redis.call('HDEL', key('documents', one.kind), one.name)
    redis.call('ZREM', key('document-names', one.kind), one.name)
  end
end
return 1
"""
)

REMOVE_STREAM = (
    _COMMON
    + """
local stream = ARGV[2]
if redis.call('ZCARD', key('clips', stream)) > 0 then return 'changed' end
local gaps = redis.call('ZCARD', key('gaps', stream))
local segments = redis.call('ZCARD', key('segments', stream))
for _, name in ipairs({'gaps', 'segments', 'forgotten'}) do
  redis.call('UNLINK', key(name, stream))
end
for _, name in ipairs({'streams', 'statuses', 'ended'}) do
  redis.call('HDEL', key(name), stream)
end
for _, name in ipairs({'clips', 'events', 'gaps', 'segments'}) do
  redis.call('HDEL', key('longest'), name .. ':' .. stream)
end
return {gaps, segments}
"""
)
