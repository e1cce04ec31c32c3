// What Godot calls when it loads the extension; named in shotstream.gdextension.
#include <godot_cpp/core/class_db.hpp>
#include <godot_cpp/godot.hpp>

#include "shotstream_native.h"

static void begin(godot::ModuleInitializationLevel level) {
    if (level == godot::MODULE_INITIALIZATION_LEVEL_SCENE) godot::ClassDB::register_class<shotstream::ShotStreamNative>();
}

static void end(godot::ModuleInitializationLevel) {}

extern "C" GDExtensionBool GDE_EXPORT shotstream_extension_init(GDExtensionInterfaceGetProcAddress get_address,
                                                                const GDExtensionClassLibraryPtr library,
                                                                GDExtensionInitialization *initialization) {
    godot::GDExtensionBinding::InitObject init(get_address, library, initialization);
    init.register_initializer(begin);
    init.register_terminator(end);
    init.set_minimum_library_initialization_level(godot::MODULE_INITIALIZATION_LEVEL_SCENE);
    return init.init();
}
