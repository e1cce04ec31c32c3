# A Godot client that a test drives: it does what comes over a TCP connection as JSON lines, and tells what happens.
#
# In: {"call": NAME, "args": [...]} calls a method of the client, {"set": NAME, "value": ...} sets a property of it,
# {"link": NAME, "value": ...} one of its link, {"go": true} begins to connect, {"presents": false} makes it never say
# that it showed a frame, {"quit": true} leaves. The argument "@kept" stands for the bytes that an answer brought last.
# Out: {"result": ...} after a call, {"event": {...}}, {"frame": {...}} with the SHA-256 of the pixels.
extends SceneTree

const Client = preload("../../../engine_bridge/godot/addons/shotstream/core/client.gd")
const Platform = preload("../../../engine_bridge/godot/addons/shotstream/godot3/platform.gd")

var client = Client.new(Platform.new())
var test = StreamPeerTCP.new()
var line = ""
var running = false
var presents = true
var kept = null


func _init():
	test.connect_to_host("127.0.0.1", int(OS.get_environment("TEST_PORT")))


func _idle(_delta):
	var status = test.get_status()
	if status == StreamPeerTCP.STATUS_CONNECTING:
		return false
	if status != StreamPeerTCP.STATUS_CONNECTED:
		quit(2) # the test is over
		return true
	var there = test.get_available_bytes()
	if there > 0:
		line += test.get_utf8_string(there)
	while "\n" in line:
		var end = line.find("\n")
		var order = JSON.parse(line.substr(0, end)).result
		line = line.substr(end + 1)
		if order.has("quit"):
			client.close()
			quit(0)
			return true
		carry_out(order)
	if running:
		show()
	return false


func carry_out(order):
	if order.has("go"):
		running = true
	elif order.has("presents"):
		presents = order["presents"]
	elif order.has("set"):
		client.set(order["set"], whole(order["value"]))
	elif order.has("link"):
		client.link.set(order["link"], whole(order["value"]))
	else:
		var args = whole(order["args"])
		for index in range(args.size()):
			if typeof(args[index]) == TYPE_STRING and args[index] == "@kept":
				args[index] = kept
		tell({"result": client.callv(order["call"], args)})


func show():
	client.step()
	var event = client.take_event()
	while event != null:
		if event["kind"] == "answered" and event["answer"].has("data"):
			kept = event["answer"]["data"]
			event["answer"]["data"] = sha256(kept)
		tell({"event": event})
		event = client.take_event()
	var frame = client.take_frame()
	while frame != null:
		var told = frame.duplicate()
		told["data"] = sha256(frame["data"])
		tell({"frame": told})
		if presents:
			client.presented(frame)
		frame = client.take_frame()


func sha256(bytes):
	var hash_ = HashingContext.new()
	hash_.start(HashingContext.HASH_SHA256)
	hash_.update(bytes)
	return hash_.finish().hex_encode()


func tell(what):
	test.put_data((JSON.print(what) + "\n").to_utf8())


# JSON knows no integers; whole numbers are meant as such here.
func whole(value):
	if typeof(value) == TYPE_REAL and value == floor(value):
		return int(value)
	if typeof(value) == TYPE_ARRAY:
		var found = []
		for item in value:
			found.append(whole(item))
		return found
	if typeof(value) == TYPE_DICTIONARY:
		var found = {}
		for key in value:
			found[key] = whole(value[key])
		return found
	return value
