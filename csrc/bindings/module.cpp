// shotstream._native: the list of its families.
#include "bindings.h"

PYBIND11_MODULE(_native, m) {
    m.doc() = "Compiled hot path of shotstream. Takes integer addresses; callers keep the memory alive.";
    m.attr("__version__") = SHOTSTREAM_VERSION;
    m.attr("built_with_cuda") = false;
    shotstream::bind_denoise(m);
    shotstream::bind_pack(m);
    shotstream::bind_ring(m);
}
