// ShotStreamNative: the node of godot4/shotstream_client.gd over the C interface, with frames from shared memory.
#ifndef SHOTSTREAM_NATIVE_H
#define SHOTSTREAM_NATIVE_H

#include <godot_cpp/classes/image.hpp>
#include <godot_cpp/classes/image_texture.hpp>
#include <godot_cpp/classes/node.hpp>
#include <godot_cpp/variant/dictionary.hpp>
#include <godot_cpp/variant/packed_byte_array.hpp>
#include <godot_cpp/variant/string.hpp>

#include <map>

#include "shotstream.h"

namespace shotstream {

// Everything happens on the main thread, in _process; the C interface never calls into the game.
// Commands return the id of their request, 0 when they could not be sent (then `error` says why).
class ShotStreamNative : public godot::Node {
    GDCLASS(ShotStreamNative, godot::Node)

public:
    void _ready() override;
    void _process(double delta) override;
    void _exit_tree() override;

    int64_t cut(const godot::String &text, int64_t num_frames, int64_t seed);
    int64_t prompt(const godot::String &text);
    int64_t trigger(const godot::String &beat, const godot::Dictionary &params);
    int64_t set_variable(const godot::String &name, const godot::Variant &value);
    int64_t hold();
    int64_t resume();
    int64_t prepare(const godot::String &text, int64_t num_frames, int64_t seed);
    int64_t take(int64_t prepared);
    int64_t checkpoint(const godot::String &name);
    int64_t restore(const godot::String &name);
    int64_t download(const godot::String &name);
    int64_t upload(const godot::String &name, const godot::PackedByteArray &data);
    int64_t undo(int64_t num_shots);

    godot::Ref<godot::ImageTexture> get_texture() const;
    void set_server_name(const godot::String &name);
    godot::String get_server_name() const;
    void set_role(int64_t role);
    int64_t get_role() const;

protected:
    static void _bind_methods();

private:
    int64_t sent(shs_result result, uint32_t request);
    void read_answer(uint32_t request, godot::Dictionary &details);
    void tell(const shs_event &event);
    void show(const shs_frame &frame);

    shs_client *client = nullptr;
    std::map<int64_t, uint32_t> commands;  // request id to the film's number of the command
    godot::Ref<godot::Image> image;
    godot::Ref<godot::ImageTexture> texture;
    godot::PackedByteArray pixels;
    godot::String server_name = "default";
    int64_t role = SHS_ROLE_DIRECTOR;
};

}  // namespace shotstream

#endif
