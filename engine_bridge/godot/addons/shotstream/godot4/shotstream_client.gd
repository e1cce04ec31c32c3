# A shotstream server's film in a Godot 4 scene: a node with commands, signals and a texture that follows the film.
#
# Read from the main thread only. Each command returns an id that the signals `command_state`, `answered` and `error`
# carry. Frame ids never go back, also when the server is restarted.
@icon("../icons/shotstream_client.svg")
extends Node

signal connected()
signal disconnected(reason)
signal shot_started(id, frame)
signal frame_presented(id)
signal command_state(id, state)
signal beat(name, state)
signal answered(id, answer)
signal error(code, text, id)
signal notice(about, event)

const Client = preload("../core/client.gd")
const Platform = preload("platform.gd")

@export var server_name = "default" # of the connection file
@export var endpoint = "" # tcp://127.0.0.1:PORT, with a token, instead of the connection file
@export var token = ""
@export_enum("viewer", "trigger", "director", "operator") var role: String = "director"
@export_enum("latest", "queue", "lossless") var mode: String = "latest"
@export var queue = 8

# The newest frame. It is empty before the first one, and stays as it is while there is no connection.
var texture := ImageTexture.new()

var _client = null
var _image = null


func _ready():
	_client = Client.new(Platform.new())
	for setting in ["server_name", "endpoint", "token", "role"]:
		_client.link.set(setting, get(setting))
	_client.link.client_name = str(ProjectSettings.get_setting("application/config/name"))
	_client.mode = mode
	_client.queue = queue


func _exit_tree():
	if _client != null:
		_client.close()
		_client = null


func _process(_delta):
	_client.step()
	var event = _client.take_event()
	while event != null:
		_emit(event)
		event = _client.take_event() if _client != null else null # a handler may have removed the node
	var frame = _client.take_frame() if _client != null else null
	if frame != null: # one for each frame of the game, as the film means them to be seen
		_show(frame)
		_client.presented(frame)
		frame_presented.emit(frame["id"])


func _emit(event):
	match event["kind"]:
		"connected":
			connected.emit()
		"disconnected":
			disconnected.emit(event["reason"])
		"shot_started":
			shot_started.emit(event["shot"], event["frame"])
		"command_state":
			command_state.emit(event["id"], event["state"])
		"beat":
			beat.emit(event["name"], event["state"])
		"answered":
			answered.emit(event["id"], event["answer"])
		"error":
			error.emit(event["code"], event["text"], event["id"])
		"notice":
			notice.emit(event["about"], event["event"])


func _show(frame):
	if _image == null:
		_image = Image.create_from_data(frame["width"], frame["height"], false, Image.FORMAT_RGBA8, frame["data"])
	else:
		_image.set_data(frame["width"], frame["height"], false, Image.FORMAT_RGBA8, frame["data"])
	if Vector2i(texture.get_size()) == _image.get_size():
		texture.update(_image)
	else:
		texture.set_image(_image)


func is_up():
	return _client.is_up()


func cut(text, frames = 0, seed_number = -1, when = "block"):
	return _client.cut(text, frames, seed_number, when)


func prompt(text):
	return _client.prompt(text)


func trigger(beat_name, params = {}):
	return _client.trigger(beat_name, params)


func set_variable(variable, value):
	return _client.set_variables({variable: value})


func hold():
	return _client.hold()


func resume():
	return _client.resume()


func prepare(text, frames = 0, seed_number = -1):
	return _client.prepare(text, frames, seed_number)


func take(prepared):
	return _client.take(prepared)


func checkpoint(checkpoint_name):
	return _client.checkpoint(checkpoint_name)


func restore(checkpoint_name):
	return _client.restore(checkpoint_name)


# The bytes of a checkpoint, for the game's own save-file: they come as "data" of the answer.
func download(checkpoint_name):
	return _client.download(checkpoint_name)


# Hand such bytes back as a checkpoint; `restore` goes on from it.
func upload(checkpoint_name, data):
	return _client.upload(checkpoint_name, data)


func undo(num_shots = 1):
	return _client.undo(num_shots)


# Any request of docs/protocol.md, by its tag.
func request(tag, fields = {}):
	return _client.request(tag, fields)
