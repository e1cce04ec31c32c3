# A ZeroMQ DEALER over one TCP connection: ZMTP 3.1 with the NULL mechanism (https://rfc.zeromq.org/spec/37/), in
# GDScript that Godot 3 and Godot 4 both read.
#
# `step` moves bytes and never waits. Whole messages come out of `take`, an array of parts each. What the other side
# sends is bounded before it is kept: bytes of a part, parts of a message, bytes of a step. What breaks the rules ends
# the connection with `error` set.

const Msgpack = preload("msgpack.gd")

const MAX_COMMAND_BYTES = 512
const MAX_UNSENT_BYTES = 1048576
const MAX_STEP_PARTS = 64

enum { GREETING, FLAGS, LENGTH, BODY, CLOSED }

var ready = false # the handshake is done
var error = "" # why the connection ended

var _tcp = StreamPeerTCP.new()
var _max_part_bytes
var _max_parts
var _max_step_bytes
var _stage = GREETING
var _need = 64
var _pieces = StreamPeerBuffer.new()
var _flags = 0
var _parts = []
var _messages = []
var _unsent = []
var _unsent_bytes = 0
var _waiting = [] # messages that wait for the handshake
var _greeted = false


func _init(host, port, max_part_bytes, max_parts):
	_max_part_bytes = max_part_bytes
	_max_parts = max_parts
	_max_step_bytes = 4 * max_part_bytes + 65536
	if _tcp.connect_to_host(host, port) != OK:
		_end("%s:%d cannot be reached" % [host, port])


# Send a message. It waits for the handshake; it is lost when the connection ends.
func send(parts):
	if _stage == CLOSED:
		return
	if not ready:
		_waiting.append(parts)
		return
	for index in range(parts.size()):
		_write_frame(1 if index + 1 < parts.size() else 0, parts[index])


# The next whole message, or null.
func take():
	return _messages.pop_front() if _messages.size() else null


func is_closed():
	return _stage == CLOSED


func close():
	_end("closed")


# Move what can be moved without waiting.
func step():
	if _stage == CLOSED:
		return
	if _tcp.has_method("poll"): # Godot 4
		_tcp.poll()
	var status = _tcp.get_status()
	if status == StreamPeerTCP.STATUS_CONNECTING:
		return
	if status != StreamPeerTCP.STATUS_CONNECTED:
		_end("the connection was refused or broken off")
		return
	if not _greeted:
		_greeted = true
		_tcp.set_no_delay(true)
		_write(_greeting())
	_read()
	_flush()


func _read():
	var before = _messages.size()
	var budget = _max_step_bytes
	while _stage != CLOSED and budget > 0 and _messages.size() - before < MAX_STEP_PARTS:
		var had = _pieces.get_size()
		var want = _need - had
		var bytes = _pieces.data_array
		if want > 0:
			var there = _tcp.get_available_bytes()
			if there <= 0:
				break
			var got = _tcp.get_partial_data(int(min(want, min(there, budget))))
			bytes = got[1]
			if got[0] != OK or bytes.size() == 0:
				break
			if had or bytes.size() < want:
				_pieces.put_data(bytes)
		budget -= bytes.size() + 16 # empty parts count too
		if had + bytes.size() >= _need:
			if had:
				bytes = _pieces.data_array
				_pieces = StreamPeerBuffer.new()
			_accept(bytes)


func _accept(bytes):
	match _stage:
		GREETING:
			_on_greeting(bytes)
		FLAGS:
			_flags = bytes[0]
			if _flags & ~7 or (_flags & 4 and _flags & 1):
				_end("a frame with flags 0x%x" % _flags)
			else:
				_expect(LENGTH, 8 if _flags & 2 else 1)
		LENGTH:
			_on_length(bytes)
		BODY:
			_expect(FLAGS, 1)
			if _flags & 4:
				_on_command(bytes)
			else:
				_on_part(bytes)


func _expect(stage, num_bytes):
	_stage = stage
	_need = num_bytes


func _on_greeting(bytes):
	var mechanism = Msgpack.slice(bytes, 12, 4)
	if bytes[0] != 0xff or not bytes[9] & 1 or bytes[10] < 3:
		_end("the other side does not speak ZeroMQ 3")
	elif mechanism != Msgpack.utf8("NULL") or bytes[16] != 0:
		_end("the server wants keys (CURVE), which this client has not")
	else:
		_expect(FLAGS, 1)
		_write_frame(4, _ready_command())


func _on_length(bytes):
	var size = 0
	for index in range(bytes.size()):
		if size > _max_part_bytes:
			break
		size = size * 256 + bytes[index]
	var most = MAX_COMMAND_BYTES if _flags & 4 else _max_part_bytes
	if size > most or (not ready and not _flags & 4):
		_end("a part of %d bytes; at most %d are taken" % [size, most])
		return
	_expect(BODY, size)


func _on_command(bytes):
	var name_size = bytes[0] if bytes.size() else 0
	if name_size == 0 or name_size >= bytes.size() + 1 or name_size > 16:
		_end("a command without a name")
		return
	var name = Msgpack.slice(bytes, 1, name_size)
	if name == Msgpack.utf8("READY") and not ready:
		ready = true
		for parts in _waiting:
			send(parts)
		_waiting = []
	elif name == Msgpack.utf8("ERROR"):
		_end("the server refused the connection")
	elif name == Msgpack.utf8("PING") and bytes.size() >= 7:
		var pong = StreamPeerBuffer.new()
		pong.put_u8(4)
		pong.put_data(Msgpack.utf8("PONG"))
		pong.put_data(Msgpack.slice(bytes, 7, int(min(16, bytes.size() - 7))))
		_write_frame(4, pong.data_array)


func _on_part(bytes):
	if _parts.size() >= _max_parts:
		_end("a message of more than %d parts" % _max_parts)
		return
	_parts.append(bytes)
	if not _flags & 1:
		_messages.append(_parts)
		_parts = []


func _write_frame(flags, body):
	var head = StreamPeerBuffer.new()
	head.big_endian = true
	if body.size() < 256:
		head.put_u8(flags)
		head.put_u8(body.size())
	else:
		head.put_u8(flags | 2)
		head.put_64(body.size())
	head.put_data(body)
	_write(head.data_array)


func _write(bytes):
	_unsent.append(bytes)
	_unsent_bytes += bytes.size()
	if _unsent_bytes > MAX_UNSENT_BYTES:
		_end("the server does not read what is sent to it")
	elif _tcp.get_status() == StreamPeerTCP.STATUS_CONNECTED:
		_flush()


func _flush():
	while _unsent.size() and _stage != CLOSED:
		var bytes = _unsent[0]
		var result = _tcp.put_partial_data(bytes)
		if result[0] != OK:
			return # the next step sees whether the connection stands
		_unsent_bytes -= result[1]
		if result[1] < bytes.size():
			_unsent[0] = Msgpack.slice(bytes, result[1], bytes.size() - result[1])
			return
		_unsent.pop_front()


func _end(why):
	if _stage != CLOSED:
		_stage = CLOSED
		ready = false
		error = why
		_unsent = []
		_waiting = []
		_parts = []
		_pieces = StreamPeerBuffer.new()
		_tcp.disconnect_from_host()


static func _greeting():
	var out = StreamPeerBuffer.new()
	out.big_endian = true
	out.put_u8(0xff)
	out.put_64(1)
	out.put_u8(0x7f)
	out.put_u8(3)
	out.put_u8(1)
	out.put_data(Msgpack.utf8("NULL"))
	for _index in range(48):
		out.put_u8(0)
	return out.data_array


static func _ready_command():
	var out = StreamPeerBuffer.new()
	out.big_endian = true
	for pair in [["READY", null], ["Socket-Type", "DEALER"], ["Identity", ""]]:
		out.put_u8(pair[0].length())
		out.put_data(Msgpack.utf8(pair[0]))
		if pair[1] != null:
			out.put_u32(pair[1].length())
			out.put_data(Msgpack.utf8(pair[1]))
	return out.data_array
