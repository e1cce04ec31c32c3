# Reads every message of the folder GOLDEN and tells as one JSON line what it says and what bytes it becomes again; then
# one line for every request that the client's own methods make.
extends SceneTree

const Client = preload("../../../engine_bridge/godot/addons/shotstream/core/client.gd")
const Messages = preload("../../../engine_bridge/godot/addons/shotstream/core/messages.gd")
const Msgpack = preload("../../../engine_bridge/godot/addons/shotstream/core/msgpack.gd")
const Platform = preload("../../../engine_bridge/godot/addons/shotstream/godot3/platform.gd")


func _init():
	var folder = Directory.new()
	folder.open(OS.get_environment("GOLDEN"))
	folder.list_dir_begin(true)
	var name = folder.get_next()
	while name != "":
		if name.ends_with(".bin"):
			var file = File.new()
			file.open(folder.get_current_dir() + "/" + name, File.READ)
			var bytes = file.get_buffer(file.get_len())
			var found = Msgpack.decode(bytes)
			tell({
				"name": name.get_basename(),
				"error": found["error"],
				"value": plain(found["value"]),
				"again": Msgpack.encode(found["value"]).hex_encode(),
				"message": plain(Messages.read("SSB1".to_utf8(), bytes)),
			})
		name = folder.get_next()
	for broken in JSON.parse(OS.get_environment("BROKEN")).result:
		tell({"broken": broken, "error": Msgpack.decode(bytes_of(broken))["error"]})
	tell_requests()
	quit()


func tell_requests():
	var client = Client.new(Platform.new())
	client.link._last = {"epoch": 9223372036854775807}
	var seed_ = 9223372036854775807
	client.cut("wide shot: a fox, snöwy ☃", 81, seed_, "shot_end")
	client.cut("a fox")
	client.prompt("the fox sleeps")
	client.world("")
	client.clear()
	client.request("pin", {"shot": 3, "frame": 12})
	client.request("unpin")
	client.hold()
	client.resume()
	client.trigger("boss_reveal", {"place": "the pier", "size": 3, "threat": 0.5, "night": true})
	client.trigger("rain")
	client.set_variables({"weather": "fog", "health": -7, "threat": 0.25, "met_owl": false})
	var prepared = client.prepare("an owl in a barn", 45, 3)
	client._commands[prepared] = 3
	client.take(prepared)
	client.cancel()
	client.checkpoint("before_choice")
	client.restore("before_choice")
	client.branch("before_choice", 9)
	client.undo(2)
	client.forget("before_choice")
	client.upload("before_choice", bytes_of("0001feff41"))
	client.query(["status", "beats", "variables", "checkpoints"])
	for id in client.link._pending:
		var message = client.link._pending[id]["message"]
		message["id"] = 7
		message["ts"] = -5000000000
		message["ttl"] = 2000
		tell({"request": plain(message)})


func tell(what):
	print("> " + JSON.print(what))


# JSON would lose large integers and the difference between 1 and 1.0, so numbers are told as text and as bytes.
func plain(value):
	match typeof(value):
		TYPE_INT:
			return {"int": str(value)}
		TYPE_REAL:
			var out = StreamPeerBuffer.new()
			out.put_double(value)
			return {"float": out.data_array.hex_encode()}
		TYPE_RAW_ARRAY:
			return {"bytes": value.hex_encode()}
		TYPE_ARRAY:
			var found = []
			for item in value:
				found.append(plain(item))
			return found
		TYPE_DICTIONARY:
			var found = {}
			for key in value:
				found[key] = plain(value[key])
			return {"map": found}
	return value


func bytes_of(text):
	var found = PoolByteArray()
	for index in range(0, text.length(), 2):
		found.append(("0x" + text.substr(index, 2)).hex_to_int())
	return found
