# Prompts to a shotstream server, frames from it: what the nodes for Godot 3 and Godot 4 are made of, and of use without
# a scene. GDScript that both versions read; `platform` is the platform.gd of the version.
#
#     var client = Client.new(Platform.new())
#     client.step()                       # once a frame; never waits
#     var event = client.take_event()     # until null
#     var frame = client.take_frame()     # until null
#     client.presented(frame)             # it is on screen, and there is room for another
#
# Commands return the id of their request. What becomes of it comes as events with that id.
#
# An event is a Dictionary whose "kind" is
#   connected       {}
#   disconnected    {"reason"}
#   shot_started    {"shot", "frame"}
#   command_state   {"id", "state", "frame", "lat", "text"}; state is one of Protocol.STATE_WORDS
#   beat            {"name", "state"}
#   answered        {"id", "answer"}: what the server said to a request, as a Dictionary
#   error           {"id", "code", "text"}: a request (id above 0), the connection or the engine failed
#   notice          {"about", "event"}: frames were dropped ("gap"), "moderation", "restored", "shutdown"
#
# A frame is a Dictionary: "id" (never goes back, also when the server is restarted), "data" (bytes, rows without gaps),
# "width", "height", "format", "shot", "shot_frame", "block", "command" (id of the server's newest command that first
# shows here, 0 for none), "flags" (Protocol.FLAG_*), "dropped" (frames left out before it), "seed", "time_ns" (in the
# film), "age_ms" (since the server released it), "index" (its number on this server), "source" (its number in the film,
# which goes back when a checkpoint is restored) and "stream".

const Protocol = preload("../protocol.gd")
const Link = preload("link.gd")
const Transfer = preload("transfer.gd")

const TTL_MS = 2000
const STORY_TTL_MS = 10000 # going back in the film takes its time
const RETRY_SUBSCRIBE_NS = 500000000
const MAX_COMMANDS = 1024
const BYTES_PER_PX = {"rgb8": 3, "rgba8": 4, "bgra8": 4}

var link # its role, server_name, endpoint, token and client_name may be set before the first step
var mode = "latest"
var queue = 8
var format = "rgba8" # or rgb8, bgra8
var origin = "top_left"
var frames_wanted = true
var last_id = -1 # of the newest frame

var _events = []
var _frames = []
var _commands = {} # request id to the film's number of the command
var _stream = 0
var _credit = 0
var _last_index = -1
var _id_base = 0
var _fresh = false
var _subscribe_at_ns = 0
var _subscribing = false
var _transfer


func _init(platform):
	link = Link.new(platform)
	_transfer = Transfer.new(link)


func is_up():
	return link.welcome != null


# {"w", "h", "rate", "fmts", "bundle"} of the connected server, or null.
func stream_info():
	return link.welcome["stream"] if is_up() else null


func step():
	link.step()
	_transfer.step()
	var found = link.take()
	while found != null:
		_on_found(found)
		found = link.take()
	if is_up() and frames_wanted and _stream == 0 and not _subscribing and link.now_ns() >= _subscribe_at_ns:
		_subscribe()


func take_event():
	return _events.pop_front() if _events.size() else null


func take_frame():
	return _frames.pop_front() if _frames.size() else null


# The frame is on screen, or will not be: the server may send another.
func presented(frame):
	if frame["stream"] == _stream and _stream != 0:
		_credit += 1
		link.credit({"st": _stream, "n": 1, "rel": frame["index"], "presented": link.server_ns()})


func close():
	link.close()
	step()


# --- commands; see docs/protocol.md for their fields -----------------------------------------------------------------


# Any request of the protocol. Fields that are null are left out.
func request(tag, fields = {}, ttl_ms = TTL_MS):
	return link.request(tag, fields, ttl_ms)


# Open a new shot of `frames` frames (0: until the next cut). A `seed_number` below 0 draws one.
func cut(text, frames = 0, seed_number = -1, when = "block"):
	return request("cut", {"text": text, "when": when, "frames": _above(frames, 1), "seed": _above(seed_number, 0)})


func prompt(text):
	return request("prompt", {"text": text})


func world(text):
	return request("world", {"text": text})


func clear():
	return request("clear")


func trigger(beat, params = {}):
	return request("beat", {"name": beat, "params": params})


func set_variables(values):
	return request("var", {"set": values})


func hold():
	return request("hold")


func resume():
	return request("resume")


func prepare(text, frames = 0, seed_number = -1):
	return request("prepare", {"text": text, "frames": _above(frames, 1), "seed": _above(seed_number, 0)}, STORY_TTL_MS)


# Put the shot on air that `prepare` returned this id for.
func take(prepared):
	return request("take", {"cmd": _commands.get(prepared, 4294967295)}, STORY_TTL_MS)


# Throw a prepared shot away; 0 is all of them.
func cancel(prepared = 0):
	return request("cancel", {"cmd": _commands.get(prepared, 4294967295) if prepared else null}, STORY_TTL_MS)


func checkpoint(name):
	return request("checkpoint", {"name": name}, STORY_TTL_MS)


func restore(name):
	return request("restore", {"name": name}, STORY_TTL_MS)


func branch(name, seed_number = -1):
	return request("branch", {"name": name, "seed": _above(seed_number, 0)}, STORY_TTL_MS)


func forget(name):
	return request("forget", {"name": name}, STORY_TTL_MS)


func undo(num_shots = 1):
	return request("undo", {"n": num_shots}, STORY_TTL_MS)


# The bytes of a checkpoint, for the game's own save-file: "data" of the answer. One download or upload at a time; the id
# is 0 when another is under way.
func download(name):
	return _transfer.start(name, null)


# Hand back what `download` gave, as checkpoint `name`; `restore` goes on from it.
func upload(name, data):
	return _transfer.start(name, data)


# `what`: any of "status", "beats", "variables", "checkpoints"; they come as an "answered" event.
func query(what):
	return request("query", {"what": what}, STORY_TTL_MS)


# --- inside ----------------------------------------------------------------------------------------------------------


func _above(number, least):
	return number if number >= least else null


func _subscribe():
	_subscribing = true
	var fields = {"mode": mode, "fmt": format, "org": origin, "n": queue, "after": _last_index}
	link.request("subscribe", fields, TTL_MS)


func _on_found(found):
	match found["what"]:
		"up":
			_on_up(found["restarted"])
		"down":
			_stream = 0
			_subscribing = false
			_events.append({"kind": "disconnected", "reason": found["text"]})
		"answer":
			if _transfer.owns(found["id"]):
				_add(_transfer.on_answer(found["message"]))
			else:
				_on_answer(found)
		"error":
			if _transfer.owns(found["id"]):
				_add(_transfer.on_error(found))
			else:
				_on_error(found)
		"said":
			_on_said(found["message"])
		"frame":
			_on_frame(found["message"], found["pixels"])


func _add(event):
	if event != null:
		_events.append(event)


func _on_up(restarted):
	if restarted:
		_id_base = last_id + 1
		_last_index = -1
		_fresh = true
		_commands = {}
	_stream = 0
	_subscribing = false
	_subscribe_at_ns = 0
	_events.append({"kind": "connected"})


func _on_answer(found):
	var message = found["message"]
	if message["t"] == "subscribed":
		_subscribing = false
		_stream = message["st"]
		_credit = 1 if message["mode"] == "latest" else int(clamp(message["window"], 1, Protocol.MAX_WINDOW))
		link.credit({"st": _stream, "n": _credit})
		return
	if message["t"] == "ack" and message["cmd"] > 0:
		if _commands.size() >= MAX_COMMANDS:
			_commands.erase(_commands.keys()[0])
		_commands[found["id"]] = message["cmd"]
	_events.append({"kind": "answered", "id": found["id"], "answer": message})


func _on_error(found):
	if found["request"] != null and found["request"]["t"] == "subscribe":
		_subscribing = false
		_subscribe_at_ns = link.now_ns() + int(max(RETRY_SUBSCRIBE_NS, found["retry_ms"] * 1000000))
		if found["code"] in [Protocol.E_STALE, Protocol.E_TIMEOUT, Protocol.E_RATE, Protocol.E_CONNECT]:
			return # an outage ends this attempt only
		frames_wanted = false
	_events.append({"kind": "error", "id": found["id"], "code": found["code"], "text": found["text"]})


func _on_said(message):
	if message["t"] == "state":
		var state = {"kind": "command_state", "id": message["id"], "state": message["state"], "lat": message["lat"]}
		state["frame"] = message["frame"] + _id_base if message["frame"] >= 0 else -1
		state["text"] = message["text"]
		_events.append(state)
		return
	match message["kind"]:
		"shot_start":
			_events.append({"kind": "shot_started", "shot": message["shot"], "frame": message["frame"] + _id_base})
		"beat":
			_events.append({"kind": "beat", "name": message["name"], "state": message["text"]})
		"engine":
			_events.append({"kind": "error", "id": 0, "code": Protocol.E_INTERNAL, "text": message["text"]})
		_:
			_events.append({"kind": "notice", "about": message["kind"], "event": message})


func _on_frame(message, pixels):
	if message["st"] != _stream or _stream == 0 or _credit <= 0 or message["f"] <= _last_index:
		return # of the stream before this one, or nobody asked for it
	_credit -= 1
	var row_bytes = message["w"] * BYTES_PER_PX.get(format, 0)
	var whole = pixels.size() == row_bytes * message["h"] and message["str"] == row_bytes and row_bytes > 0
	if not whole or message["loc"] != "inline" or message["fmt"] != format:
		_events.append({
			"kind": "error", "id": 0, "code": Protocol.E_PROTOCOL, "text": "a frame is not what its header says"
		})
		return
	_last_index = message["f"]
	last_id = message["f"] + _id_base
	var flags = message["fl"]
	if _fresh:
		flags |= Protocol.FLAG_DISCONTINUITY
		_fresh = false
	_frames.append({
		"id": last_id,
		"data": pixels,
		"width": message["w"],
		"height": message["h"],
		"format": message["fmt"],
		"shot": message["sh"],
		"shot_frame": message["sf"],
		"block": message["bl"],
		"command": message["cmd"],
		"flags": flags,
		"dropped": message["drop"],
		"seed": message["seed"],
		"time_ns": message["pts"],
		"age_ms": (link.server_ns() - message["due"]) / 1000000.0,
		"index": message["f"],
		"source": message["src"],
		"stream": message["st"],
	})
