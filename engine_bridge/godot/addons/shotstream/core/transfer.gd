# A checkpoint's bytes on their way from or to the server, for a game's own save-file: piece after piece, the next one
# when the one before was answered. One at a time.

const Protocol = preload("../protocol.gd")
const Msgpack = preload("msgpack.gd")

const TTL_MS = 10000

var id = 0 # of the first request, by which the game knows it; 0 when there is none under way

var _link
var _tag = ""
var _name = ""
var _data = null
var _offset = 0
var _asked = 0 # the request that is waited for; 0 while a piece is held back
var _again_at_ns = 0


func _init(link):
	_link = link


# Ask for the bytes (`data` null), or hand them back. The id of the request, or 0 when another transfer is under way.
func start(name, data):
	if id != 0:
		return 0
	_tag = "download" if data == null else "upload"
	_name = name
	_data = StreamPeerBuffer.new() if data == null else data
	_offset = 0
	_ask()
	id = _asked
	return id


func step():
	if id != 0 and _asked == 0 and _link.now_ns() >= _again_at_ns:
		_ask()


# An answer or error out of the link is this transfer's.
func owns(request_id):
	return id != 0 and request_id == _asked


# An event for the game at the end, null while there is more to come.
func on_answer(message):
	if _tag == "upload":
		_offset += Protocol.MAX_CHUNK_BYTES
		return _ask() if _offset < _data.size() else _end(message)
	var piece = message.get("data")
	var total = message.get("total", 0)
	if message["t"] != "chunk" or typeof(piece) != typeof(_data.data_array) or message["offset"] != _offset:
		return _fail(Protocol.E_PROTOCOL, "the checkpoint changed while it was fetched; try again")
	if piece.size() == 0 or total > Protocol.MAX_SAVE_BYTES or _offset + piece.size() > total:
		return _fail(Protocol.E_PROTOCOL, "the checkpoint is not as long as it was said to be")
	_data.put_data(piece)
	_offset += piece.size()
	return _ask() if _offset < total else _end({"t": "download", "name": _name, "data": _data.data_array})


# The same for an error. Asking too fast is no end: the piece is asked for again when it is welcome.
func on_error(found):
	if found["code"] != Protocol.E_RATE:
		return _fail(found["code"], found["text"])
	_asked = 0
	_again_at_ns = _link.now_ns() + int(max(found["retry_ms"], 50)) * 1000000
	return null


func _ask():
	var fields = {"name": _name, "offset": _offset}
	if _tag == "upload":
		fields["total"] = _data.size()
		fields["data"] = Msgpack.slice(_data, _offset, int(min(Protocol.MAX_CHUNK_BYTES, _data.size() - _offset)))
	_asked = _link.request(_tag, fields, TTL_MS)
	return null


func _end(answer):
	var event = {"kind": "answered", "id": id, "answer": answer}
	id = 0
	_data = null
	return event


func _fail(code, text):
	var event = {"kind": "error", "id": id, "code": code, "text": text}
	id = 0
	_data = null
	return event
