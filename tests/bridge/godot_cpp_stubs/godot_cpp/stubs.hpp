// Declarations with the names and types of godot-cpp 4.2. Nothing here does anything.
#pragma once

#include <cstddef>
#include <cstdint>

typedef uint8_t GDExtensionBool;
typedef void *GDExtensionClassLibraryPtr;
typedef void (*GDExtensionInterfaceGetProcAddress)(const char *);
struct GDExtensionInitialization;
#define GDE_EXPORT

namespace godot {

struct CharString {
    const char *get_data() const;
};

struct String {
    String(const char *text = "");
    static String utf8(const char *text);
    CharString utf8() const;
};

struct StringName {
    StringName(const char *text);
};

struct Dictionary;
struct PackedByteArray;
struct Object {};

struct Variant {
    enum Type { NIL, BOOL, INT, FLOAT, STRING, DICTIONARY, OBJECT, STRING_NAME };
    Variant();
    Variant(bool value);
    Variant(int32_t value);
    Variant(int64_t value);
    Variant(double value);
    Variant(const char *value);
    Variant(const String &value);
    Variant(const Dictionary &value);
    Variant(const PackedByteArray &value);
    Type get_type() const;
    bool booleanize() const;
    operator int64_t() const;
    operator double() const;
    operator String() const;
};

struct Array {
    int64_t size() const;
    const Variant &operator[](int64_t index) const;
};

struct Dictionary {
    Array keys() const;
    Variant &operator[](const Variant &key);
    const Variant &operator[](const Variant &key) const;
};

struct PackedByteArray {
    int64_t size() const;
    int64_t resize(int64_t size);
    const uint8_t *ptr() const;
    uint8_t *ptrw();
};

template <typename T>
struct Ref {
    void instantiate();
    bool is_null() const;
    T *operator->() const;
};

struct Engine : Object {
    static Engine *get_singleton();
    bool is_editor_hint() const;
};

struct Image : Object {
    enum Format { FORMAT_RGBA8 };
    static Ref<Image> create_from_data(int32_t width, int32_t height, bool mipmaps, Format format,
                                       const PackedByteArray &data);
    void set_data(int32_t width, int32_t height, bool mipmaps, Format format, const PackedByteArray &data);
};

struct ImageTexture : Object {
    int32_t get_width() const;
    int32_t get_height() const;
    void update(const Ref<Image> &image);
    void set_image(const Ref<Image> &image);
};

struct Node : Object {
    virtual ~Node();
    virtual void _ready();
    virtual void _process(double delta);
    virtual void _exit_tree();
    template <typename... Args>
    void emit_signal(const StringName &, const Args &...args) {
        const Variant given[] = {Variant(), Variant(args)...};
        (void)given;
    }
};

enum PropertyHint { PROPERTY_HINT_NONE, PROPERTY_HINT_ENUM };

struct PropertyInfo {
    PropertyInfo(Variant::Type type, const StringName &name, PropertyHint hint = PROPERTY_HINT_NONE,
                 const String &hint_string = "");
};

struct MethodInfo {
    template <typename... Args>
    MethodInfo(StringName, const Args &...args) {
        const PropertyInfo given[] = {PropertyInfo(Variant::NIL, ""), args...};
        (void)given;
    }
};

struct MethodDefinition {};
template <typename... Args>
MethodDefinition D_METHOD(const char *name, Args... parameters);

struct ClassDB {
    template <typename T>
    static void register_class();
    template <typename Method, typename... Defaults>
    static void bind_method(MethodDefinition definition, Method method, Defaults... defaults);
    static void add_signal(const StringName &type, const MethodInfo &signal);
    static void add_property(const StringName &type, const PropertyInfo &property, const StringName &setter,
                             const StringName &getter);
};

#define GDCLASS(type, base) \
public:                     \
    static godot::StringName get_class_static();
#define DEFVAL(value) (value)
#define ADD_SIGNAL(signal) godot::ClassDB::add_signal(get_class_static(), signal)
#define ADD_PROPERTY(property, setter, getter) godot::ClassDB::add_property(get_class_static(), property, setter, getter)

enum ModuleInitializationLevel { MODULE_INITIALIZATION_LEVEL_SCENE = 2 };

struct GDExtensionBinding {
    typedef void (*Callback)(ModuleInitializationLevel level);
    struct InitObject {
        InitObject(GDExtensionInterfaceGetProcAddress, GDExtensionClassLibraryPtr, GDExtensionInitialization *);
        void register_initializer(Callback) const;
        void register_terminator(Callback) const;
        void set_minimum_library_initialization_level(ModuleInitializationLevel level) const;
        GDExtensionBool init() const;
    };
};

}  // namespace godot
