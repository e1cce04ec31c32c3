# MessagePack for the messages of the bridge, in GDScript that Godot 3 and Godot 4 both read.
#
# Bytes are made and read through StreamPeerBuffer, because the byte arrays of the two versions have different names
# and methods. What is read comes from another process: every count is checked against the bytes that are left before
# anything of that size is made.

const MAX_DEPTH = 8
const MAX_ITEMS = 1024 # of a map or an array
const TOO_BIG = 0x7FFFFFFF

# A value (null, bool, int, float, String, bytes, Array, Dictionary with String keys) as bytes. Other values become
# null, NaN and infinity too: the server would refuse them.
static func encode(value):
	var out = StreamPeerBuffer.new()
	out.big_endian = true
	_put(out, value)
	return out.data_array


# What the bytes say: {"ok": true, "value": ...}, or {"ok": false, "error": text}.
static func decode(bytes):
	var source = StreamPeerBuffer.new()
	source.big_endian = true
	source.data_array = bytes
	var state = {"ok": true, "error": ""}
	var value = _take(source, state, 0)
	if state["ok"] and source.get_position() != source.get_size():
		_fail(state, "bytes after the end")
	return {"ok": state["ok"], "error": state["error"], "value": value if state["ok"] else null}


static func utf8(text):
	var out = StreamPeerBuffer.new()
	out.put_utf8_string(text) # its length in 4 bytes, then the text
	return slice(out.data_array, 4, out.get_size() - 4)


# `count` bytes from `start` on.
static func slice(bytes, start, count):
	if start == 0 and count == bytes.size():
		return bytes
	var source = StreamPeerBuffer.new()
	if count <= 0:
		return source.data_array
	source.data_array = bytes
	source.seek(start)
	return source.get_data(count)[1]


static func _put(out, value):
	match typeof(value):
		TYPE_BOOL:
			out.put_u8(0xc3 if value else 0xc2)
		TYPE_INT:
			_put_int(out, value)
		TYPE_STRING:
			var text = utf8(value)
			_put_head(out, text.size(), 0xa0, 31, 0xd9)
			out.put_data(text)
		TYPE_ARRAY:
			_put_head(out, value.size(), 0x90, 15, 0)
			for item in value:
				_put(out, item)
		TYPE_DICTIONARY:
			_put_head(out, value.size(), 0x80, 15, 0)
			for key in value:
				_put(out, str(key))
				_put(out, value[key])
		_:
			if typeof(value) == typeof(0.0) and not is_nan(value) and not is_inf(value):
				out.put_u8(0xcb)
				out.put_double(value)
			elif typeof(value) == typeof(out.data_array):
				_put_head(out, value.size(), 0, -1, 0xc4)
				out.put_data(value)
			else:
				out.put_u8(0xc0)


# The shortest form, which is what the other clients write.
static func _put_int(out, value):
	if value >= 0:
		if value < 128:
			out.put_u8(value)
		elif value < 256:
			out.put_u8(0xcc)
			out.put_u8(value)
		elif value < 65536:
			out.put_u8(0xcd)
			out.put_u16(value)
		elif value < 4294967296:
			out.put_u8(0xce)
			out.put_u32(value)
		else:
			out.put_u8(0xcf)
			out.put_64(value)
	elif value >= -32:
		out.put_8(value)
	elif value >= -128:
		out.put_u8(0xd0)
		out.put_8(value)
	elif value >= -32768:
		out.put_u8(0xd1)
		out.put_16(value)
	elif value >= -2147483648:
		out.put_u8(0xd2)
		out.put_32(value)
	else:
		out.put_u8(0xd3)
		out.put_64(value)


# Type and length. `short` holds lengths up to `most` in its low bits; `wide` is the type with a length of one byte,
# and those of two and four bytes follow it. Maps and arrays (`wide` 0) have no form with one byte.
static func _put_head(out, size, short, most, wide):
	if size <= most:
		out.put_u8(short | size)
	elif wide == 0:
		var first = 0xdc if short == 0x90 else 0xde
		out.put_u8(first if size < 65536 else first + 1)
		if size < 65536:
			out.put_u16(size)
		else:
			out.put_u32(size)
	elif size < 256:
		out.put_u8(wide)
		out.put_u8(size)
	elif size < 65536:
		out.put_u8(wide + 1)
		out.put_u16(size)
	else:
		out.put_u8(wide + 2)
		out.put_u32(size)


static func _fail(state, why):
	if state["ok"]:
		state["ok"] = false
		state["error"] = why
	return null


static func _left(source):
	return source.get_size() - source.get_position()


# A big-endian number of `width` bytes, or one that is beyond every limit when the bytes end before it.
static func _count(source, width):
	if _left(source) < width:
		return TOO_BIG
	match width:
		1:
			return source.get_u8()
		2:
			return source.get_u16()
	return source.get_u32()


static func _take(source, state, depth):
	if _left(source) < 1:
		return _fail(state, "it ends too early")
	var kind = source.get_u8()
	if kind < 0x80:
		return kind
	if kind < 0x90:
		return _take_map(source, state, depth, kind & 15)
	if kind < 0xa0:
		return _take_array(source, state, depth, kind & 15)
	if kind < 0xc0:
		return _take_text(source, state, kind & 31)
	if kind >= 0xe0:
		return kind - 256
	match kind:
		0xc0:
			return null
		0xc2:
			return false
		0xc3:
			return true
		0xc4, 0xc5, 0xc6:
			return _take_bytes(source, state, _count(source, 1 << (kind - 0xc4)))
		0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3:
			return _take_number(source, state, kind)
		0xd9, 0xda, 0xdb:
			return _take_text(source, state, _count(source, 1 << (kind - 0xd9)))
		0xdc, 0xdd:
			return _take_array(source, state, depth, _count(source, 2 << (kind - 0xdc)))
		0xde, 0xdf:
			return _take_map(source, state, depth, _count(source, 2 << (kind - 0xde)))
	return _fail(state, "type 0x%x is not used here" % kind)


static func _take_number(source, state, kind):
	var widths = {0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8, 0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8}
	if _left(source) < widths[kind]:
		return _fail(state, "it ends too early")
	var value = 0
	match kind:
		0xca:
			value = source.get_float()
		0xcb:
			value = source.get_double()
		0xcc:
			value = source.get_u8()
		0xcd:
			value = source.get_u16()
		0xce:
			value = source.get_u32()
		0xcf:
			value = source.get_64()
			if value < 0:
				return _fail(state, "a number above 2^63 - 1")
		0xd0:
			value = source.get_8()
		0xd1:
			value = source.get_16()
		0xd2:
			value = source.get_32()
		0xd3:
			value = source.get_64()
	if kind <= 0xcb and (is_nan(value) or is_inf(value)):
		return _fail(state, "a number that is not finite")
	return value


static func _take_bytes(source, state, size):
	if size > _left(source):
		return _fail(state, "it ends too early")
	return slice(source.data_array, source.get_size(), 0) if size == 0 else source.get_data(size)[1]


static func _take_text(source, state, size):
	if size > _left(source):
		return _fail(state, "it ends too early")
	return "" if size == 0 else source.get_utf8_string(size)


static func _take_array(source, state, depth, count):
	if depth >= MAX_DEPTH or count > MAX_ITEMS or count > _left(source):
		return _fail(state, "an array of %d at depth %d" % [count, depth])
	var found = []
	for _index in range(count):
		found.append(_take(source, state, depth + 1))
		if not state["ok"]:
			return null
	return found


static func _take_map(source, state, depth, count):
	if depth >= MAX_DEPTH or count > MAX_ITEMS or 2 * count > _left(source):
		return _fail(state, "a map of %d at depth %d" % [count, depth])
	var found = {}
	for _index in range(count):
		var key = _take(source, state, depth + 1)
		if state["ok"] and (typeof(key) != TYPE_STRING or found.has(key)):
			_fail(state, "a key that is no text or comes twice")
		var value = _take(source, state, depth + 1)
		if not state["ok"]:
			return null
		found[key] = value
	return found
