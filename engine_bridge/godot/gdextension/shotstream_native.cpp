#include "shotstream_native.h"

#include <vector>

#include <godot_cpp/classes/engine.hpp>
#include <godot_cpp/core/class_db.hpp>
#include <godot_cpp/variant/array.hpp>

using namespace godot;

namespace shotstream {
namespace {

const char *const STATES[] = {SHS_STATE_WORDS};
const char *const KINDS[] = {SHS_EVENT_WORDS};  // from SHS_EVENT_SHOT_START on
const size_t MAX_COMMANDS = 1024;

// Parameters as the C interface wants them; the texts live as long as this does.
class Params {
public:
    bool add(const Variant &key, const Variant &value) {
        shs_param param = {};
        param.key = keep(key);
        switch (value.get_type()) {
            case Variant::BOOL:
                param.type = SHS_PARAM_BOOL;
                param.i = value.booleanize() ? 1 : 0;
                break;
            case Variant::INT:
                param.type = SHS_PARAM_INT;
                param.i = value;
                break;
            case Variant::FLOAT:
                param.type = SHS_PARAM_FLOAT;
                param.d = value;
                break;
            case Variant::STRING:
            case Variant::STRING_NAME:
                param.type = SHS_PARAM_STRING;
                param.s = keep(value);
                break;
            default:
                return false;
        }
        params.push_back(param);
        return true;
    }

    const shs_param *data() const { return params.data(); }
    uint32_t size() const { return uint32_t(params.size()); }

private:
    // A CharString owns its bytes on the heap, so they stay where they are when the vector grows.
    const char *keep(const Variant &text) {
        const String string = text;
        texts.push_back(string.utf8());
        return texts.back().get_data();
    }

    std::vector<shs_param> params;
    std::vector<CharString> texts;
};

}  // namespace

void ShotStreamNative::_ready() {
    texture.instantiate();
    if (Engine::get_singleton()->is_editor_hint()) return;  // extensions run in the editor too
    shs_client_config config;
    if (shs_client_config_init(&config, sizeof config, SHS_ABI_VERSION) != SHS_OK) {
        emit_signal("error", SHS_E_VERSION, "the shotstream library is of another version than this extension", 0);
        return;
    }
    const CharString name = server_name.utf8();
    config.server_name = name.get_data();
    config.engine = "godot";
    config.role = uint32_t(role);
    config.pixel_format = SHS_FORMAT_RGBA8;
    const shs_result result = shs_client_create(&config, &client);
    if (result != SHS_OK) {
        client = nullptr;
        emit_signal("error", result, shs_result_name(result), 0);
    }
}

void ShotStreamNative::_exit_tree() {
    shs_client_destroy(client);
    client = nullptr;
}

void ShotStreamNative::_process(double) {
    shs_event event = {};
    event.struct_size = sizeof event;
    // a handler may remove the node, and with it the client
    while (client != nullptr && shs_event_next(client, &event) == SHS_OK) tell(event);
    shs_frame frame = {};
    frame.struct_size = sizeof frame;
    if (client == nullptr || shs_frame_acquire(client, 0, 0, &frame) != SHS_OK) return;
    const int64_t id = int64_t(frame.frame_id);
    const int64_t row_bytes = int64_t(frame.width) * 4;
    pixels.resize(row_bytes * frame.height);
    const shs_result copied =
        shs_frame_copy(client, &frame, pixels.ptrw(), uint32_t(row_bytes), uint64_t(pixels.size()));
    if (copied == SHS_OK) show(frame);
    shs_frame_release(client, &frame);
    if (copied == SHS_OK) emit_signal("frame_presented", id);
}

void ShotStreamNative::show(const shs_frame &frame) {
    const int32_t width = int32_t(frame.width), height = int32_t(frame.height);
    if (image.is_null()) image = Image::create_from_data(width, height, false, Image::FORMAT_RGBA8, pixels);
    else image->set_data(width, height, false, Image::FORMAT_RGBA8, pixels);
    if (texture->get_width() == width && texture->get_height() == height) texture->update(image);
    else texture->set_image(image);
}

void ShotStreamNative::tell(const shs_event &event) {
    const String text = String::utf8(event.text), name = String::utf8(event.name);
    const int64_t request = event.request_id;
    Dictionary details;
    details["cmd"] = int64_t(event.command);
    details["name"] = name;
    details["frame"] = event.frame_id;
    details["shot"] = event.shot_id;
    details[event.type == SHS_EVENT_ANSWER ? "bytes" : "count"] = int64_t(event.count);
    details["text"] = text;
    switch (event.type) {
        case SHS_EVENT_CONNECTED:
            emit_signal("connected");
            break;
        case SHS_EVENT_DISCONNECTED:
            emit_signal("disconnected", text);
            break;
        case SHS_EVENT_STREAM:
            if (event.code != SHS_OK) emit_signal("error", event.code, text, 0);
            break;
        case SHS_EVENT_ANSWER:
            if (event.code != SHS_OK) {
                emit_signal("error", event.code, text, request);
                break;
            }
            if (event.command != 0) {
                commands[request] = event.command;
                if (commands.size() > MAX_COMMANDS) commands.erase(commands.begin());
            }
            read_answer(event.request_id, details);
            emit_signal("answered", request, details);
            break;
        case SHS_EVENT_STATE:
            if (event.code >= 0 && size_t(event.code) < sizeof STATES / sizeof *STATES)
                emit_signal("command_state", request, STATES[event.code]);
            break;
        case SHS_EVENT_SHOT_START:
            emit_signal("shot_started", event.shot_id, event.frame_id);
            break;
        case SHS_EVENT_BEAT:
            emit_signal("beat", name, text);
            break;
        case SHS_EVENT_ENGINE:
            emit_signal("error", SHS_E_INTERNAL, text, 0);
            break;
        default: {
            const size_t kind = event.type - SHS_EVENT_SHOT_START;
            if (kind < sizeof KINDS / sizeof *KINDS) emit_signal("notice", KINDS[kind], details);
        }
    }
}

// A downloaded checkpoint, if the answer brought one.
void ShotStreamNative::read_answer(uint32_t request, Dictionary &details) {
    uint64_t size = 0;
    if (shs_answer_read(client, request, nullptr, 0, &size) != SHS_E_TOO_LARGE) return;
    PackedByteArray data;
    data.resize(int64_t(size));
    if (shs_answer_read(client, request, data.ptrw(), size, nullptr) == SHS_OK) details["data"] = data;
}

int64_t ShotStreamNative::sent(shs_result result, uint32_t request) {
    if (result == SHS_OK) return request;
    emit_signal("error", result, shs_result_name(result), 0);
    return 0;
}

// Every command needs a client; before _ready and after _exit_tree there is none.
#define SEND(call)                                        \
    if (client == nullptr) return sent(SHS_E_CONNECT, 0); \
    uint32_t request = 0;                                 \
    const shs_result result = (call);                     \
    return sent(result, request)

int64_t ShotStreamNative::cut(const String &text, int64_t num_frames, int64_t seed) {
    SEND(shs_cut(client, text.utf8().get_data(), seed, uint32_t(num_frames), SHS_WHEN_BLOCK, &request));
}

int64_t ShotStreamNative::prompt(const String &text) {
    SEND(shs_prompt(client, text.utf8().get_data(), &request));
}

int64_t ShotStreamNative::trigger(const String &beat, const Dictionary &params) {
    Params given;
    const Array keys = params.keys();
    for (int64_t index = 0; index < keys.size(); index++)
        if (!given.add(keys[index], params[keys[index]])) return sent(SHS_E_INVALID, 0);
    SEND(shs_trigger(client, beat.utf8().get_data(), given.data(), given.size(), &request));
}

int64_t ShotStreamNative::set_variable(const String &name, const Variant &value) {
    Params given;
    if (!given.add(name, value)) return sent(SHS_E_INVALID, 0);
    SEND(shs_set_variables(client, given.data(), given.size(), &request));
}

int64_t ShotStreamNative::hold() { SEND(shs_control(client, SHS_CONTROL_HOLD, 0, 0, &request)); }

int64_t ShotStreamNative::resume() { SEND(shs_control(client, SHS_CONTROL_RESUME, 0, 0, &request)); }

int64_t ShotStreamNative::prepare(const String &text, int64_t num_frames, int64_t seed) {
    SEND(shs_prepare(client, text.utf8().get_data(), seed, uint32_t(num_frames), &request));
}

int64_t ShotStreamNative::take(int64_t prepared) {
    const auto found = commands.find(prepared);
    if (found == commands.end()) return sent(SHS_E_INVALID, 0);
    SEND(shs_control(client, SHS_CONTROL_TAKE, found->second, 0, &request));
}

int64_t ShotStreamNative::checkpoint(const String &name) {
    SEND(shs_checkpoint(client, name.utf8().get_data(), &request));
}

int64_t ShotStreamNative::restore(const String &name) {
    SEND(shs_restore(client, name.utf8().get_data(), &request));
}

int64_t ShotStreamNative::download(const String &name) {
    SEND(shs_download(client, name.utf8().get_data(), &request));
}

int64_t ShotStreamNative::upload(const String &name, const PackedByteArray &data) {
    SEND(shs_upload(client, name.utf8().get_data(), data.ptr(), uint64_t(data.size()), &request));
}

int64_t ShotStreamNative::undo(int64_t num_shots) {
    SEND(shs_control(client, SHS_CONTROL_UNDO, num_shots, 0, &request));
}

#undef SEND

Ref<ImageTexture> ShotStreamNative::get_texture() const { return texture; }
void ShotStreamNative::set_server_name(const String &name) { server_name = name; }
String ShotStreamNative::get_server_name() const { return server_name; }
void ShotStreamNative::set_role(int64_t new_role) { role = new_role; }
int64_t ShotStreamNative::get_role() const { return role; }

void ShotStreamNative::_bind_methods() {
    ClassDB::bind_method(D_METHOD("cut", "text", "num_frames", "seed"), &ShotStreamNative::cut, DEFVAL(0), DEFVAL(-1));
    ClassDB::bind_method(D_METHOD("prompt", "text"), &ShotStreamNative::prompt);
    ClassDB::bind_method(D_METHOD("trigger", "beat", "params"), &ShotStreamNative::trigger, DEFVAL(Dictionary()));
    ClassDB::bind_method(D_METHOD("set_variable", "name", "value"), &ShotStreamNative::set_variable);
    ClassDB::bind_method(D_METHOD("hold"), &ShotStreamNative::hold);
    ClassDB::bind_method(D_METHOD("resume"), &ShotStreamNative::resume);
    ClassDB::bind_method(
        D_METHOD("prepare", "text", "num_frames", "seed"), &ShotStreamNative::prepare, DEFVAL(0), DEFVAL(-1));
    ClassDB::bind_method(D_METHOD("take", "prepared"), &ShotStreamNative::take);
    ClassDB::bind_method(D_METHOD("checkpoint", "name"), &ShotStreamNative::checkpoint);
    ClassDB::bind_method(D_METHOD("restore", "name"), &ShotStreamNative::restore);
    ClassDB::bind_method(D_METHOD("download", "name"), &ShotStreamNative::download);
    ClassDB::bind_method(D_METHOD("upload", "name", "data"), &ShotStreamNative::upload);
    ClassDB::bind_method(D_METHOD("undo", "num_shots"), &ShotStreamNative::undo, DEFVAL(1));
    ClassDB::bind_method(D_METHOD("get_texture"), &ShotStreamNative::get_texture);
    ClassDB::bind_method(D_METHOD("set_server_name", "name"), &ShotStreamNative::set_server_name);
    ClassDB::bind_method(D_METHOD("get_server_name"), &ShotStreamNative::get_server_name);
    ClassDB::bind_method(D_METHOD("set_role", "role"), &ShotStreamNative::set_role);
    ClassDB::bind_method(D_METHOD("get_role"), &ShotStreamNative::get_role);

    ADD_PROPERTY(PropertyInfo(Variant::STRING, "server_name"), "set_server_name", "get_server_name");
    ADD_PROPERTY(PropertyInfo(Variant::INT, "role", PROPERTY_HINT_ENUM, "viewer,trigger,director,operator"),
                 "set_role", "get_role");

    ADD_PROPERTY(PropertyInfo(Variant::OBJECT, "texture"), "", "get_texture");

    const PropertyInfo id(Variant::INT, "id"), text(Variant::STRING, "text"), name(Variant::STRING, "name");
    const PropertyInfo state(Variant::STRING, "state"), code(Variant::INT, "code"), frame(Variant::INT, "frame");
    ADD_SIGNAL(MethodInfo("connected"));
    ADD_SIGNAL(MethodInfo("disconnected", text));
    ADD_SIGNAL(MethodInfo("shot_started", id, frame));
    ADD_SIGNAL(MethodInfo("frame_presented", id));
    ADD_SIGNAL(MethodInfo("command_state", id, state));
    ADD_SIGNAL(MethodInfo("beat", name, state));
    ADD_SIGNAL(MethodInfo("answered", id, PropertyInfo(Variant::DICTIONARY, "answer")));
    ADD_SIGNAL(MethodInfo("error", code, text, id));
    ADD_SIGNAL(MethodInfo("notice", PropertyInfo(Variant::STRING, "about"), PropertyInfo(Variant::DICTIONARY, "event")));
}

}  // namespace shotstream
