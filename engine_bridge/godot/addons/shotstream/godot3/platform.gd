# What the core needs of Godot 3, where its name differs in Godot 4.

var _trusted = {} # folders that were looked at


func now_usec():
	return OS.get_ticks_usec()


func environment(name):
	return OS.get_environment(name)


# The text of a small file, or "".
func read_text(path):
	var file = File.new()
	if file.open(path, File.READ) != OK:
		return ""
	var text = file.get_as_text() if file.get_len() <= 65536 else ""
	file.close()
	return text


# A Dictionary, or null. Numbers come as floats.
func parse_json(text):
	var parsed = JSON.parse(text)
	return parsed.result if parsed.error == OK and typeof(parsed.result) == TYPE_DICTIONARY else null


func user_id():
	return "0" if OS.get_name() in ["Windows", "UWP"] else _output_of("id", ["-u"])


# Why the folder of connection files cannot be trusted, or "". Windows keeps other users out of its folders by itself.
func folder_problem(folder):
	if _trusted.has(folder) or OS.get_name() in ["Windows", "UWP"]:
		return ""
	var listed = _output_of("ls", ["-ldn", folder]).split(" ", false)
	if listed.size() < 3 or not listed[0].begins_with("d") or listed[0].substr(4, 6) != "------":
		return "%s can be entered by others; run chmod 700, or remove it" % folder
	if listed[2] != user_id():
		return "%s belongs to somebody else; set SHOTSTREAM_RUNTIME to another folder" % folder
	_trusted[folder] = true
	return ""


func _output_of(program, arguments):
	var output = []
	OS.execute(program, arguments, true, output)
	return str(output[0]).strip_edges() if output.size() else ""
