# Puts the node ShotStreamClient into the editor's list of nodes (Godot 4).
@tool
extends EditorPlugin


func _enter_tree():
	add_custom_type(
		"ShotStreamClient", "Node", preload("godot4/shotstream_client.gd"), preload("icons/shotstream_client.svg")
	)


func _exit_tree():
	remove_custom_type("ShotStreamClient")
