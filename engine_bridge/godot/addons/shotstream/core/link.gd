# The client's end of the two sockets: says hello, keeps the lease, and comes back after an outage.
#
# Nothing here waits: call `step` once a frame, then `take` until it gives null. What it gives is a Dictionary whose
# "what" is
#   up        {"restarted"}: connected; welcome holds the server's word
#   down      {"text"}: the connection was lost
#   answer    {"id", "request", "message"}: the server's answer to a request, an `ack`, `result`, `saved`, ...
#   error     {"id", "request", "code", "text", "retry_ms"}: a request was refused, or with id 0 the connection was
#   said      {"message"}: a `state` or an `event`
#   frame     {"message", "pixels"}

const Protocol = preload("../protocol.gd")
const Msgpack = preload("msgpack.gd")
const Messages = preload("messages.gd")
const Zmtp = preload("zmtp.gd")
const Address = preload("address.gd")

const SECOND_NS = 1000000000
const PING_EVERY_NS = 500000000
const DEAD_AFTER_NS = 2000000000
const HELLO_WITHIN_NS = 2000000000
const ANSWER_GRACE_NS = 200000000 # beyond its ttl, for an answer that is on its way
const FIRST_RETRY_NS = 100000000
const LAST_RETRY_NS = 2000000000
const MAX_FRAME_BYTES = 67108864
const MAX_PENDING = 256
const MAX_SAMPLES = 16

var role = "director"
var client_name = "godot"
var server_name = "default"
var endpoint = "" # tcp://127.0.0.1:PORT instead of a connection file
var token = ""
var welcome = null # the server's word while there is a connection

var _platform
var _random = RandomNumberGenerator.new()
var _found = []
var _ctl = null
var _frm = null
var _address = null
var _last = null # the latest welcome, also after it
var _num_requests = 0
var _pending = {}
var _samples = [] # [round trip, offset] in ns
var _heard_ns = 0
var _asked_ns = 0
var _pinged_ns = 0
var _stepped_ns = 0
var _retry_ns = FIRST_RETRY_NS
var _retry_at_ns = 0
var _reported = ""
var _closed = false


func _init(platform):
	_platform = platform
	_random.randomize()


func take():
	return _found.pop_front() if _found.size() else null


func now_ns():
	return _platform.now_usec() * 1000


# Now, on the server's clock: from the exchange with the shortest round trip of the latest 16.
func server_ns():
	var best = [0x7FFFFFFFFFFFFFFF, 0]
	for sample in _samples:
		if sample[0] < best[0]:
			best = sample
	return now_ns() + best[1]


# Send a request; its id. The answer comes out of `take` whatever happens, at latest `ttl_ms` and a little later.
func request(tag, fields, ttl_ms):
	_num_requests = _num_requests % 4294967295 + 1
	var message = {"t": tag, "id": _num_requests, "ep": 0, "ttl": ttl_ms, "ts": server_ns()}
	for key in fields:
		if fields[key] != null:
			message[key] = fields[key]
	if _last == null:
		_refuse(message, Protocol.E_CONNECT, "not connected yet; wait for the connection first", 0)
		return _num_requests
	message["ep"] = _last["epoch"]
	var size = Msgpack.encode(message).size()
	if size > Protocol.MAX_CTL_BYTES:
		_refuse(message, Protocol.E_TOO_LARGE, "a request of %d bytes; shorten its text" % size, 0)
	elif _pending.size() >= MAX_PENDING:
		_refuse(message, Protocol.E_BUSY, "%d requests wait for answers; ask more slowly" % MAX_PENDING, 0)
	else:
		_pending[_num_requests] = {"message": message, "expires_ns": now_ns() + ttl_ms * 1000000 + ANSWER_GRACE_NS}
		if welcome != null:
			_say(message)
	return _num_requests


# Grant credit or report a frame as shown. Lost without a connection.
func credit(fields):
	if welcome != null and _frm != null:
		var message = {"t": "c", "s": welcome["session"]}
		for key in fields:
			message[key] = fields[key]
		_frm.send(Messages.write(message))


# Make the connection anew now.
func reconnect():
	if _ctl != null:
		_lose(Protocol.E_CONNECT, "the connection is made anew on request")
	_retry_at_ns = 0


# Leave the server. What is still asked fails.
func close():
	if _closed:
		return
	_closed = true
	if welcome != null:
		_say({"t": "bye", "reason": "closed"})
		_ctl.step()
	_shut()
	_fail_all(Protocol.E_CLOSED, "the client was closed before the answer came", -1)


func step():
	if _closed:
		return
	var now = now_ns()
	if now - _stepped_ns > SECOND_NS / 2: # the game stood still, which is no silence of the server
		_heard_ns += now - _stepped_ns
		_asked_ns += now - _stepped_ns
	_stepped_ns = now
	if _ctl == null:
		if now >= _retry_at_ns:
			_open(now)
	else:
		_pump()
	_keep_time(now_ns())


func _open(now):
	if endpoint != "":
		_address = Address.given(endpoint, token)
	else:
		_address = Address.find(_platform, server_name, role)
	if _address["error"] != "":
		_lose(Protocol.E_CONNECT, _address["error"])
		return
	_ctl = Zmtp.new(_address["host"], _address["port"], Protocol.MAX_CTL_BYTES, 2)
	_heard_ns = now
	_say_hello(now)


func _say_hello(now):
	welcome = null
	_asked_ns = now
	var hello = {
		"t": "hello",
		"proto_min": Protocol.PROTO_MIN,
		"proto_max": Protocol.PROTO_MAX,
		"client": client_name.substr(0, 64),
		"engine": "godot",
		"role": role,
		"token": _address["token"],
		"caps": ["frames.inline"],
		"events": Protocol.EVENTS_ALL,
		"resume": _last["session"] if _last != null else 0,
		"c0": now,
	}
	_say(hello)


func _say(message):
	if _ctl != null:
		_ctl.send(Messages.write(message))


func _pump():
	_ctl.step()
	var parts = _ctl.take()
	while parts != null and _ctl != null:
		_heard_ns = now_ns()
		var message = Messages.read(parts[0], parts[1]) if parts.size() == 2 else null
		if message != null: # a newer server may say things that are not known here
			_on_ctl(message)
		parts = _ctl.take() if _ctl != null else null
	if _ctl != null and _ctl.is_closed():
		_lose(Protocol.E_CONNECT, _ctl.error)
	if _frm == null:
		return
	_frm.step()
	parts = _frm.take()
	while parts != null:
		_heard_ns = now_ns()
		var message = Messages.read(parts[0], parts[1]) if parts.size() == 3 else null
		if message != null and message["t"] == "frame":
			_found.append({"what": "frame", "message": message, "pixels": parts[2]})
		parts = _frm.take()
	if _frm.is_closed():
		_lose(Protocol.E_CONNECT, "frames: " + _frm.error)


func _on_ctl(message):
	match message["t"]:
		"welcome":
			_on_welcome(message)
		"reject":
			_lose(message["code"], message["text"])
			_retry_later(LAST_RETRY_NS) # a refusal does not go away by asking often
		"pong":
			_on_clock(message)
		"state", "event":
			_found.append({"what": "said", "message": message})
		"error":
			if message["code"] == Protocol.E_CLOSED: # the lease ran out while the game stood still
				if welcome != null:
					_say_hello(now_ns())
			elif _pending.has(message["id"]):
				var asked = _pending[message["id"]]["message"]
				_pending.erase(message["id"])
				_refuse(asked, message["code"], message["text"], message["retry_ms"])
		"ack", "result", "subscribed", "saved", "chunk":
			if _pending.has(message["id"]):
				var asked = _pending[message["id"]]["message"]
				_pending.erase(message["id"])
				_found.append({"what": "answer", "id": message["id"], "request": asked, "message": message})


func _on_welcome(message):
	if welcome != null:
		return
	var width = message["stream"].get("w")
	var height = message["stream"].get("h")
	var port = message["frm_port"]
	if typeof(width) != TYPE_INT or typeof(height) != TYPE_INT or port < 1 or port > 65535:
		_lose(Protocol.E_PROTOCOL, "the server's welcome cannot be read")
		return
	var frame_bytes = width * height * 4
	if width < 1 or height < 1 or width > 8192 or height > 8192 or frame_bytes > MAX_FRAME_BYTES:
		_lose(Protocol.E_TOO_LARGE, "pictures of %dx%d are too large for this client" % [width, height])
		return
	var restarted = _last != null and _last["epoch"] != message["epoch"]
	if restarted:
		_samples = []
	welcome = message
	_last = message
	_reported = ""
	_retry_ns = FIRST_RETRY_NS
	_on_clock(message)
	if _frm == null:
		_frm = Zmtp.new(_address["host"], port, frame_bytes + Protocol.MAX_HEADER_BYTES, 3)
	if restarted:
		_fail_all(Protocol.E_STALE, "the server was restarted before it answered; decide anew", message["epoch"])
	for id in _pending:
		_say(_pending[id]["message"]) # the same id: done once, however often it arrives
	_found.append({"what": "up", "restarted": restarted})


func _on_clock(message):
	var now = now_ns()
	var trip = int(max(0, (now - message["c0"]) - (message["s2"] - message["s1"])))
	_samples.append([trip, ((message["s1"] - message["c0"]) + (message["s2"] - now)) / 2])
	if _samples.size() > MAX_SAMPLES:
		_samples.pop_front()


func _keep_time(now):
	var late = []
	for id in _pending:
		if _pending[id]["expires_ns"] < now:
			late.append(id)
	for id in late:
		var asked = _pending[id]["message"]
		_pending.erase(id)
		_refuse(asked, Protocol.E_TIMEOUT, "no answer within the request's time", 0)
	if _ctl == null:
		return
	if welcome == null:
		if now - _asked_ns > HELLO_WITHIN_NS:
			_lose(Protocol.E_CONNECT, "%s:%d does not answer" % [_address["host"], _address["port"]])
	elif now - _heard_ns > DEAD_AFTER_NS:
		_lose(Protocol.E_CONNECT, "the server has been silent for 2 s")
	elif now - _pinged_ns > PING_EVERY_NS:
		_pinged_ns = now
		_say({"t": "ping", "c0": now})


# Drop the sockets and try again later, at growing and slightly random intervals.
func _lose(code, text):
	var was_up = welcome != null
	_shut()
	if was_up:
		_retry_ns = FIRST_RETRY_NS
		_found.append({"what": "down", "text": text})
	elif text != _reported: # not the same at every attempt
		_found.append({"what": "error", "id": 0, "request": null, "code": code, "text": text, "retry_ms": 0})
	_reported = text
	_retry_later(_retry_ns)
	_retry_ns = int(min(LAST_RETRY_NS, _retry_ns * 2))


func _retry_later(wait_ns):
	_retry_at_ns = now_ns() + int(wait_ns * _random.randf_range(0.75, 1.25))


func _shut():
	for socket in [_ctl, _frm]:
		if socket != null:
			socket.close()
	_ctl = null
	_frm = null
	welcome = null


func _fail_all(code, text, but_epoch):
	var gone = []
	for id in _pending:
		if _pending[id]["message"]["ep"] != but_epoch:
			gone.append(id)
	for id in gone:
		var asked = _pending[id]["message"]
		_pending.erase(id)
		_refuse(asked, code, text, 0)


func _refuse(asked, code, text, retry_ms):
	_found.append({"what": "error", "id": asked["id"], "request": asked, "code": code, "text": text, "retry_ms": retry_ms})
