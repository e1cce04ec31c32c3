# From a prompt to pictures, in GDScript. From the root of the repository, with a server running:
#
#     shotstream serve --bundle test-chart --clock demand
#     godot3-server -s samples/hello_film/hello_film.gd
extends SceneTree

const Client = preload("../../engine_bridge/godot/addons/shotstream/core/client.gd")
const Platform = preload("../../engine_bridge/godot/addons/shotstream/godot3/platform.gd")
const Protocol = preload("../../engine_bridge/godot/addons/shotstream/protocol.gd")

const FRAMES = 48

var client = Client.new(Platform.new())
var asked = false
var num_frames = 0
var pixels = StreamPeerBuffer.new()


func _init():
	client.mode = "lossless"
	client.format = "rgb8"


func _idle(_delta):
	client.step()
	var event = client.take_event()
	while event != null:
		if event["kind"] == "connected" and not asked:
			asked = true
			client.cut("wide shot: a red fox walks through a snowy forest", FRAMES, 7)
		elif event["kind"] == "error" or event["kind"] == "disconnected":
			printerr(event)
			quit(1)
			return true
		event = client.take_event()
	var frame = client.take_frame()
	while frame != null:
		if frame["flags"] & Protocol.FLAG_SHOT_START:
			print("shot %d at frame %d" % [frame["shot"], frame["id"]])
		pixels.put_data(frame["data"])
		client.presented(frame)
		num_frames += 1
		if num_frames == FRAMES:
			client.close()
			print("%d frames %dx%d crc32 %08x" % [FRAMES, frame["width"], frame["height"], crc32(pixels.data_array)])
			quit(0)
			return true
		frame = client.take_frame()
	return false


# CRC-32 of zlib and PNG.
func crc32(bytes):
	var table = []
	for number in range(256):
		for _bit in range(8):
			number = (number >> 1) ^ 0xedb88320 if number & 1 else number >> 1
		table.append(number)
	var crc = 0xffffffff
	for byte in bytes:
		crc = (crc >> 8) ^ table[(crc ^ byte) & 0xff]
	return crc ^ 0xffffffff
