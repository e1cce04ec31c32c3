// Run under AddressSanitizer and UndefinedBehaviorSanitizer: packing touches exactly its buffers, whatever the size, and no
// header of a frame ring, however wrong, leads a reader outside the segment. Prints what it did; exits 0 when all held.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "shotstream/frame_ring.h"
#include "shotstream/pack.h"

namespace {

std::mt19937_64 rng(20);

std::uint64_t below(std::uint64_t end) { return rng() % end; }

void require(bool condition, const char* what) {
    if (condition) return;
    std::fprintf(stderr, "failed: %s\n", what);
    std::exit(1);
}

std::uint64_t checksum(const std::uint8_t* bytes, std::uint64_t size) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < size; ++i) sum += bytes[i];
    return sum;
}

// Buffers of exactly the needed size on the heap, so that one byte too far is an error.
int pack_every_width() {
    int num_packed = 0;
    for (std::uint32_t format = SHS_PIXEL_RGBA8; format <= SHS_PIXEL_NV12; ++format)
        for (std::uint32_t origin = SHS_ORIGIN_TOP_LEFT; origin <= SHS_ORIGIN_BOTTOM_LEFT; ++origin)
            for (std::int64_t width = 1; width <= 67; ++width) {
                const bool nv12 = format == SHS_PIXEL_NV12;
                if (nv12 && width % 2) continue;
                const std::int64_t height = nv12 ? 4 : 3, rows = nv12 ? 6 : 3;
                const std::int64_t stride = width * (nv12 ? 1 : format == SHS_PIXEL_RGB8 ? 3 : 4);
                std::vector<std::uint8_t> rgb(static_cast<std::size_t>(3 * width * height));
                for (auto& byte : rgb) byte = static_cast<std::uint8_t>(rng());
                std::vector<std::uint8_t> fast(static_cast<std::size_t>(stride * rows)), plain(fast.size());
                shotstream::PackPixels params{rgb.data(), 3 * width, fast.data(), stride, width,
                                              height,     format,    origin,      true};
                shotstream::pack_pixels(params);
                params.out = plain.data();
                params.vectorised = false;
                shotstream::pack_pixels(params);
                require(fast == plain, "vector code gives the bytes of the scalar code");
                ++num_packed;
            }
    for (std::int64_t num_pixels = 1; num_pixels <= 67; ++num_pixels) {
        std::vector<float> planes(static_cast<std::size_t>(6 * num_pixels), 1.f);
        std::vector<std::uint8_t> rgb(planes.size());
        shotstream::pack_rgb8_f32({planes.data(), rgb.data(), 2, num_pixels});
        require(checksum(rgb.data(), rgb.size()) == 255 * rgb.size(), "white stays white");
        ++num_packed;
    }
    return num_packed;
}

struct Outcomes {
    long refused = 0, looked = 0, read = 0;
};

Outcomes read_wrong_headers(long num_rounds) {
    const shs_ring_geometry geometry{4, 20, 12, 256, SHS_PIXEL_RGBA8, SHS_ORIGIN_TOP_LEFT, SHS_COLOR_SRGB, 0, 12 * 256, 1};
    require(shs_ring_geometry_refusal(&geometry) == nullptr, "the plain geometry is accepted");
    const std::uint64_t size = shs_ring_size(&geometry);
    const std::unique_ptr<void, decltype(&std::free)> held(std::aligned_alloc(4096, size), &std::free);
    auto* segment = static_cast<std::uint8_t*>(held.get());
    std::memset(segment, 0, size);
    shs_ring_init(segment, &geometry, 1);
    const shs_ring_frame ids{};
    for (std::uint64_t number = 0; number < 4; ++number) {
        shs_ring_begin(segment, &geometry, number);
        shs_ring_commit(segment, &geometry, number, &ids);
    }
    const std::vector<std::uint8_t> whole(segment, segment + 4096 + 256);
    Outcomes outcomes;
    for (long round = 0; round < num_rounds; ++round) {
        std::memcpy(segment, whole.data(), whole.size());
        for (std::uint64_t changes = 1 + below(3); changes > 0; --changes) {
            const std::uint64_t place = below(2) ? below(176) : 4096 + below(256);
            segment[place] = static_cast<std::uint8_t>(rng());
        }
        shs_ring_geometry seen;
        if (shs_ring_refusal(segment, size, &seen) != nullptr) {
            ++outcomes.refused;
            continue;
        }
        for (const std::uint64_t sequence : {std::uint64_t{2}, std::uint64_t{8}, 2 * below(1u << 20), rng()}) {
            shs_ring_frame frame;
            ++outcomes.looked;
            if (shs_ring_look(segment, &seen, sequence, &frame) != SHS_RING_OK) continue;
            checksum(segment + frame.data_offset, frame.data_size);
            require(shs_ring_is_intact(segment, &seen, sequence) != 0, "nobody writes here");
            ++outcomes.read;
        }
    }
    return outcomes;
}

// Geometries from nowhere: an accepted one has a layout whose every picture lies inside.
long lay_out_random_geometries(long num_rounds) {
    long accepted = 0;
    for (long round = 0; round < num_rounds; ++round) {
        const auto any = [](std::uint64_t usual) { return static_cast<std::uint32_t>(below(8) ? 1 + below(usual) : rng()); };
        shs_ring_geometry g{any(64), any(300), any(300), 0, any(4), any(2), any(2), 0, 0, rng()};
        g.stride = below(4) ? (g.width * 4 + 255) / 256 * 256 : any(1u << 16);
        const std::uint64_t rows = g.pixel_format == SHS_PIXEL_NV12 ? std::uint64_t{g.height} * 3 / 2 : g.height;
        g.data_size = below(8) ? rows * g.stride : rng();
        if (shs_ring_geometry_refusal(&g) != nullptr) continue;
        ++accepted;
        require(shs_ring_size(&g) <= SHS_RING_MAX_BYTES, "size is bounded");
        for (std::uint32_t slot = 0; slot < g.num_slots; ++slot) {
            const std::uint64_t offset = shs_ring_pixels_offset(&g, slot);
            require(offset % SHS_RING_PAGE == 0 && offset + g.data_size <= shs_ring_size(&g), "pictures lie inside");
        }
    }
    return accepted;
}

}  // namespace

int main(int argc, char** argv) {
    const long num_rounds = argc > 1 ? std::atol(argv[1]) : 100000;
    const int num_packed = pack_every_width();
    const Outcomes outcomes = read_wrong_headers(num_rounds);
    const long accepted = lay_out_random_geometries(num_rounds);
    std::printf("packed %d refused %ld looked %ld read %ld accepted %ld\n", num_packed, outcomes.refused,
                outcomes.looked, outcomes.read, accepted);
    return 0;
}
