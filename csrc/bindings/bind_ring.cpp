// The frame ring: a writer and a reader that own their mapping. Arrays handed out keep the mapping alive after close().
#include <pybind11/numpy.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>

#include "../cpu/shared_segment.h"
#include "bindings.h"
#include "shotstream/frame_ring.h"

namespace py = pybind11;

namespace shotstream {
namespace {

using Segment = std::shared_ptr<SharedSegment>;

py::array_t<std::uint8_t> pixels_at(const Segment& segment, const shs_ring_geometry& geometry, std::uint32_t slot,
                                    bool writable) {
    auto* address = static_cast<std::uint8_t*>(segment->data()) + shs_ring_pixels_offset(&geometry, slot);
    const py::capsule keep(new Segment(segment), [](void* held) { delete static_cast<Segment*>(held); });
    py::array_t<std::uint8_t> view(static_cast<py::ssize_t>(geometry.data_size), address, keep);
    if (!writable) view.attr("setflags")(py::arg("write") = false);
    return view;
}

class RingWriter {
public:
    RingWriter(std::string name, std::uint32_t num_slots, std::uint32_t width, std::uint32_t height,
               std::uint32_t stride, std::uint32_t pixel_format, std::uint32_t origin, std::uint32_t color_space,
               std::uint64_t data_size, std::uint64_t epoch)
        : name_(std::move(name)),
          geometry_{num_slots, width, height, stride, pixel_format, origin, color_space, 0, data_size, epoch},
          pid_(::getpid()) {
        const char* reason = shs_ring_geometry_refusal(&geometry_);
        if (reason != nullptr) throw std::invalid_argument(reason);
        segment_ = std::make_shared<SharedSegment>(SharedSegment::create(name_, shs_ring_size(&geometry_)));
        shs_ring_init(segment_->data(), &geometry_, static_cast<std::uint32_t>(pid_));
    }
    ~RingWriter() { close(); }
    RingWriter(const RingWriter&) = delete;
    RingWriter& operator=(const RingWriter&) = delete;

    std::pair<std::uint32_t, py::array_t<std::uint8_t>> begin() {
        require_open();
        shs_ring_begin(segment_->data(), &geometry_, num_frame_);
        const auto slot = static_cast<std::uint32_t>(num_frame_ % geometry_.num_slots);
        return {slot, pixels_at(segment_, geometry_, slot, true)};
    }

    std::uint64_t commit(const std::string& header) {
        require_open();
        require(header.size() == sizeof(shs_ring_frame), "a frame header has 192 bytes");
        shs_ring_frame frame;
        std::memcpy(&frame, header.data(), sizeof(frame));
        shs_ring_commit(segment_->data(), &geometry_, num_frame_, &frame);
        ++num_frame_;
        return 2 * num_frame_;
    }

    void beat(std::int64_t now_ns) {
        require_open();
        shs_ring_beat(segment_->data(), now_ns);
    }

    void close() noexcept {
        // A forked child holds a copy of this object; the segment stays its parent's.
        if (segment_ && ::getpid() == pid_) unlink_segment(name_);
        segment_.reset();
    }

private:
    void require_open() const { require(segment_ != nullptr, "the ring is closed"); }

    std::string name_;
    shs_ring_geometry geometry_;
    pid_t pid_;
    Segment segment_;
    std::uint64_t num_frame_ = 0;
};

class RingReader {
public:
    explicit RingReader(const std::string& name)
        : segment_(std::make_shared<SharedSegment>(SharedSegment::open(name, SHS_RING_MAX_BYTES))) {
        const char* reason = shs_ring_refusal(segment_->data(), segment_->size(), &geometry_);
        if (reason != nullptr) throw std::invalid_argument(reason);
    }

    const shs_ring_geometry& geometry() const { return geometry_; }
    std::uint64_t num_written() const { return shs_ring_num_written(open_segment().data()); }
    std::int64_t heartbeat_ns() const { return shs_ring_heartbeat(open_segment().data()); }
    bool is_writer_alive() const { return open_segment().is_owner_alive(); }

    std::tuple<std::int32_t, py::object, py::object> look(std::uint64_t sequence) const {
        shs_ring_frame frame;
        const std::int32_t status = shs_ring_look(open_segment().data(), &geometry_, sequence, &frame);
        if (status != SHS_RING_OK) return {status, py::none(), py::none()};
        const auto slot = static_cast<std::uint32_t>((sequence / 2 - 1) % geometry_.num_slots);
        return {status, py::bytes(reinterpret_cast<const char*>(&frame), sizeof(frame)),
                pixels_at(segment_, geometry_, slot, false)};
    }

    bool is_intact(std::uint64_t sequence) const {
        require(sequence >= 2 && sequence % 2 == 0, "sequence is not that of a complete frame");
        return shs_ring_is_intact(open_segment().data(), &geometry_, sequence) != 0;
    }

    void close() { segment_.reset(); }

private:
    const SharedSegment& open_segment() const {
        require(segment_ != nullptr, "the ring is closed");
        return *segment_;
    }

    Segment segment_;
    shs_ring_geometry geometry_{};
};

}  // namespace

void bind_ring(py::module_& m) {
    py::register_local_exception_translator([](std::exception_ptr raised) {
        try {
            if (raised) std::rethrow_exception(raised);
        } catch (const std::system_error& error) {
            PyErr_SetObject(PyExc_OSError, py::make_tuple(error.code().value(), error.what()).ptr());
        }
    });
    m.attr("RING_OK") = SHS_RING_OK;
    m.attr("RING_NOT_YET") = SHS_RING_NOT_YET;
    m.attr("RING_OVERRUN") = SHS_RING_OVERRUN;

    py::class_<RingWriter>(m, "RingWriter")
        .def(py::init<std::string, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t,
                      std::uint32_t, std::uint32_t, std::uint64_t, std::uint64_t>(),
             py::kw_only(), py::arg("name"), py::arg("num_slots"), py::arg("width"), py::arg("height"),
             py::arg("stride"), py::arg("pixel_format"), py::arg("origin"), py::arg("color_space"),
             py::arg("data_size"), py::arg("epoch"))
        .def("begin", &RingWriter::begin)
        .def("commit", [](RingWriter& ring, const py::bytes& header) { return ring.commit(header); })
        .def("beat", &RingWriter::beat, py::arg("now_ns"))
        .def("close", &RingWriter::close);

    py::class_<RingReader>(m, "RingReader")
        .def(py::init<const std::string&>(), py::arg("name"))
        .def_property_readonly("num_slots", [](const RingReader& r) { return r.geometry().num_slots; })
        .def_property_readonly("width", [](const RingReader& r) { return r.geometry().width; })
        .def_property_readonly("height", [](const RingReader& r) { return r.geometry().height; })
        .def_property_readonly("stride", [](const RingReader& r) { return r.geometry().stride; })
        .def_property_readonly("pixel_format", [](const RingReader& r) { return r.geometry().pixel_format; })
        .def_property_readonly("origin", [](const RingReader& r) { return r.geometry().origin; })
        .def_property_readonly("epoch", [](const RingReader& r) { return r.geometry().epoch; })
        .def_property_readonly("num_written", &RingReader::num_written)
        .def_property_readonly("heartbeat_ns", &RingReader::heartbeat_ns)
        .def("is_writer_alive", &RingReader::is_writer_alive)
        .def("look", &RingReader::look, py::arg("sequence"))
        .def("is_intact", &RingReader::is_intact, py::arg("sequence"))
        .def("close", &RingReader::close);

    m.def("remove_if_abandoned", &remove_if_abandoned, py::arg("name"), py::arg("owner_pid"));
}

}  // namespace shotstream
