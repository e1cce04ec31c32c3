// The ring of frame_ring.h over a mapped segment. No operating system calls here, so tests run it on plain memory.
#include "shotstream/frame_ring.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

static_assert(sizeof(shs_ring_geometry) == 48, "layout of the ring");
static_assert(sizeof(shs_ring_frame) == 192 && offsetof(shs_ring_frame, data_offset) == 152, "layout of a frame");
static_assert(offsetof(shs_ring_header, geometry) == 32, "layout of the ring");
static_assert(offsetof(shs_ring_header, num_written) == 160, "layout of the ring");
static_assert(offsetof(shs_ring_slot, frame) == 64, "layout of a slot");
static_assert(__atomic_always_lock_free(sizeof(std::uint64_t), nullptr), "processes share plain 64-bit atomics");

namespace {

std::uint64_t pages(std::uint64_t num_bytes) {
    return (num_bytes + SHS_RING_PAGE - 1) / SHS_RING_PAGE * SHS_RING_PAGE;
}

std::uint64_t slot_stride(const shs_ring_geometry& g) { return SHS_RING_PAGE + pages(g.data_size); }

std::uint64_t slot_offset(const shs_ring_geometry& g, std::uint64_t slot) {
    return SHS_RING_PAGE + slot * slot_stride(g);
}

template <typename Slot, typename Memory>
Slot* slot_at(Memory* segment, const shs_ring_geometry& g, std::uint64_t slot) {
    using Byte = std::conditional_t<std::is_const_v<Memory>, const std::uint8_t, std::uint8_t>;
    return reinterpret_cast<Slot*>(static_cast<Byte*>(segment) + slot_offset(g, slot));
}

bool fits(const shs_ring_geometry& g, const shs_ring_frame& f, std::uint64_t sequence, std::uint64_t slot) {
    return f.struct_size == sizeof(shs_ring_frame) && f.width == g.width && f.height == g.height &&
           f.stride == g.stride && f.pixel_format == g.pixel_format && f.origin == g.origin &&
           f.color_space == g.color_space && f.data_size == g.data_size && f.sequence == sequence &&
           f.data_offset == slot_offset(g, slot) + SHS_RING_PAGE;
}

}  // namespace

const char* shs_ring_geometry_refusal(const shs_ring_geometry* g) {
    if (g->num_slots < SHS_RING_MIN_SLOTS || g->num_slots > SHS_RING_MAX_SLOTS) return "num_slots is outside 4..64";
    if (g->width < 1 || g->width > SHS_RING_MAX_SIDE || g->height < 1 || g->height > SHS_RING_MAX_SIDE)
        return "width or height is outside 1..8192";
    if (g->pixel_format < SHS_PIXEL_RGBA8 || g->pixel_format > SHS_PIXEL_NV12) return "pixel_format is not 1..4";
    if (g->origin != SHS_ORIGIN_TOP_LEFT && g->origin != SHS_ORIGIN_BOTTOM_LEFT) return "origin is not 1 or 2";
    const bool nv12 = g->pixel_format == SHS_PIXEL_NV12;
    if (g->color_space != (nv12 ? SHS_COLOR_REC709_LIMITED : SHS_COLOR_SRGB))
        return "color_space does not belong to pixel_format";
    if (nv12 && (g->width % 2 || g->height % 2)) return "NV12 needs an even width and height";
    const std::uint64_t bytes_per_pixel = nv12 ? 1 : g->pixel_format == SHS_PIXEL_RGB8 ? 3 : 4;
    if (g->stride < g->width * bytes_per_pixel || g->stride > 4 * SHS_RING_MAX_SIDE + SHS_RING_PAGE)
        return "stride does not hold a row, or is far longer than one";
    const std::uint64_t num_rows = nv12 ? std::uint64_t{g->height} * 3 / 2 : g->height;
    if (g->data_size != num_rows * g->stride) return "data_size is not rows times stride";
    if (shs_ring_size(g) > SHS_RING_MAX_BYTES) return "the ring would be larger than 1 GiB; use fewer slots";
    return nullptr;
}

std::uint64_t shs_ring_size(const shs_ring_geometry* g) { return slot_offset(*g, g->num_slots); }

std::uint64_t shs_ring_pixels_offset(const shs_ring_geometry* g, std::uint32_t slot) {
    return slot_offset(*g, slot) + SHS_RING_PAGE;
}

void shs_ring_init(void* segment, const shs_ring_geometry* g, std::uint32_t writer_pid) {
    auto* header = static_cast<shs_ring_header*>(segment);
    header->abi = SHS_RING_ABI;
    header->writer_pid = writer_pid;
    header->segment_size = shs_ring_size(g);
    header->slot_stride = slot_stride(*g);
    header->geometry = *g;
    __atomic_store_n(&header->magic, SHS_RING_MAGIC, __ATOMIC_RELEASE);
}

void shs_ring_begin(void* segment, const shs_ring_geometry* g, std::uint64_t num_frame) {
    auto* slot = slot_at<shs_ring_slot>(segment, *g, num_frame % g->num_slots);
    __atomic_store_n(&slot->sequence, 2 * num_frame + 1, __ATOMIC_RELAXED);
    // No store to the pixels may become visible before the odd number: readers who see new pixels see it too.
    std::atomic_thread_fence(std::memory_order_release);
}

void shs_ring_commit(void* segment, const shs_ring_geometry* g, std::uint64_t num_frame, const shs_ring_frame* frame) {
    const std::uint64_t number = num_frame % g->num_slots, sequence = 2 * num_frame + 2;
    auto* slot = slot_at<shs_ring_slot>(segment, *g, number);
    shs_ring_frame filled = *frame;
    filled.struct_size = sizeof(shs_ring_frame);
    filled.width = g->width;
    filled.height = g->height;
    filled.stride = g->stride;
    filled.pixel_format = g->pixel_format;
    filled.origin = g->origin;
    filled.color_space = g->color_space;
    filled.data_size = g->data_size;
    filled.sequence = sequence;
    filled.data_offset = slot_offset(*g, number) + SHS_RING_PAGE;
    std::memcpy(&slot->frame, &filled, sizeof(filled));
    __atomic_store_n(&slot->sequence, sequence, __ATOMIC_RELEASE);
    __atomic_store_n(&static_cast<shs_ring_header*>(segment)->num_written, num_frame + 1, __ATOMIC_RELEASE);
}

void shs_ring_beat(void* segment, std::int64_t now_ns) {
    __atomic_store_n(&static_cast<shs_ring_header*>(segment)->heartbeat_ns, now_ns, __ATOMIC_RELAXED);
}

const char* shs_ring_refusal(const void* segment, std::uint64_t mapped_size, shs_ring_geometry* geometry) {
    if (mapped_size < SHS_RING_PAGE) return "the segment is smaller than a header";
    const auto* shared = static_cast<const shs_ring_header*>(segment);
    if (__atomic_load_n(&shared->magic, __ATOMIC_ACQUIRE) != SHS_RING_MAGIC)
        return "the segment is not a frame ring, or is not complete";
    shs_ring_header header;  // checked and used from this copy: the shared bytes may change in between
    std::memcpy(&header, shared, sizeof(header));
    if (header.abi != SHS_RING_ABI) return "the ring has another version; update the older program";
    if (const char* reason = shs_ring_geometry_refusal(&header.geometry)) return reason;
    if (header.slot_stride != slot_stride(header.geometry)) return "slot_stride does not fit the size of a picture";
    if (header.segment_size != shs_ring_size(&header.geometry) || header.segment_size != mapped_size)
        return "the segment has another size than its header says";
    *geometry = header.geometry;
    return nullptr;
}

std::uint64_t shs_ring_num_written(const void* segment) {
    return __atomic_load_n(&static_cast<const shs_ring_header*>(segment)->num_written, __ATOMIC_ACQUIRE);
}

std::int64_t shs_ring_heartbeat(const void* segment) {
    return __atomic_load_n(&static_cast<const shs_ring_header*>(segment)->heartbeat_ns, __ATOMIC_RELAXED);
}

std::int32_t shs_ring_look(const void* segment, const shs_ring_geometry* g, std::uint64_t sequence,
                           shs_ring_frame* frame) {
    if (sequence < 2 || sequence % 2) return SHS_RING_NOT_YET;
    const std::uint64_t number = (sequence / 2 - 1) % g->num_slots;
    const auto* slot = slot_at<const shs_ring_slot>(segment, *g, number);
    const std::uint64_t found = __atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE);
    if (found != sequence) return found < sequence ? SHS_RING_NOT_YET : SHS_RING_OVERRUN;
    std::memcpy(frame, &slot->frame, sizeof(*frame));
    if (!shs_ring_is_intact(segment, g, sequence)) return SHS_RING_OVERRUN;
    return fits(*g, *frame, sequence, number) ? SHS_RING_OK : SHS_RING_OVERRUN;
}

std::int32_t shs_ring_is_intact(const void* segment, const shs_ring_geometry* g, std::uint64_t sequence) {
    const auto* slot = slot_at<const shs_ring_slot>(segment, *g, (sequence / 2 - 1) % g->num_slots);
    // The reads of the pixels happen before this load: an odd or later number cannot be missed.
    std::atomic_thread_fence(std::memory_order_acquire);
    return __atomic_load_n(&slot->sequence, __ATOMIC_RELAXED) == sequence;
}
