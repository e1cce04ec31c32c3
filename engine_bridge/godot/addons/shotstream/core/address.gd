# Where a server is and what opens it: from its connection file, or as given.
#
# `platform` is the platform.gd of the engine's version. The rules are those of the Python client: the file lies in
# $SHOTSTREAM_RUNTIME, else $XDG_RUNTIME_DIR/shotstream, else shotstream-UID in the temporary folder, and nobody else
# may enter that folder.

# {"host", "port", "token", "error"}; error is "" when the others hold.
static func find(platform, server_name, role):
	var folder = _runtime_folder(platform)
	var path = folder + "/" + server_name + ".json"
	var text = platform.read_text(path)
	if text == "":
		return _refused("no server has written %s; start one with 'shotstream serve'" % path)
	var problem = platform.folder_problem(folder)
	if problem != "":
		return _refused(problem)
	var file = platform.parse_json(text)
	if typeof(file) != TYPE_DICTIONARY or typeof(file.get("ctl")) != TYPE_STRING:
		return _refused("%s is not a readable connection file; restart the server" % path)
	var token = file["tokens"].get(role, "") if typeof(file.get("tokens")) == TYPE_DICTIONARY else ""
	return given(file["ctl"], str(token))


# The same for a `tcp://IP:PORT` of this machine. Others are refused: without keys nothing would be encrypted.
static func given(endpoint, token):
	var colon = endpoint.rfind(":")
	if not endpoint.begins_with("tcp://") or colon < 7:
		return _refused("%s is no address; use tcp://127.0.0.1:PORT" % endpoint)
	var host = endpoint.substr(6, colon - 6).replace("[", "").replace("]", "").replace("localhost", "127.0.0.1")
	var port = int(endpoint.substr(colon + 1, 5))
	if not (host.is_valid_ip_address() and host.begins_with("127.")) and host != "::1":
		return _refused("%s is another machine; this client has no encryption and stays on its own" % endpoint)
	if port < 1 or port > 65535:
		return _refused("%s has no port; use the one that 'shotstream serve' printed for commands" % endpoint)
	return {"host": host, "port": port, "token": token, "error": ""}


static func _refused(why):
	return {"host": "", "port": 0, "token": "", "error": why}


static func _runtime_folder(platform):
	var folder = platform.environment("SHOTSTREAM_RUNTIME")
	if folder != "":
		return folder
	var base = platform.environment("XDG_RUNTIME_DIR")
	if base != "":
		return base + "/shotstream"
	for name in ["TMPDIR", "TEMP", "TMP"]:
		if platform.environment(name) != "":
			return platform.environment(name) + "/shotstream-" + platform.user_id()
	return "/tmp/shotstream-" + platform.user_id()
