# What the server says, checked before anybody acts on it: a map of a known type with every field of the right type.

const Protocol = preload("../protocol.gd")
const Msgpack = preload("msgpack.gd")


# The parts of a message without pixels.
static func write(message):
	return [Msgpack.utf8(Protocol.MAGIC), Msgpack.encode(message)]


# The message in two parts, with the fields that were left out, or null when it is none.
static func read(magic, header):
	if magic != Msgpack.utf8(Protocol.MAGIC):
		return null
	var found = Msgpack.decode(header)["value"]
	if typeof(found) != TYPE_DICTIONARY or typeof(found.get("t")) != TYPE_STRING:
		return null
	var tag = found["t"]
	if not Protocol.SERVER_FIELDS.has(tag):
		return null
	var fields = Protocol.SERVER_FIELDS[tag]
	for field in fields:
		var expected = fields[field]
		if not found.has(field):
			if Protocol.SERVER_REQUIRED[tag].has(field):
				return null
			var empty = typeof(expected) == TYPE_DICTIONARY or typeof(expected) == TYPE_ARRAY
			found[field] = expected.duplicate() if empty else expected
		elif expected != null and typeof(found[field]) != typeof(expected):
			return null
	return found
