# The node in a tree: tells its signals, and the picture on its texture after TEST_FRAMES frames.
extends SceneTree

const ShotStreamClient = preload("../../../engine_bridge/godot/addons/shotstream/godot3/shotstream_client.gd")

var node = ShotStreamClient.new()
var presented = []


func _init():
	node.endpoint = OS.get_environment("TEST_ENDPOINT")
	node.token = OS.get_environment("TEST_TOKEN")
	node.mode = "lossless"
	for name in ["connected", "disconnected", "shot_started", "command_state", "beat", "answered", "error"]:
		node.connect(name, self, "_on_" + name)
	node.connect("frame_presented", self, "_on_frame")
	get_root().add_child(node)


func _on_connected():
	tell(["connected", node.cut("a fox", 48, 5)])


func _on_disconnected(reason):
	tell(["disconnected", reason])


func _on_shot_started(id, frame):
	tell(["shot_started", id, frame])


func _on_command_state(id, state):
	tell(["command_state", id, state])


func _on_beat(name, state):
	tell(["beat", name, state])


func _on_answered(id, answer):
	tell(["answered", id, answer])


func _on_error(code, text, id):
	tell(["error", code, text, id])


func _on_frame(id):
	presented.append(id)
	if presented.size() == int(OS.get_environment("TEST_FRAMES")):
		tell(["presented", presented])
		tell(["size", node.texture.get_width(), node.texture.get_height()])
		tell(["pixels", node._image.get_data().hex_encode().sha256_text()])
		node.queue_free()
		quit(0)


func tell(what):
	print("> " + JSON.print(what))
